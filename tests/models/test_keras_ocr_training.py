"""Training keras-ocr: words are drawn alike everywhere, the twin is the package's network, training improves it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance.job import Job, import_file

CHECKOUT = Path(__file__).parents[2]
TRAINING = CHECKOUT / "models" / "keras-ocr" / "training"
PRELOAD = ("torch",)

needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "cv2", "matplotlib", "skimage")),
    reason="training needs torch, opencv-python, matplotlib and scikit-image (tox's `modern` has them)",
)


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """A folder with the DejaVu fonts of matplotlib's wheel."""
    from importlib import metadata

    folder = tmp_path / "fonts"
    folder.mkdir()
    for face in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif"):
        source = metadata.distribution("matplotlib").locate_file(f"matplotlib/mpl-data/fonts/ttf/{face}.ttf")
        shutil.copy(str(source), folder)
    return folder


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("bridge coffee flower garden hotel market mirror open pepper quick river station ticket window\n")
    return path


def train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TRAINING / "train.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def interrupt_at(step: int, *arguments: str | Path) -> int:
    """Ctrl-C after a step: a SIGINT for the whole group of processes, as a terminal sends it. The exit status."""
    command = [sys.executable, str(TRAINING / "train.py"), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f"step {step:6d} " in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        rest = process.stdout.read()
    assert "the same command goes on from there" in rest
    return process.returncode


# --- jobs: run in children -------------------------------------------------------------------------------------------


def drawn(job: Job) -> dict[str, Any]:
    """Hash and texts of a few drawn words."""
    render = import_file(str(TRAINING / "render.py"))
    fonts = dict.fromkeys(Path(job.params["fonts"]).iterdir(), 1.0)
    renderer = render.Renderer(["bridge", "candle"], fonts, seed=1)
    samples = [renderer.draw(number) for number in range(40)]
    digest = hashlib.sha256(b"".join(sample.image.tobytes() for sample in samples)).hexdigest()
    return {
        "sha256": digest,
        "texts": [sample.text for sample in samples],
        "centres": [sample.centres for sample in samples],
        "shapes": [list(sample.image.shape) for sample in samples],
    }


def twin_outputs(job: Job) -> dict[str, Any]:
    """The twin's probabilities beside the package's, on the same weights and images; the weights there and back."""
    import numpy as np

    from ocr_conformance.model import build

    path = job.params["model"]["weights"]["path"]
    train = import_file(str(TRAINING / "train.py"))
    train.training.write_npz(Path(path), train.model.seeded_weights())
    network = build(job.params["model"])
    images = np.random.default_rng(0).random((3, 31, 200, 1), np.float32)
    theirs = network.predict({"image": images})["probabilities"]
    import torch

    twin = train.build_twin()
    weights = train.model.read_npz(path, train.model.WEIGHT_SHAPES)
    with torch.no_grad():
        train.load_keras_weights(twin, weights)
        twin.eval()
        flipped = torch.from_numpy(images[:, ::-1, :, 0].transpose(0, 2, 1)[:, None].copy())
        # One by one: a batch runs in bfloat16.
        logits = torch.cat([twin(image[None]) for image in flipped])
    ours = logits[:, train.DISCARDED :].softmax(dim=2).numpy()
    back = train.keras_weights(twin)
    return {
        "difference": float(abs(ours - theirs).max()),
        "spread": float(np.ptp(theirs)),
        "same": all(np.array_equal(back[name], weights[name]) for name in weights),
    }


# ---------------------------------------------------------------------------------------------------------------------


@needs_torch
def test_drawn_words_are_a_function_of_seed_and_number(run_job: Callable[..., dict[str, Any]], fonts: Path) -> None:
    first, second = (run_job(f"{__file__}:drawn", {"fonts": str(fonts)})["facts"] for _ in range(2))
    assert first == second
    for text, centres, (height, width) in zip(first["texts"], first["centres"], first["shapes"], strict=True):
        assert text
        assert set(text) <= set("0123456789abcdefghijklmnopqrstuvwxyz")
        assert (height, len(centres)) == (31, len(text))
        assert width <= 200
        assert centres == sorted(centres)  # written from left to right, whatever the camera did
        assert 0 <= centres[0] <= centres[-1] <= width


@needs_torch
@pytest.mark.skipif(importlib.util.find_spec("keras_ocr") is None, reason="keras-ocr is not installed")
def test_the_twin_is_the_packages_network(
    run_job: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    weights = {"name": "file", "path": str(tmp_path / "seeded.npz"), "sha256": ""}
    adapter = CHECKOUT / "models" / "keras-ocr" / "model.py"
    model = {"adapter": f"{adapter}:KerasOCR", "variant": "", "weights": weights}
    facts = run_job(f"{__file__}:twin_outputs", {"model": model})["facts"]
    assert facts["difference"] < 1e-3 * facts["spread"]
    assert facts["same"]


@needs_torch
def test_training_improves_a_fresh_network_and_goes_on_where_it_was_stopped(
    fonts: Path, words: Path, tmp_path: Path
) -> None:
    """The machinery, not the accuracy: that takes an hour."""
    common = ("--words", words, "--fonts", fonts, "--processes", "2", "--held-out", "8", "--every", "0")
    whole = train(*common, "--steps", "14", "--out", tmp_path / "whole.npz")
    assert whole.returncode == 0, whole.stderr
    losses = [float(line.split("ctc")[1].split()[0]) for line in whole.stdout.splitlines() if " ctc " in line]
    assert len(losses) == 14
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert "14 steps in" in whole.stdout
    assert "of 8 held-out drawn words" in whole.stdout

    part = (*common, "--steps", "14", "--out", tmp_path / "part.npz")
    assert interrupt_at(6, *part) == 130
    assert not (tmp_path / "part.npz").exists()
    other = train(*part, "--seed", "2")
    assert other.returncode == 2
    assert "part.npz.ckpt is of another run" in other.stderr
    assert "Traceback" not in other.stderr

    again = train(*part)
    assert again.returncode == 0, again.stderr
    assert "step      6 " not in again.stdout  # it did not begin anew
    assert (tmp_path / "part.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not list(tmp_path.glob("*.ckpt"))


@needs_torch
def test_what_cannot_be_used_is_one_sentence(fonts: Path, words: Path, tmp_path: Path) -> None:
    empty, foreign, broken = tmp_path / "empty", tmp_path / "foreign.txt", tmp_path / "broken.ckpt"
    empty.mkdir()
    foreign.write_text("длина 123\n")
    broken.write_bytes(b"nonsense")
    few = tmp_path / "few.txt"
    few.write_text("bridge\n")
    cases = [
        (("--words", tmp_path / "none.txt", "--fonts", fonts), "--words", "give a text file of English words"),
        (("--words", foreign, "--fonts", fonts), "foreign.txt", "no word of 2 to 14 letters a-z"),
        (("--words", few, "--fonts", fonts), "few.txt", "none of the words is held out"),
        (("--words", words, "--fonts", empty), f"--fonts {empty}", "no .ttf, .otf or .woff file"),
        (("--words", words, "--fonts", fonts, "--checkpoint", broken), "broken.ckpt", "is no checkpoint"),
        (("--words", words, "--fonts", fonts, "--out", words / "x.npz"), "x.npz", "cannot be written"),
        (("--words", words, "--fonts", fonts, "--start", foreign), "--start", "foreign.txt: not a readable .npz"),
        (("--words", words, "--minutes", "-1"), "--minutes", "-1 is not a positive number"),
    ]
    for arguments, *parts in cases:
        done = train("--processes", "1", "--out", tmp_path / "out.npz", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        for part in parts:
            assert part in done.stderr
        assert "Traceback" not in done.stderr


def average(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TRAINING / "average.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_runs_are_averaged_by_their_shares(tmp_path: Path) -> None:
    import numpy as np

    model = import_file(str(TRAINING.parent / "model.py"))
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for path, value in zip(files, (1.0, 2.0), strict=True):
        np.savez(path, **{name: np.full(shape, value, np.float16) for name, shape in model.WEIGHT_SHAPES.items()})
    done = average(f"{files[0]}:1", f"{files[1]}:3", "--out", tmp_path / "mean.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "mean.npz") as mean:
        assert set(mean) == set(model.WEIGHT_SHAPES)
        assert all(mean[name].dtype == np.float16 and (mean[name] == 1.75).all() for name in mean)
    digest = hashlib.sha256((tmp_path / "mean.npz").read_bytes()).hexdigest()
    assert done.stdout == f"{tmp_path / 'mean.npz'}: sha256 {digest}\n"

    for arguments, said in (
        ((f"{files[0]}",), "expected FILE.npz:SHARE with a share above 0"),
        ((f"{files[0]}:-1",), "expected FILE.npz:SHARE with a share above 0"),
        ((f"{tmp_path / 'none.npz'}:1",), "none.npz: not a readable .npz"),
    ):
        done = average(*arguments, "--out", tmp_path / "other.npz")
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "other.npz").exists()


# --- fonts -----------------------------------------------------------------------------------------------------------


def package(files: dict[str, bytes]) -> bytes:
    """A ``.tgz`` as npm serves them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_fonts_are_fetched_once_and_held_against_their_hash(tmp_path: Path, server: Any) -> None:
    render = import_file(str(TRAINING / "render.py"))
    files = {"files/toy-latin-400-normal.woff": b"font", "files/toy-greek-400-normal.woff": b"no", "LICENSE": b"OFL"}
    data = package(files | {"../../escaped-latin-400-normal.woff": b"bad"})
    server.pages = {"/toy/-/toy-1.0.0.tgz": data}
    table = tmp_path / "fonts.tsv"
    sha512 = base64.b64encode(hashlib.sha512(data).digest()).decode()
    table.write_text(f"# name\ntoy\t1.0.0\tOFL-1.1\tserif\t400-normal\t{sha512}\n")
    registry = server.url("") + "{name}/-/{name}-{version}.tgz"
    folder = tmp_path / "fonts"
    ((path, odds),) = render.fetch_fonts(folder, table, registry).items()
    assert odds == render.ODDS["serif"]
    assert path.read_bytes() == b"font"
    assert {each.name for each in folder.rglob("*") if each.is_file()} == {"toy-latin-400-normal.woff", "LICENSE"}
    assert render.fetch_fonts(folder, table, registry) == {path: odds}
    assert len(server.asked) == 1

    table.write_text(f"toy\t1.0.0\tOFL-1.1\tserif\t700-normal\t{sha512}\n")
    with pytest.raises(ValueError, match=r"has no toy-latin-700-normal\.woff, which"):
        render.fetch_fonts(folder, table, registry)
    table.write_text(f"toy\t1.0.0\tOFL-1.1\tserif\t400-normal\t{base64.b64encode(bytes(64)).decode()}\n")
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="hash"):
        render.fetch_fonts(folder, table, registry)
    assert not list(folder.rglob("*.woff"))


def test_every_font_names_its_licence() -> None:
    rows = [line.split("\t") for line in (TRAINING / "fonts.tsv").read_text("utf-8").splitlines()[1:]]
    assert len(rows) > 300
    assert {row[2] for row in rows} == {"OFL-1.1", "Apache-2.0"}
    assert {row[3] for row in rows} == {"sans-serif", "serif", "monospace", "display", "handwriting"}
    assert len({row[0] for row in rows}) == len(rows)
    for row in rows:
        assert len(base64.b64decode(row[5])) == 64, row
