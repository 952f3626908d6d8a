"""EAST: boxes of maps with known answers, its seeded Keras network, and a frozen graph with the published names."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocr_conformance.job import import_file
from ocr_conformance.model import KerasModel, SavedModelSource, build

Run = Callable[..., dict[str, Any]]
PRELOAD = ("tensorflow", "keras")
ADAPTER = Path(__file__).parents[2] / "models" / "east" / "model.py"
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


def reference(variant: str = "320", path: str | None = None) -> dict[str, Any]:
    weights = {"name": "file" if path else "seeded", "path": path, "sha256": ""}
    return {"adapter": f"{ADAPTER}:East", "variant": variant, "weights": weights}


def test_variants() -> None:
    for variant, side, kind in (
        ("320", 320, KerasModel), ("64", 64, KerasModel), ("frozen", 320, SavedModelSource),
        ("frozen-640", 640, SavedModelSource),
    ):  # fmt: skip
        model = build(reference(variant))
        assert isinstance(model, kind)
        assert [spec.shape for spec in (*model.inputs(), *model.outputs())] == [
            (1, side, side, 3), (1, side // 4, side // 4, 1), (1, side // 4, side // 4, 5),
        ]  # fmt: skip
    for variant in ("", "100", "16", "frozen-", "frozen320", "frozen-100", "froze"):
        with pytest.raises(ValueError, match=rf"east has no variant '{variant}' \(it has N and frozen-N"):
            build(reference(variant))


def test_the_contract_s_variants_are_the_adapter_s() -> None:
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    assert [variant for _, variant in registry.variants(["east"])] == ["320"]
    asked = ["east:frozen", "east:frozen-640", "east:640"]
    assert [variant for _, variant in registry.variants(asked)] == ["frozen", "frozen-640", "640"]


def test_weights_are_counted_and_pinned() -> None:
    """Another hash means another seeded network: give the recipe in the contract a new name.

    24.1 million values are 96.5 of the 96.7 MB of the published graph.
    """
    import hashlib

    assert build(reference()).parameters() == 24_122_374
    weights = import_file(str(ADAPTER.with_name("network.py"))).seeded_weights()
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].astype("<f4").tobytes())
    assert found.hexdigest() == SEEDED


SEEDED = "085794d480f2d3ce486c7a37355a51c077b153d09cfea52a5b2ece7297a9cba1"


@needs_opencv
def test_the_phone_feeds_what_the_source_feeds(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    for name, size in {"rgb": (400, 300), "long": (10_000, 10), "dot": (1, 1)}.items():
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    model = build(reference())
    (spec,) = model.inputs()
    for path in (*sorted(tmp_path.iterdir()), *sorted(shared("scenes").iterdir())):
        source, phone = (recipe(str(path))["input_images"] for recipe in (model.preprocess, model.phone_preprocess))
        assert source.shape == phone.shape == (1, 320, 320, 3)
        assert source.dtype == phone.dtype == np.float32
        assert np.abs(source - phone).max() <= 1.001, path.name
        assert spec.low - 1e-4 <= source.min() <= source.max() <= spec.high + 1e-4


# --- boxes of maps with known answers


def draw(score: Any, geometry: Any, box: tuple[float, float, float, float, float], value: float) -> None:
    """Write a box (centre x, y, width, height in pixels, degrees counter-clockwise) into the cells inside it."""
    x, y, width, height, degrees = box
    turn = np.radians(degrees)
    rows, columns = np.mgrid[: score.shape[0], : score.shape[1]]
    right, lower = 4 * columns - x, 4 * rows - y
    along = right * np.cos(turn) - lower * np.sin(turn)
    down = right * np.sin(turn) + lower * np.cos(turn)
    inside = (np.abs(along) < width / 2) & (np.abs(down) < height / 2)
    score[inside, 0] = value
    distances = np.stack([height / 2 + down, width / 2 - along, height / 2 - down, width / 2 + along], -1)
    geometry[inside, :4] = distances[inside]
    geometry[inside, 4] = turn


def corners(box: tuple[float, float, float, float, float]) -> Any:
    x, y, width, height, degrees = box
    turn = np.radians(degrees)
    along, down = np.array([np.cos(turn), -np.sin(turn)]), np.array([np.sin(turn), np.cos(turn)])
    ends = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([[x, y] + i * width / 2 * along + j * height / 2 * down for i, j in ends])


def maps(*boxes: tuple[tuple[float, float, float, float, float], float], side: int = 320) -> dict[str, Any]:
    score = np.zeros((1, side // 4, side // 4, 1), np.float32)
    geometry = np.zeros((1, side // 4, side // 4, 5), np.float32)
    for box, value in boxes:
        draw(score[0], geometry[0], box, value)
    return {"score": score, "geometry": geometry}


@needs_opencv
@given(
    st.floats(100, 220), st.floats(100, 220), st.floats(20, 150), st.floats(12, 40), st.floats(-44, 44),
)  # fmt: skip
def test_a_word_is_one_box_turned_as_it_is(x: float, y: float, width: float, height: float, degrees: float) -> None:
    box = (x, y, width, height, degrees)
    ((found,),) = build(reference()).boxes(maps((box, 0.9)), [(320, 320)])
    np.testing.assert_allclose(found, corners(box), atol=1e-3)


@needs_opencv
def test_two_words_best_first_in_pixels_of_the_original() -> None:
    first, second = (80.0, 60.0, 90.0, 20.0, 0.0), (220.0, 200.0, 60.0, 24.0, 30.0)
    model = build(reference())
    (found,) = model.boxes(maps((first, 0.6), (second, 0.8)), [(640, 640)])
    np.testing.assert_allclose(found, [2 * corners(second), 2 * corners(first)], atol=2e-3)
    assert model.boxes(maps((first, 0.5)), [(640, 640)]) == [[]]  # not above the threshold
    assert model.boxes(maps(), [(1, 1)]) == [[]]
    with pytest.raises(ValueError, match="zip"):
        model.boxes(maps(), [])


@needs_opencv
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 3e38, -1e30, 1e-30]))
def test_whatever_a_broken_network_gives_is_boxes_or_none(seed: int, spoilt: float) -> None:
    random = np.random.default_rng(seed)
    outputs = maps(side=64)
    outputs["score"][:] = random.random(outputs["score"].shape)
    outputs["geometry"][:] = random.normal(0, 20, outputs["geometry"].shape)
    for value in outputs.values():
        value[random.random(value.shape) < 0.2] = spoilt
    (found,) = build(reference("64")).boxes(outputs, [(64, 64)])
    for box in found:
        assert np.array(box).shape == (4, 2)
        assert np.isfinite(box).all()


@needs_opencv
def test_of_maps_full_of_boxes_only_the_best_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suppression is quadratic, and a network that lost its weights may score high everywhere."""
    outputs = maps()
    outputs["score"][:] = np.linspace(0.6, 0.9, 6400).reshape(1, 80, 80, 1)
    outputs["geometry"][..., :4] = 1.0
    model = build(reference())
    monkeypatch.setattr(import_file(str(ADAPTER)), "CANDIDATES", 100)
    (found,) = model.boxes(outputs, [(320, 320)])
    assert len(found) == 100
    assert min(y for box in found for _, y in box) > 300  # the last rows score best


# --- the networks


def answers(job: Any) -> dict[str, Any]:
    """A job: the seeded network on pictures, and exported."""
    from ocr_conformance.convert.saved_model import export
    from ocr_conformance.convert.scenes import read_rgb
    from ocr_conformance.runtime.saved_model import SavedModelSession

    job.stage("source")
    model = build(job.params["model"])
    images = {"input_images": np.concatenate([model.preprocess(path)["input_images"] for path in job.params["images"]])}
    outputs = model.predict(images)
    export(job)
    session = SavedModelSession(str(job.out / "saved_model"), model)
    again = session({"input_images": images["input_images"][:1]})
    sizes = [read_rgb(path).shape[:2] for path in job.params["images"]]
    return {
        "boxes": model.boxes(outputs, sizes),
        "score": [float((score > 0.5).mean()) for score in outputs["score"]],
        "geometry": [outputs["geometry"].min((0, 1, 2)).tolist(), outputs["geometry"].max((0, 1, 2)).tolist()],
        "difference": {name: float(np.abs(again[name] - outputs[name][:1]).max()) for name in outputs},
        "mapping": session.mapping,
    }


@needs_tensorflow
@needs_opencv
def test_the_seeded_network_tells_scenes_apart(run_job: Run, shared: Callable[[str], Path]) -> None:
    scenes = sorted(str(path) for path in shared("scenes").iterdir())
    result = run_job(f"{__file__}:answers", {"model": reference(), "images": scenes, "unroll": False})
    assert result["ok"], result
    facts = result["facts"]
    assert all(0.001 < share < 0.3 for share in facts["score"]), facts["score"]
    assert all(3 <= len(boxes) <= 1000 for boxes in facts["boxes"])
    assert len({str(boxes) for boxes in facts["boxes"]}) == len(scenes)
    low, high = facts["geometry"]
    assert min(low[:4]) > 0
    assert max(high[:4]) < 512
    assert -0.7854 < low[4] < -0.05
    assert 0.05 < high[4] < 0.7854
    assert facts["mapping"] == "name"
    assert facts["difference"]["score"] < 1e-5
    assert facts["difference"]["geometry"] < 1e-2


def freeze(path: str, side: int | None = None) -> None:
    """Write a small graph as TensorFlow 1 would freeze it: the published names, sizes that are only known when it runs.

    Like the published one it asks for its own size to enlarge a feature map.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    random = np.random.default_rng(0)

    def kernel(*shape: int) -> Any:
        return tf.constant(random.normal(0, 0.1, shape).astype(np.float32))

    graph = tf.Graph()
    with graph.as_default():
        image = v1.placeholder(tf.float32, [None, side, side, 3], name="input_images")
        scaled = tf.concat([part / 100.0 for part in tf.split(image, 3, axis=3)], 3)
        fine = tf.nn.relu(tf.nn.conv2d(scaled, kernel(4, 4, 3, 8), 4, "SAME"))
        coarse = tf.nn.max_pool2d(fine, 2, 2, "SAME")
        size = tf.shape(coarse)[1:3] * 2
        merged = tf.concat([fine, v1.image.resize_bilinear(coarse, size)], 3)
        with v1.name_scope("feature_fusion"):
            tf.sigmoid(tf.nn.conv2d(merged, kernel(1, 1, 16, 1), 1, "SAME"), name="Conv_7/Sigmoid")
            distances = tf.sigmoid(tf.nn.conv2d(merged, kernel(1, 1, 16, 4), 1, "SAME")) * 512.0
            angle = (tf.sigmoid(tf.nn.conv2d(merged, kernel(1, 1, 16, 1), 1, "SAME")) - 0.5) * (np.pi / 2)
            tf.concat([distances, angle], -1, name="concat_3")
    Path(path).write_bytes(graph.as_graph_def().SerializeToString())


def frozen(job: Any) -> dict[str, Any]:
    """A job: a frozen graph run by TensorFlow 1's session, by our adapter, exported, and converted."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from ocr_conformance.convert import saved_model, tf_lite

    path = job.params["model"]["weights"]["path"]
    freeze(path)
    model = build(job.params["model"])
    side = model.side
    image = np.random.default_rng(1).uniform(-120, 150, (2, side, side, 3)).astype(np.float32)
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(Path(path).read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        nodes = ["feature_fusion/Conv_7/Sigmoid:0", "feature_fusion/concat_3:0"]
        expected = session.run(nodes, {"input_images:0": image})
    given = model.predict({"input_images": image})
    saved_model.export(job)
    step = type(job)({**job.params, "mode": "float32", "select_tf_ops": False}, {"previous": job.out}, job.out / "lite")
    step.out.mkdir()
    tf_lite.convert(step)
    runner = Interpreter(str(step.out / "model.tflite")).get_signature_runner("serving_default")
    lite = runner(input_images=image[:1])
    folder = Path(model.saved_model())
    assert (folder / "saved_model.pb").exists()
    return {
        "session": [float(np.abs(given[n] - e).max()) for n, e in zip(("score", "geometry"), expected, strict=True)],
        "lite": [float(np.abs(lite[n] - e[:1]).max()) for n, e in zip(("score", "geometry"), expected, strict=True)],
        "std": [float(e.std()) for e in expected],
        "parameters": model.parameters(),
    }


@needs_tensorflow
@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")
def test_a_frozen_graph_with_the_published_names(run_job: Run, tmp_path: Path) -> None:
    params = {"model": reference("frozen-64", str(tmp_path / "frozen.pb")), "unroll": False}
    result = run_job(f"{__file__}:frozen", params)
    assert result["ok"], result
    facts = result["facts"]
    assert facts["session"][0] < 1e-6
    assert facts["session"][1] < 1e-3
    assert facts["lite"][0] < 1e-5
    assert facts["lite"][1] < 5e-3
    assert min(facts["std"]) > 0.01
    # The kernels, and the scalars that the graph divides and multiplies by.
    assert 0 <= facts["parameters"] - (4 * 4 * 3 * 8 + 16 * 6) <= 8


def strange(job: Any) -> dict[str, Any]:
    """A job: export of a graph without one of the nodes."""
    import tensorflow as tf

    from ocr_conformance.convert import saved_model

    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="input_images")
    Path(job.params["model"]["weights"]["path"]).write_bytes(graph.as_graph_def().SerializeToString())
    return saved_model.export(job)


@needs_tensorflow
def test_what_is_no_such_graph_is_one_sentence(run_job: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.pb").write_bytes(b"nonsense")
    (tmp_path / "empty.pb").write_bytes(b"")
    export = "ocr_conformance.convert.saved_model:export"
    for function, variant, name, message in (
        (export, "frozen", "bad.pb", "bad.pb is no frozen graph ("),
        (export, "frozen", "empty.pb", "empty.pb is no frozen graph (it has no nodes)"),
        (f"{__file__}:strange", "frozen", "other.pb", "other.pb has no node 'feature_fusion/Conv_7/Sigmoid': it is"),
        (export, "frozen", None, "east:frozen is a file: --ocr-weights pretrained fetches the published one, "),
        (export, "320", "bad.pb", "weights bad.pb: the Keras network reads .npz; a frozen graph is east:frozen"),
    ):
        path = str(tmp_path / name) if name else None
        result = run_job(function, {"model": reference(variant, path), "unroll": False})
        assert result["type"] == "ValueError", result
        assert result["message"].startswith(message)
