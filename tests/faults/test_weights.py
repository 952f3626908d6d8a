"""Files of weights that would run code, leave their folder, unpack without end, or hold what does not fit."""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_conformance.convert.named_weights import read_npz

CHECKOUT = Path(__file__).parents[2]
MODELS = CHECKOUT / "models"
Run = Callable[..., dict[str, Any]]


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def reference(model: str, name: str, variant: str = "", path: Path | None = None) -> dict[str, Any]:
    weights = {"name": path.name if path else "none", "path": str(path) if path else None, "sha256": ""}
    return {"adapter": f"{MODELS / model / 'model.py'}:{name}", "variant": variant, "weights": weights}


LOAD = '''
from pathlib import Path

from ocr_conformance.model import TorchModel, build


def load(job):
    """What an adapter says of each file of a folder."""
    found = {}
    for path in sorted(Path(job.params["folder"]).iterdir()):
        reference = {**job.params["model"], "weights": {"name": path.name, "path": str(path), "sha256": ""}}
        model = build(reference)
        try:
            model.torch_model() if isinstance(model, TorchModel) else model.keras_model()
            found[path.name] = "loaded"
        except ValueError as error:
            found[path.name] = str(error)
    return found
'''


@pytest.fixture
def load_all(
    run_job: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any], Path], dict[str, str]]:
    """``load_all(model, folder)``: what the model says of each file, in one child process."""

    def run(model: dict[str, Any], folder: Path) -> dict[str, str]:
        if "keras-ocr" in model["adapter"]:  # as its contract has it
            monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
        (tmp_path / "load.py").write_text(LOAD)
        result = run_job(f"{tmp_path / 'load.py'}:load", {"model": model, "folder": str(folder)})
        assert result["ok"], result
        facts: dict[str, str] = result["facts"]
        for name, said in facts.items():
            assert said == "loaded" or (name in said and "\n" not in said), said
        return facts

    return run


# --- pickles ---------------------------------------------------------------------------------------------------------


class Runs:
    """Pickled, it is a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Later:
    """Calls when its state is set, and not when it is made."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (), None, None, iter([("x", Runs(os.makedirs, str(self.canary), 0o777, True))]))


def zipped(pickled: bytes, root: str = "archive", **more: bytes) -> bytes:
    """As ``torch.save`` packs since 1.6."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickled)
        archive.writestr(f"{root}/byteorder", "little")
        archive.writestr(f"{root}/version", "3\n")
        for name, data in more.items():
            archive.writestr(name.replace("__", "/"), data)
    return stream.getvalue()


def tarred(pickled: bytes) -> bytes:
    """As the oldest did."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(pickled)
            archive.addfile(info, io.BytesIO(pickled))
    return stream.getvalue()


def legacy(pickled: bytes, place: int) -> bytes:
    """As it did until 1.6: four pickles in a row."""
    row = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {})]
    row[place] = pickled
    return b"".join(row)


def evil_pickles(canary: Path) -> dict[str, bytes]:
    run = Runs(os.makedirs, str(canary), 0o777, True)
    plain = pickle.dumps(run, 2)
    code = f"__import__('os').makedirs({str(canary)!r}, exist_ok=True)"
    shell = Runs(os.system, f"mkdir -p '{canary}'")
    escape = zipped(plain)
    return {
        **{f"protocol {number}.pth": pickle.dumps(run, number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
        "os.system.pth": pickle.dumps(shell, 2),
        "eval.pth": pickle.dumps(Runs(eval, code), 2),
        "exec.pth": pickle.dumps(Runs(exec, code), 2),
        "getattr.pth": pickle.dumps(Runs(getattr, Runs(__import__, "os"), "sep"), 2),
        "in a state dict.pth": pickle.dumps({"Prediction.bias": run}, 2),
        "deep in lists.pth": pickle.dumps([[[{"x": (1, [run])}]]], 2),
        "as a key.pth": pickle.dumps({(1, 2): Later(canary)}, 2),
        "a module.pth": pickle.dumps({"module": subprocess.Popen, "x": run}, 2),
        "zip.pth": escape,
        "zip of protocol 4.pth": zipped(pickle.dumps(run, 4)),
        "zip with code.pth": zipped(plain, archive__code____torch__="import os", archive__constants="x"),
        "zip with constants.pth": zipped(pickle.dumps({}, 2), **{"archive__constants.pkl": plain}),
        "tar.pth": tarred(plain),
        **{f"legacy {number}.pth": legacy(plain, number) for number in range(4)},
    }


TORCH = [
    pytest.param(reference("craft", "Craft", "320"), marks=needs("torch", "cv2"), id="craft"),
    pytest.param(reference("easyocr", "EasyOCR"), marks=needs("torch"), id="easyocr"),
    pytest.param(
        reference("deep-text-recognition", "DeepTextRecognition", "None-VGG-None-CTC"),
        marks=needs("torch"),
        id="deep-text-recognition",
    ),
    pytest.param(
        reference("keras-ocr-craft", "KerasOCRCraft", "320"),
        marks=needs("torch", "keras_ocr", "tensorflow"),
        id="keras-ocr-craft",
    ),
]


@pytest.mark.parametrize("model", TORCH)
def test_no_model_runs_what_a_pth_file_holds(
    load_all: Callable[..., dict[str, str]], tmp_path: Path, model: dict[str, Any]
) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "files"
    folder.mkdir()
    files = evil_pickles(canary)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    said = load_all(model, folder)
    assert not canary.exists()
    assert said.keys() == files.keys()
    assert "loaded" not in said.values()


def test_the_pickles_are_as_bad_as_they_should_be(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name, data in evil_pickles(canary).items():
        if not name.startswith(("protocol", "os.system", "eval", "exec", "in a", "deep", "as a")):
            continue
        pickle.loads(data)
        assert canary.exists(), name
        canary.rmdir()


def test_what_a_pth_file_names_outside_of_it_is_not_written(
    load_all: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "a" / "b" / "files"
    folder.mkdir(parents=True)
    names = ["../escaped", "../../escaped", "archive/../../../escaped", str(tmp_path / "escaped")]
    state = zipped(pickle.dumps({}, 2), **dict.fromkeys(names, b"x"))
    (folder / "slip.pth").write_bytes(state)
    assert load_all(TORCH[1].values[0], folder)["slip.pth"] != "loaded"
    assert not list(tmp_path.rglob("escaped"))


@needs("torch")
def test_nan_in_a_pth_file_is_told(run_job: Run, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.py"
    jobs.write_text(
        "import torch\nfrom ocr_conformance.model import build\n\n\n"
        "def save(job):\n"
        "    state = build(job.params['model']).torch_model().state_dict()\n"
        "    state['Prediction.bias'][3] = float('nan')\n"
        "    torch.save(state, job.params['path'])\n"
        "    return {}\n\n\n"
        "def load(job):\n"
        "    build(job.params['model']).torch_model()\n"
    )
    path = tmp_path / "w.pth"
    model = TORCH[2].values[0]
    assert run_job(f"{jobs}:save", {"model": model, "path": str(path)})["ok"]
    weights = {"name": "w.pth", "path": str(path), "sha256": ""}
    result = run_job(f"{jobs}:load", {"model": {**model, "weights": weights}})
    assert result["type"] == "ValueError"
    assert result["message"].startswith("weights w.pth: 'Prediction.bias' has NaN in it")


# --- npz -------------------------------------------------------------------------------------------------------------

SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,)}


def npz(path: Path, **changed: Any) -> Path:
    arrays = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    np.savez_compressed(path, **{**arrays, **changed})
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"^weights w\.npz: ") as caught:
        read_npz(str(path), SHAPES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_npz_file_with_objects_runs_nothing(tmp_path: Path) -> None:
    path, canary = tmp_path / "w.npz", tmp_path / "canary"
    run = Runs(os.makedirs, str(canary), 0o777, True)
    npz(path, **{"dense/bias": np.array([run, run], object)})
    assert "'dense/bias' holds object, not numbers" in refused(path)
    for data in (pickle.dumps(run), pickle.dumps({"dense/bias": run}, 2)):
        path.write_bytes(data)
        assert "not a readable .npz file" in refused(path)
    with path.open("wb") as stream:  # one array, and not an archive of several
        np.save(stream, np.array([run], object), allow_pickle=True)
    assert "weights w.npz: " in refused(path)
    assert not canary.exists()
    np.load(path, allow_pickle=True)  # as bad as it should be
    assert canary.exists()


@pytest.mark.parametrize("dtype", ["U4", "S4", "M8[s]", "complex64", "bool", "V8"])
def test_arrays_of_no_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    assert "'dense/bias' holds " in refused(npz(tmp_path / "w.npz", **{"dense/bias": np.zeros(2, dtype)}))


def test_names_in_an_npz_file_are_no_paths(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = npz(folder / "w.npz")
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../escaped.npy", "../../escaped.npy", str(tmp_path / "escaped.npy")):
            archive.write(path, name)
    refused(path)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a", "b", "w.npz"]


BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from ocr_conformance.convert.named_weights import read_npz
try:
    read_npz(sys.argv[1], {"dense/kernel": (3, 2), "dense/bias": (2,)})
except ValueError as error:
    print(error)
status = open("/proc/self/status").read()  # what getrusage says survives an exec: the test's own memory would count
print(int(status.partition("VmHWM:")[2].split()[0]) >> 10)
"""


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("kind", ["unpacks to a gigabyte", "says that it has terabytes", "has another name"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, shape in SHAPES.items():
            target = f"{name}.npy"
            if name == "dense/bias" and kind == "says that it has terabytes":
                archive.writestr(target, header("(1099511627776,)"))
            elif name != "dense/bias" or kind == "has another name":
                archive.writestr(target, header(str(shape)) + bytes(4 * int(np.prod(shape))))
        if kind != "says that it has terabytes":
            name = "dense/more.npy" if kind == "has another name" else "dense/bias.npy"
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(header("(268435456,)"))
                for _ in range(64):
                    stream.write(bytes(1 << 24))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BOMB, str(path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said, megabytes = done.stdout.splitlines()
    assert said.startswith("weights w.npz: ")
    assert int(megabytes) < 300


def test_a_damaged_npz_file_is_refused_in_a_sentence(tmp_path: Path, whole: bool) -> None:
    """Or, where the damage is in what nothing reads, taken: its numbers are then the right ones."""
    path = npz(tmp_path / "w.npz")
    data = path.read_bytes()
    draw = random.Random(0)
    damaged = [data[:size] for size in range(0, len(data), 7)]
    for _ in range(5000 if whole else 300):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    intact = {name: np.ones(shape).tolist() for name, shape in SHAPES.items()}
    said = []
    for each in damaged:
        path.write_bytes(each)
        try:
            found = read_npz(str(path), SHAPES)
        except ValueError as error:
            said.append(str(error))
        else:
            assert {name: array.tolist() for name, array in found.items()} == intact
    assert all(text.startswith("weights w.npz: ") and "\n" not in text for text in said)
    assert len(said) > len(damaged) // 2


def test_nan_in_an_npz_file_is_told(tmp_path: Path) -> None:
    path = npz(tmp_path / "w.npz", **{"dense/bias": np.array([1, np.nan])})
    assert "'dense/bias' has NaN in it: training has failed, or the file is damaged" in refused(path)


# --- Keras -----------------------------------------------------------------------------------------------------------

KERAS = '''
import importlib
import os
import zipfile
from pathlib import Path


def make(job):
    """Files whose layers make the canary where they are built, and damaged ones."""
    keras = importlib.import_module(job.params["keras"])
    folder, canary = Path(job.params["folder"]), job.params["canary"]
    code = f"lambda x: (__import__('os').makedirs({canary!r}, exist_ok=True), x)[1]"
    given = keras.layers.Input((4,))
    evil = keras.Model(given, keras.layers.Dense(4, name="dense2")(keras.layers.Lambda(eval(code))(given)))
    evil.save(folder / "lambda.h5")
    evil.save(folder / "lambda.keras")
    evil.save_weights(str(folder / "lambda.weights.h5"))
    with zipfile.ZipFile(folder / "lambda.keras") as whole, zipfile.ZipFile(folder / "slip.keras", "w") as slip:
        for name in whole.namelist():
            slip.writestr(name, whole.read(name))
        for name in ("../canary", "../../canary", canary):
            slip.writestr(name, "x")
    h5, archive = (folder / "lambda.h5").read_bytes(), (folder / "lambda.keras").read_bytes()
    for name, data in {
        "empty.h5": b"", "empty.keras": b"", "half.h5": h5[: len(h5) // 2], "half.keras": archive[: len(archive) // 2],
        "text.weights.h5": b"weights", "nothing.keras": b"PK\\5\\6" + bytes(18), "artifact.tflite": b"TFL3" * 20,
        "pickle.pkl": b"\\x80\\x02K\\x01.", "no suffix": h5,
    }.items():
        (folder / name).write_bytes(data)
    if os.path.isdir(canary):
        os.rmdir(canary)
    keras.models.load_model(folder / "lambda.h5", compile=False, safe_mode=False)
    bad = os.path.isdir(canary)
    if bad:
        os.rmdir(canary)
    return {"bad": bad}
'''

KERAS_MODELS = [
    pytest.param(
        reference("captcha-ocr", "CaptchaOCR"), "keras", marks=needs("tensorflow", "tf_keras"), id="captcha-ocr"
    ),
    pytest.param(
        *(reference("captcha-ocr", "CaptchaOCR", "tf-keras"), "tf_keras"),
        marks=needs("tensorflow", "tf_keras"),
        id="captcha-ocr:tf-keras",
    ),
    pytest.param(
        reference("keras-ocr", "KerasOCR"), "tf_keras", marks=needs("tensorflow", "keras_ocr"), id="keras-ocr"
    ),
]


@pytest.mark.parametrize(("model", "keras"), KERAS_MODELS)
def test_no_layer_of_a_keras_file_is_built(
    run_job: Run, load_all: Callable[..., dict[str, str]], tmp_path: Path, model: dict[str, Any], keras: str
) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "a" / "files"
    folder.mkdir(parents=True)
    (tmp_path / "keras_jobs.py").write_text(KERAS)
    made = run_job(f"{tmp_path}/keras_jobs.py:make", {"keras": keras, "folder": str(folder), "canary": str(canary)})
    assert made["ok"], made
    assert made["facts"]["bad"]  # whoever loads it as a model runs it
    before = sorted(tmp_path.rglob("*"))
    said = load_all(model, folder)
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert {path.name for path in left} <= {"load.py", "job", ".job.json", ".result.json", ".stage"}
    assert len(said) == 13
    damaged = ("empty.", "half.", "text.", "nothing.", "artifact.", "pickle.", "no suffix")
    assert not [name for name, text in said.items() if text == "loaded" and name.startswith(damaged)]


# --- graphs, which are run -------------------------------------------------------------------------------------------

GRAPHS = """
import os

import tensorflow as tf
from ocr_conformance.job import import_file
from ocr_conformance.model import TensorSpec

SPEC = TensorSpec("x", (4,), "float32")


class Named:
    def inputs(self):
        return [SPEC]

    def outputs(self):
        return [TensorSpec("y", (4,), "float32")]


def make(job):
    canary = job.params["canary"]

    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32, "x")])
        def python(self, x):
            return {"y": tf.ensure_shape(tf.numpy_function(lambda v: (os.mkdir(canary), v)[1], [x], tf.float32), [4])}

        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32, "x")])
        def write(self, x):
            with tf.control_dependencies([tf.io.write_file(canary, "x")]):
                return {"y": tf.identity(x)}

    net = Net()
    for name in ("python", "write"):
        function = getattr(net, name)
        tf.saved_model.save(net, f"{job.params['folder']}/{name}", signatures={"serving_default": function})
        graph = tf.Graph()
        with graph.as_default():
            x = tf.compat.v1.placeholder(tf.float32, [4], "x")
            if name == "python":
                y = tf.compat.v1.py_func(lambda v: (os.mkdir(canary), v)[1], [x], tf.float32)
                tf.identity(tf.ensure_shape(y, [4]), "y")
            else:
                with tf.control_dependencies([tf.io.write_file(canary, "x")]):
                    tf.identity(x, "y")
        with open(f"{job.params['folder']}/{name}.pb", "wb") as stream:
            stream.write(graph.as_graph_def().SerializeToString())
    return {}


def use(job):
    from ocr_conformance.runtime.saved_model import SavedModelSession

    path = job.params["path"]
    if path.endswith(".pb"):
        frozen = import_file(job.params["frozen"])
        frozen.save(path, {"x": SPEC}, {"y": TensorSpec("y", (4,), "float32")}, str(job.out / "saved_model"))
        path = str(job.out / "saved_model")
    answer = SavedModelSession(path, Named())({"x": tf.zeros(4).numpy()})
    return {"y": answer["y"].tolist()}
"""


@needs("tensorflow")
def test_a_graph_carries_no_python_but_may_write_files(run_job: Run, tmp_path: Path) -> None:
    """A `PyFunc` names a function of the process that made it; other ops run, as SECURITY.md says."""
    assert "ops that read and write files" in " ".join((CHECKOUT / "SECURITY.md").read_text().split())
    (tmp_path / "graphs.py").write_text(GRAPHS)
    canary = tmp_path / "canary"
    made = run_job(f"{tmp_path}/graphs.py:make", {"folder": str(tmp_path), "canary": str(canary)})
    assert made["ok"], made
    assert not canary.exists()
    frozen = str(MODELS / "east" / "frozen.py")
    for form in ("python", "python.pb"):
        result = run_job(f"{tmp_path}/graphs.py:use", {"path": f"{tmp_path}/{form}", "frozen": frozen})
        assert not result["ok"], result
        assert "pyfunc_" in result["message"]
        assert not canary.exists()
    for form in ("write", "write.pb"):
        result = run_job(f"{tmp_path}/graphs.py:use", {"path": f"{tmp_path}/{form}", "frozen": frozen})
        assert result["ok"], result
        assert canary.exists()
        canary.unlink()


ONNX = '''
import onnx
from onnx import TensorProto, helper
from pathlib import Path

from ocr_conformance.model import build


def _write(path, initializers, nodes, domains=()):
    info = [helper.make_tensor_value_info(name, 1, [4]) for name in ("image", "scores")]
    graph = helper.make_graph(nodes, "net", info[:1], info[1:], initializers)
    sets = [helper.make_opsetid("", 17), *(helper.make_opsetid(each, 1) for each in domains)]
    path.write_bytes(helper.make_model(graph, opset_imports=sets, ir_version=9).SerializeToString())


def _external(location):
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def make_and_use(job):
    """By location of the weights: what the adapter's session, its weights' count and the hop say."""
    found = {}
    path = Path(job.params["model"]["weights"]["path"])
    add = helper.make_node("Add", ["image", "w"], ["scores"])
    for location in job.params["locations"]:
        _write(path, [_external(location)], [add])
        found[location] = _said(job)
    constant = helper.make_node("Constant", [], ["w"], value=_external("../secret"))
    _write(path, [], [constant, add])
    found["a constant"] = _said(job)
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("w", 1, [4])])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    branch = helper.make_node("If", ["yes"], ["v"], then_branch=inner, else_branch=inner)
    _write(path, [yes], [branch, helper.make_node("Add", ["image", "v"], ["scores"])])
    found["in a branch"] = _said(job)
    _write(path, [], [helper.make_node("Evil", ["image"], ["scores"], domain="com.evil")], ["com.evil"])
    found["an op of a library"] = _said(job)[:1]
    path.write_bytes(b"no onnx")
    found["no onnx"] = _said(job)
    return found


def _said(job):
    said = []
    for use in (lambda m: m.predictor(), lambda m: m.parameters(), lambda m: m.onnx_file()):
        try:
            said.append(f"used: {use(build(job.params['model']))}")
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said
'''


@needs("onnx", "onnxruntime")
def test_an_onnx_file_reads_no_other_file_and_no_library(run_job: Run, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (tmp_path / "secret", folder / "beside"):
        path.write_bytes(bytes(16))
    (folder / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "onnx_jobs.py").write_text(ONNX)
    model = reference("from-file", "OnnxFile", "", folder / "net.onnx")
    reading = {"color": "gray", "layout": "NCHW", "height": 1, "width": 4, "mean": 0.0, "std": 1.0, "pad": 0.0}
    model |= {"reading": {**reading, "input": "image", "output": "scores", "frames": 2}, "alphabet": "a"}
    locations = [
        "../secret",
        str(tmp_path / "secret"),
        "link",
        "../../../../../../../../etc/passwd",
        "beside",
        "nowhere",
    ]
    result = run_job(f"{tmp_path}/onnx_jobs.py:make_and_use", {"model": model, "locations": locations})
    assert result["ok"], result
    facts = result["facts"]
    (evil,) = facts.pop("an op of a library")
    assert "com.evil:Evil" in evil
    for said in facts.pop("no onnx"):
        assert said.startswith("ValueError: net.onnx is no ONNX file (")
    assert set(facts) == {*locations, "a constant", "in a branch"}
    for said in facts.values():
        assert all(
            each.startswith("ValueError: net.onnx keeps weights in other files: save it as one") for each in said
        )
