"""Training the captcha recognizer: the split, the twin in PyTorch, and a run's machinery. Not how well it reads."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_conformance.job import import_file

Run = Callable[..., dict[str, Any]]
PRELOAD = ("torch",)

CHECKOUT = Path(__file__).parents[2]
ADAPTER = CHECKOUT / "models" / "captcha-ocr" / "model.py"
SCRIPT = ADAPTER.with_name("training") / "train.py"
RENDERED = CHECKOUT / "fixtures" / "captcha"
SHIPPED = CHECKOUT / "fixtures" / "weights" / "captcha_ocr_f16.npz"

WEIGHTS = ("seeded", "shipped")
HELD_OUT = ["2f64p", "63mg7", "6556b", "dewe3", "n5e5c", "ncf77", "nf57n"]
"""The built-in captchas that the rule holds out."""
RIGHT = 79
"""How many of the 79 real captchas that are held out the shipped weights read wholly right."""

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="training needs torch, which is not installed"
)
needs_all = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "tensorflow", "tf_keras")),
    reason="the comparison needs torch, tensorflow and tf_keras, not all of which are installed",
)


def module() -> Any:
    return import_file(str(SCRIPT))


# --- the split ---


def test_the_split_can_be_recomputed_by_anybody() -> None:
    held_out = module().held_out
    labels = [path.stem for path in sorted(RENDERED.glob("*.png"))]
    assert [label for label in labels if held_out(label)] == HELD_OUT
    for label in labels:
        # The last decimal digit of the hash, as `sha256sum` and `bc` give it.
        assert held_out(label) == (str(int(hashlib.sha256(label.encode()).hexdigest(), 16))[-1] == "0")


def test_a_tenth_of_the_real_captchas_is_held_out(shared: Callable[[str], Path]) -> None:
    labels = [path.stem for path in shared("captcha").glob("*.png")]
    assert (len(labels), sum(map(module().held_out, labels))) == (842, 79)


def test_the_held_out_captchas_can_be_copied_to_judge_by(tmp_path: Path) -> None:
    assert module().main([f"--data={RENDERED}", f"--copy-held-out={tmp_path / 'unseen'}"]) == 0
    assert sorted(path.stem for path in (tmp_path / "unseen").iterdir()) == HELD_OUT


# --- the twin ---


@needs_all
def test_the_twin_is_the_network(run_job: Run) -> None:
    """On the seeded weights, which are harsh, and on the shipped ones."""
    result = run_job(f"{__file__}:compare", {"images": sorted(map(str, RENDERED.glob("*.png")))[:8]})
    assert result["ok"], result
    assert set(result["facts"]) == {f"{weights}:{variant}" for weights in WEIGHTS for variant in ("", "tf-keras")}
    for name, facts in result["facts"].items():
        assert facts["difference"] < 1e-4, name
        assert facts["range"] > 0.5, name
        assert facts["texts"] == facts["twin's texts"], name


@needs_all
def test_the_shipped_weights_read_the_held_out_captchas(run_job: Run, shared: Callable[[str], Path]) -> None:
    images = [str(path) for path in sorted(shared("captcha").glob("*.png")) if module().held_out(path.stem)]
    result = run_job(f"{__file__}:compare", {"images": images})
    assert result["ok"], result
    for variant in ("", "tf-keras"):
        facts = result["facts"][f"shipped:{variant}"]
        assert facts["difference"] < 1e-4
        read = [text == Path(path).stem for text, path in zip(facts["texts"], images, strict=True)]
        assert sum(read) == RIGHT


def compare(job: Any) -> dict[str, Any]:
    """A job: probabilities of the adapter's Keras network and of the twin, both from the same float16 file."""
    import torch

    from ocr_conformance.model import build

    job.stage("source")
    own = module()
    seeded = job.out / "seeded.npz"
    own.training.write_npz(seeded, own.adapter.seeded_weights(len(own.adapter.ALPHABET) + 1))
    facts = {}
    for name, path in zip(WEIGHTS, (seeded, SHIPPED), strict=True):
        for variant in ("", "tf-keras"):
            weights = {"name": "file", "path": str(path), "sha256": ""}
            model = build({"adapter": f"{ADAPTER}:CaptchaOCR", "variant": variant, "weights": weights})
            image = np.concatenate([model.preprocess(file)["image"] for file in job.params["images"]])
            expected = model.predict({"image": image})["probabilities"]
            layers = own.network(seed=1)
            with np.load(path) as stored:
                assert {array.dtype for array in stored.values()} == {np.dtype(np.float16)}
                own.load(layers, stored)
            with torch.inference_mode():
                found = own.scores(layers, torch.from_numpy(image[..., 0]).transpose(1, 2)).exp().numpy()
            facts[f"{name}:{variant}"] = {
                "difference": float(np.abs(found - expected).max()),
                "range": float(np.ptp(expected, axis=1).max()),
                "texts": model.decode({"probabilities": expected}),
                "twin's texts": model.decode({"probabilities": found}),
            }
    return facts


# --- a run ---


@needs_torch
def test_a_run_learns(run_job: Run, tmp_path: Path) -> None:
    out = tmp_path / "weights.npz"
    arguments = ["--data", str(RENDERED), "--out", str(out), "--steps", "40", "--batch", "8", "--rendered", "0"]
    result = run_job(f"{__file__}:learn", {"arguments": arguments, "out": str(out)})
    assert result["ok"], result
    facts = result["facts"]
    assert facts["status"] == 0
    assert facts["loss after"] < 0.6 * facts["loss before"]
    lines = facts["printed"].splitlines()
    assert lines[0] == f"{64 - len(HELD_OUT)} captchas to train on, {len(HELD_OUT)} held out"
    assert lines[-3].startswith("held out: ")
    assert lines[-3].endswith("weights in float16")
    assert lines[-2].endswith(" seconds, 40 steps")
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert lines[-1] == f"{out}: {out.stat().st_size} bytes, sha256 {digest}"
    assert out.stat().st_size <= 1 << 20
    assert [path.name for path in tmp_path.glob("weights*")] == ["weights.npz"]


def learn(job: Any) -> dict[str, Any]:
    """A job: a short run, and the loss on a fixed batch of undistorted captchas before and after it."""
    import torch

    job.stage("source")
    own = module()
    captchas = own.read(RENDERED).those(False)

    def loss(layers: Any) -> float:
        with torch.inference_mode():
            return float(own.ctc(own.scores(layers, captchas.images), captchas.texts))

    layers = own.network(seed=1)
    before = loss(layers)
    status, printed = call(job.params["arguments"])
    with np.load(job.params["out"]) as stored:
        own.load(layers, stored)
    return {"loss before": before, "loss after": loss(layers), "status": status, "printed": printed}


@needs_torch
def test_an_interrupted_run_goes_on_to_the_same_weights(run_job: Run, tmp_path: Path) -> None:
    result = run_job(f"{__file__}:interrupt", {"folder": str(tmp_path)})
    assert result["ok"], result
    facts = result["facts"]
    checkpoint = tmp_path / "b.npz.ckpt"
    assert facts["straight"][0] == 0
    status, printed = facts["interrupted"]
    assert status == 130
    assert printed.splitlines()[-1] == f"interrupted at step 5; the same command goes on from {checkpoint}"
    for name, path, reason in (
        ("seed", checkpoint, "is of another run (seed: 1, here: 2)"),
        ("network", tmp_path / "other.ckpt", "is of another run (network: keras-ocr, here: captcha-ocr)"),
        ("damaged", tmp_path / "damaged.ckpt", "is no checkpoint of this script"),
    ):
        assert facts[name] == [2, f"error: {path} {reason}: delete it, or name another --checkpoint\n"]
    status, printed = facts["resumed"]
    assert status == 0
    assert printed.splitlines()[1] == f"going on from {checkpoint}, step 5"
    assert facts["same"]
    assert facts["other seed differs"]
    assert not checkpoint.exists()


def interrupt(job: Any) -> dict[str, Any]:
    """A job: a run in one go; the same run stopped by Ctrl-C in its fifth step, refused to others, and continued."""
    job.stage("source")
    own = module()
    folder = Path(job.params["folder"])
    step = own.Run.step

    def stopped(run: Any, captchas: Any) -> float:
        loss: float = step(run, captchas)
        if run.budget.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a process of its own; a job dies of it

    def arguments(out: str, *more: str) -> list[str]:
        options = ["--data", str(RENDERED), "--steps", "9", "--batch", "4", "--rendered", "0"]
        return [*options, "--out", str(folder / out), *more]

    facts: dict[str, Any] = {
        "straight": call(arguments("a.npz")),
        "other seed": call(arguments("c.npz", "--seed", "2")),
    }
    own.Run.step = stopped
    facts["interrupted"] = call(arguments("b.npz"))
    own.Run.step = step
    checkpoint = folder / "b.npz.ckpt"
    facts["seed"] = call(arguments("b.npz", "--seed", "2"))
    state = own.training.load_checkpoint(checkpoint)
    state["command"]["network"] = "keras-ocr"
    own.training.save_checkpoint(folder / "other.ckpt", state)
    facts["network"] = call(arguments("b.npz", "--checkpoint", str(folder / "other.ckpt")))
    (folder / "damaged.ckpt").write_bytes(checkpoint.read_bytes()[:5000])
    facts["damaged"] = call(arguments("b.npz", "--checkpoint", str(folder / "damaged.ckpt")))
    facts["resumed"] = call(arguments("b.npz"))
    whole, parts, other = ((folder / f"{name}.npz").read_bytes() for name in "abc")
    return {**facts, "same": whole == parts, "other seed differs": whole != other}


def call(arguments: list[str]) -> tuple[int, str]:
    """The command in this process: its exit status and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = module().main(arguments)
    return status, printed.getvalue()


@needs_torch
def test_drawn_captchas_say_where_their_characters_are(run_job: Run) -> None:
    """With stand-ins for what the package draws, which need not be installed: squares as wide as 20 pixels."""
    result = run_job(f"{__file__}:draw")
    assert result["ok"], result
    facts = result["facts"]
    assert facts["classes in order"] == facts["classes"]
    assert facts["middles are inked"]
    assert facts["moved"] == pytest.approx(facts["picture moved"], abs=2)
    assert facts["loss of the truth"] == pytest.approx(0, abs=1e-4)


def draw(job: Any) -> dict[str, Any]:
    """A job: a drawn captcha's columns against its pixels, as drawn and distorted."""
    import torch

    job.stage("source")
    own = module()
    squares = import_file(__file__)
    own.beside = lambda *_: SimpleNamespace(
        captcha=SimpleNamespace(image=SimpleNamespace(ImageCaptcha=squares.Maker)),
        Seeded=lambda rng: rng,
        generator=lambda *name: np.random.default_rng(abs(name[-1]) + 1),
    )
    image, columns, text = own.drawn(0)
    alphabet = own.adapter.ALPHABET
    known = [index for index in columns if index not in (own.IGNORED, len(alphabet))]
    order = [index for number, index in enumerate(columns) if number and index != columns[number - 1]]
    order = [int(index) for index in order if 0 <= index < len(alphabet)]
    given = own.Batch(torch.from_numpy(image[None] / np.float32(255)), torch.from_numpy(columns[None]), [text])
    moved = own.distort(given, own.chance(1, 6))

    def middle(batch: Any) -> float:
        inside = (batch.columns[0] >= 0) & (batch.columns[0] < len(alphabet))
        return float(torch.arange(200)[inside].float().mean())

    def inked(batch: Any) -> float:
        dark = (batch.images[0, 10:40].amax() - batch.images[0, 10:40]).sum(0).square()
        return float((torch.arange(200) * dark).sum() / dark.sum())

    truth = torch.full((1, 50, 20), -30.0)
    for frame, index in enumerate(columns[2::4]):
        truth[0, frame, max(0, int(index))] = 0
    return {
        "classes": [alphabet.index(character) for character in text],
        "classes in order": order,
        "middles are inked": bool(known) and bool((image[25, columns >= 0][columns[columns >= 0] < 19] < 128).all()),
        "moved": middle(moved) - middle(given),
        "picture moved": inked(moved) - inked(given),
        "loss of the truth": float(own.framewise(truth, given.columns)),
    }


@needs_torch
@pytest.mark.skipif(
    importlib.util.find_spec("captcha") is None, reason="drawing needs the package captcha, which is not installed"
)
def test_the_package_draws_the_same_again(run_job: Run) -> None:
    result = run_job(f"{__file__}:draw_twice")
    assert result["ok"], result
    facts = result["facts"]
    assert facts["first"] == facts["second"]
    assert len(set(facts["texts"])) == len(facts["texts"])
    assert facts["characters marked"] == [5] * len(facts["texts"])


def draw_twice(job: Any) -> dict[str, Any]:
    """A job: captchas that the package draws, twice each."""
    job.stage("source")
    own = module()

    def digests() -> list[str]:
        own.drawn.cache_clear()
        return [hashlib.sha256(own.drawn(number)[0].tobytes()).hexdigest() for number in range(20)]

    first, second = digests(), digests()
    blank = len(own.adapter.ALPHABET)
    marked = []
    for number in range(20):
        inside = (own.drawn(number)[1] >= 0) & (own.drawn(number)[1] < blank)
        marked.append(int((np.diff(inside.astype(int), prepend=0) == 1).sum()))
    texts = [own.drawn(number)[2] for number in range(20)]
    return {"first": first, "second": second, "texts": texts, "characters marked": marked}


class Maker:
    """Stands in for the captcha package's ``ImageCaptcha``."""

    def __init__(self, **_: Any) -> None:
        self.lookup_table = list(range(256))

    def _draw_character(self, character: str, drawing: Any, color: Any) -> Image.Image:
        return Image.new("RGBA", (20, 30), (*color, 255))

    def create_noise_curve(self, image: Image.Image, color: Any) -> None: ...


# --- what cannot be used ---


def run_script(*arguments: str) -> tuple[int, str]:
    """The script as a user runs it; its exit status and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def captchas(tmp_path: Path) -> Path:
    """A folder of two captchas, one of them held out."""
    folder = tmp_path / "captchas"
    folder.mkdir()
    for label in (HELD_OUT[0], "37e75"):
        (folder / f"{label}.png").write_bytes((RENDERED / f"{label}.png").read_bytes())
    return folder


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    status, message = run_script("--data", str(missing), "--out", str(tmp_path / "w.npz"))
    assert (status, message) == (2, f"error: --data {missing} is not a folder\n")


def test_a_folder_without_captchas(tmp_path: Path) -> None:
    status, message = run_script("--data", str(tmp_path), "--out", str(tmp_path / "w.npz"))
    assert (status, message) == (2, f"error: --data {tmp_path} holds no captcha (a file LABEL.png)\n")


@pytest.mark.parametrize("label", ["37e7a", "37e7", "37E75"])
def test_a_name_that_is_no_label(captchas: Path, tmp_path: Path, label: str) -> None:
    path = captchas / f"{label}.png"
    path.write_bytes((captchas / "37e75.png").read_bytes())
    status, message = run_script("--data", str(captchas), "--out", str(tmp_path / "w.npz"))
    wanted = "5 characters of 2345678bcdefgmnpwxy"
    assert (status, message) == (2, f"error: {path} is not named by its label: {label!r} is not {wanted}\n")


def test_a_split_of_nothing(captchas: Path, tmp_path: Path) -> None:
    (captchas / f"{HELD_OUT[0]}.png").unlink()
    status, message = run_script("--data", str(captchas), "--out", str(tmp_path / "w.npz"))
    assert (status, message) == (
        2,
        f"error: --data {captchas} holds too few captchas (1): none of them is held out\n",
    )


def test_a_file_that_is_no_picture(captchas: Path, tmp_path: Path) -> None:
    (captchas / "37e75.png").write_bytes(b"nonsense")
    status, message = run_script("--data", str(captchas), "--out", str(tmp_path / "w.npz"))
    assert status == 2
    assert message.startswith(f"error: {captchas / '37e75.png'} is not an image that can be read")
    assert message.count("\n") == 1


def test_a_place_that_takes_no_file(captchas: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, reason in ((tmp_path / "file" / "w.npz", "File exists"), (captchas, "it is a folder")):
        status, message = run_script("--data", str(captchas), "--out", str(out))
        assert (status, message) == (2, f"error: {out} cannot be written ({reason}): name another file\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("torch", ""), pytest.param("captcha", " (or draw nothing, by --rendered 0)", marks=needs_torch)],
)
def test_a_package_that_is_missing(captchas: Path, tmp_path: Path, name: str, hint: str) -> None:
    code = f"import runpy, sys; sys.modules[{name!r}] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    command = [sys.executable, "-c", code, "--data", str(captchas), "--out", str(tmp_path / "w.npz")]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    message = f"error: training needs the package {name}: install the extra train{hint}\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_numbers_that_make_no_batch(captchas: Path) -> None:
    for option in (("--batch", "0"), ("--rendered", "1"), ("--threads", "0")):
        status, message = run_script("--data", str(captchas), *option)
        assert status == 2
        assert message.splitlines()[-1].endswith(
            "--batch and --threads are at least 1, --rendered at least 0 and below 1"
        )
