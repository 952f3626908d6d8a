"""Train the captcha recognizer: ``python models/captcha-ocr/training/train.py --data DIR``.

``DIR`` holds pictures ``LABEL.png``, as the data set of the keras.io example does (captcha_images_v2, Wilhelmy and
Rosas 2013). A tenth of them is held out by `held_out`: never trained on, never used to choose weights; what the last
step leaves is shipped. Needs the extra ``train``.

The network is the example's (https://keras.io/examples/vision/captcha_ocr/), trained in PyTorch and written under the
names that the adapter reads. What it is fed is not the example's: half of each batch is drawn by the ``captcha``
package, and every picture is distorted.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.named_weights import glorot
from ocr_conformance.job import beside
from ocr_conformance.model import Weights

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt
    import torch

    Arrays = dict[str, npt.NDArray[np.float32]]

adapter = beside(__file__, "../model.py")
training = beside(__file__, "../../training.py")

PEAK = 2e-3
"""Learning rate of AdamW at its highest."""
POOL = 8000
"""Different pictures that are drawn; a run that asks for more sees them again, distorted otherwise."""
IGNORED = -100
"""Class of a column of which nothing is known (the default ``ignore_index`` of PyTorch's losses)."""
NETWORK = "captcha-ocr"


def held_out(label: str) -> bool:
    """Whether the captcha of this text is kept for validation: every tenth, by the SHA-256 of the text."""
    return int(hashlib.sha256(label.encode()).hexdigest(), 16) % 10 == 0


# --- data ---


@dataclass(frozen=True)
class Captchas:
    """Pictures ``[N, 50, 200]`` float32 in [0, 1], rows first, and their texts."""

    images: torch.Tensor
    texts: list[str]

    def those(self, kept: bool) -> Captchas:
        """The held out ones, or the others."""
        where = [number for number, text in enumerate(self.texts) if held_out(text) == kept]
        return Captchas(self.images[where], [self.texts[number] for number in where])


def read(folder: Path) -> Captchas:
    """Every ``LABEL.png`` of a folder, read by the adapter's own preprocessing.

    Raises:
        training.Refused: there is no such folder, or no picture in it; a name is no label; a file is no picture; or
            either part of the split is empty.
    """
    import numpy as np

    if not folder.is_dir():
        raise training.Refused(f"--data {folder} is not a folder")
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise training.Refused(f"--data {folder} holds no captcha (a file LABEL.png)")
    for path in paths:
        if len(path.stem) != adapter.LABEL_LENGTH or not set(path.stem) <= set(adapter.ALPHABET):
            wanted = f"{adapter.LABEL_LENGTH} characters of {adapter.ALPHABET}"
            raise training.Refused(f"{path} is not named by its label: {path.stem!r} is not {wanted}")
    for kept, what in ((True, "held out"), (False, "left to train on")):
        if not any(held_out(path.stem) == kept for path in paths):
            raise training.Refused(f"--data {folder} holds too few captchas ({len(paths)}): none of them is {what}")
    model = reader()
    try:
        images = [model.phone_preprocess(str(path))["image"][0, :, :, 0].T for path in paths]
    except ValueError as error:
        raise training.Refused(str(error)) from error
    import torch

    return Captchas(torch.from_numpy(np.stack(images)), [path.stem for path in paths])


def reader() -> Any:
    """The adapter, for what it does without a framework: preprocessing and decoding."""
    return adapter.CaptchaOCR("", Weights("none", None, ""))


@functools.cache
def drawn(number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], str]:
    """A captcha in the hand of the ``captcha`` package, none of the built-in ones, set narrower and wider than theirs.

    Returns:
        Picture ``[50, 200]``; class of each of its columns ``[200]``: a character's around its middle, else the blank,
        and `IGNORED` between those; the text.
    """
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter, ImageOps

    render = beside(__file__, "../../../fixtures/render.py")
    rng = render.generator("captcha-training", number)
    render.captcha.image.secrets = render.Seeded(rng)
    size = int(rng.integers(30, 43))
    maker = render.captcha.image.ImageCaptcha(width=adapter.WIDTH, height=adapter.HEIGHT, font_sizes=(size,))
    classes = [int(i) for i in rng.integers(len(adapter.ALPHABET), size=adapter.LABEL_LENGTH)]
    text = "".join(adapter.ALPHABET[i] for i in classes)
    # Light on dark and then inverted, as the built-in ones are.
    paper, ink = ((int(rng.integers(low, high)),) * 3 for low, high in ((0, 60), (165, 256)))
    image = Image.new("RGB", (adapter.WIDTH, adapter.HEIGHT), paper)
    glyphs = [maker._draw_character(character, ImageDraw.Draw(image), ink) for character in text]
    gaps = rng.integers(-4, int(rng.choice([2, 16])), size=len(glyphs))
    free = adapter.WIDTH - sum(glyph.width for glyph in glyphs)
    gaps = np.minimum(gaps, free // len(glyphs))
    left = int(rng.integers(max(0, free - gaps.sum()) + 1))
    columns = np.full(adapter.WIDTH, len(adapter.ALPHABET))
    for glyph, gap, index in zip(glyphs, gaps, classes, strict=True):
        top = (adapter.HEIGHT - glyph.height) // 2
        image.paste(glyph, (left, top), glyph.convert("L").point(maker.lookup_table))
        away = np.abs(np.arange(adapter.WIDTH) + 0.5 - (left + glyph.width / 2))
        columns[away < 7] = IGNORED
        columns[away < 4] = index
        left += glyph.width + int(gap)
    maker.create_noise_curve(image, ink)
    return np.asarray(ImageOps.invert(image.filter(ImageFilter.SMOOTH).convert("L"))), columns, text


def chance(seed: int, step: int) -> torch.Generator:
    """All that is random in a step, whenever and after whatever interruption it is made."""
    import torch

    digest = hashlib.sha256(f"{NETWORK}/{seed}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


@dataclass(frozen=True)
class Batch:
    """Pictures ``[N, 50, 200]``, the class of each of their columns ``[N, 200]`` where it is known, their texts."""

    images: torch.Tensor
    columns: torch.Tensor
    texts: list[str]


def batch(captchas: Captchas, size: int, rendered: int, rng: torch.Generator) -> Batch:
    """So many pictures, of which the last ``rendered`` are drawn; not yet distorted."""
    import numpy as np
    import torch

    real = torch.randint(len(captchas.texts), (size - rendered,), generator=rng).tolist()
    images, texts = [captchas.images[real]], [captchas.texts[number] for number in real]
    columns = [torch.full((size - rendered, adapter.WIDTH), IGNORED)]
    for number in torch.randint(POOL, (rendered,), generator=rng).tolist():
        image, known, text = drawn(number)
        images.append(torch.from_numpy(image[None] / np.float32(255)))
        columns.append(torch.from_numpy(known[None]))
        texts.append(text)
    return Batch(torch.cat(images), torch.cat(columns), texts)


def distort(given: Batch, rng: torch.Generator) -> Batch:
    """Other pictures of the same texts.

    Moved, scaled, turned, sheared, warped (Simard et al. 2003, on a coarse grid), crossed by up to two bent lines like
    those of the data set, blurred, of another contrast and brightness, noisy. Each picture has a strength of its own
    for all of that, from none to full.
    """
    import torch
    from torch.nn import functional

    images = given.images
    count, height, width = images.shape
    strength = torch.rand(count, 1, 1, generator=rng)

    def within(limit: float, *shape: int) -> torch.Tensor:
        return (2 * torch.rand(count, *shape, generator=rng) - 1) * limit

    y = torch.arange(height).sub((height - 1) / 2).reshape(1, height, 1)
    x = torch.arange(width).sub((width - 1) / 2).reshape(1, 1, width)
    warp = functional.interpolate(within(2.5, 2, 4, 9), (height, width), mode="bicubic", align_corners=True)
    from_x = x + strength * (within(0.12, 1, 1) * x + within(0.25, 1, 1) * y + within(10, 1, 1) + warp[:, 0])
    from_y = y + strength * (within(0.15, 1, 1) * y + within(0.06, 1, 1) * x + within(4, 1, 1) + warp[:, 1])
    grid = torch.stack([from_x * 2 / (width - 1), from_y * 2 / (height - 1)], -1)
    images = functional.grid_sample(images[:, None], grid, padding_mode="border", align_corners=True)

    smooth = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    images = torch.lerp(images, smooth, strength[:, None] * torch.rand(count, 1, 1, 1, generator=rng))[:, 0]
    for _ in range(2):
        images = images * cross(x, y, strength, rng)
    images = (images - 0.5) * (1 + strength * within(0.4, 1, 1)) + 0.5 + strength * within(0.2, 1, 1)
    noise = torch.randn(images.shape, generator=rng)
    images = images + 0.1 * strength * torch.rand(count, 1, 1, generator=rng) * noise
    middle = (from_x[:, height // 2] + (width - 1) / 2).round().long().clamp(0, width - 1)
    return Batch(images.clamp(0, 1), given.columns.gather(1, middle), given.texts)


def cross(x: torch.Tensor, y: torch.Tensor, strength: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Factors ``[N, 50, 200]`` that draw a line of two pieces on a part of the pictures, the more the stronger."""
    import torch

    count, height, width = len(strength), y.numel(), x.numel()
    place = torch.rand(count, 3, 2, 1, 1, generator=rng) - 0.5
    points = place * torch.tensor([width, height]).reshape(2, 1, 1)
    half = 0.5 + torch.rand(count, 1, 1, generator=rng)
    ink = torch.zeros(count, height, width)
    for start, end in ((points[:, 0], points[:, 1]), (points[:, 1], points[:, 2])):
        along = end - start
        to_x, to_y = x - start[:, 0], y - start[:, 1]
        part = (to_x * along[:, 0] + to_y * along[:, 1]) / (along.square().sum(1) + 1e-6)
        part = part.clamp(0, 1)
        distance = torch.hypot(to_x - part * along[:, 0], to_y - part * along[:, 1])
        ink = torch.maximum(ink, (half + 0.5 - distance).clamp(0, 1))
    shown = torch.rand(count, 1, 1, generator=rng) < 0.8 * strength
    shade = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=rng)
    factors: torch.Tensor = 1 - ink * shown * shade
    return factors


# --- the network ---


def network(seed: int) -> torch.nn.ModuleDict:
    """The adapter's layers by name, with Keras' first weights, almost.

    Those are Glorot's uniform kernels, orthogonal recurrent ones, zero biases, and one for the LSTMs' forget gates.
    Here a kernel's sum is zero as well (pictures are mostly white, and white says nothing), and before a ReLU it is
    larger by the root of two (He et al. 2015).
    """
    import torch
    from torch import nn

    units = adapter.weight_shapes(len(adapter.ALPHABET) + 1)
    layers = nn.ModuleDict()
    rng = chance(seed, -1)
    first = {}
    for name, shape in units.items():
        layer, weight = name.split("/")[0], name.split("/")[-1]
        if weight == "kernel" and layer not in layers:
            if len(shape) == 4:
                layers[layer] = nn.Conv2d(shape[2], shape[3], shape[:2], padding="same")
            elif layer.startswith("bidirectional"):
                layers[layer] = nn.LSTM(shape[0], shape[1] // 4, bidirectional=True, batch_first=True)
            else:
                layers[layer] = nn.Linear(*shape)
        value = torch.zeros(shape)
        if weight == "kernel":
            gain = 1.0 if layer.startswith("bidirectional") else 2**0.5
            value = torch.from_numpy(glorot(f"{NETWORK}/{seed}", name, shape, gain))
        elif weight == "recurrent_kernel":
            nn.init.orthogonal_(value, generator=rng)
        elif layer.startswith("bidirectional"):
            value[shape[0] // 4 : shape[0] // 2] = 1
        first[name] = value.numpy()
    load(layers, first)
    for name, parameter in layers.named_parameters():
        # Keras has one bias per gate, PyTorch the sum of two: the second stays zero.
        if ".bias_hh_" in name:
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)
    layers["Conv2"].to(memory_format=torch.channels_last)
    return layers


def load(layers: torch.nn.ModuleDict, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Set weights under the adapter's names and in Keras' layout, any floating type."""
    import torch

    with torch.no_grad():
        for name, parameter, axes in _pairs(layers):
            parameter.copy_(torch.from_numpy(weights[name]).permute(axes))


def arrays(layers: torch.nn.ModuleDict) -> Arrays:
    """The weights under the adapter's names and in Keras' layout, float32."""
    import numpy as np

    found = {}
    for name, parameter, axes in _pairs(layers):
        back = np.argsort(axes)
        found[name] = np.ascontiguousarray(parameter.detach().permute(*back).numpy())
    return found


def _pairs(layers: torch.nn.ModuleDict) -> list[tuple[str, torch.nn.Parameter, tuple[int, ...]]]:
    """Each weight's name, its parameter, and the order of Keras' axes in it.

    Both libraries keep an LSTM's gates in the order input, forget, cell, output, and both reverse the backward half.
    """
    found = []
    own = {"kernel": "weight", "bias": "bias"}
    lstm = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}
    for name, shape in adapter.weight_shapes(len(adapter.ALPHABET) + 1).items():
        layer, *way, weight = name.split("/")
        attribute = lstm[weight] + ("_reverse" if way == ["backward"] else "") if way else own[weight]
        axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[len(shape)]
        found.append((name, getattr(layers[layer], attribute), axes))
    return found


def scores(layers: torch.nn.ModuleDict, images: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
    """Pictures ``[N, 50, 200]`` in [0, 1] to ``[N, 50, 20]`` log-probabilities per frame; the blank is the last class.

    Args:
        rng: given in training: dropout as in the example (0.2 and 0.25, the latter the same in all frames as Keras'
            LSTM does), and bfloat16 up to the first dense layer, which is twice as fast where the CPU has it.
    """
    import torch
    from torch.nn import functional

    def dropped(x: torch.Tensor, rate: float, frames: int) -> torch.Tensor:
        if rng is None:
            return x
        return x * (torch.rand(len(x), frames, x.shape[2], generator=rng) >= rate) / (1 - rate)

    with torch.autocast("cpu", torch.bfloat16, enabled=rng is not None):
        x = images.transpose(1, 2)[:, None]  # the width is the first axis
        for name in ("Conv1", "Conv2"):
            # Pooling before the activation is the same function, and four times less to activate.
            x = functional.max_pool2d(layers[name](x.contiguous(memory_format=torch.channels_last)), 2).relu()
        x = x.permute(0, 2, 3, 1).flatten(2)  # Keras keeps channels last: rows first, then channels
        x = layers["dense1"](x).relu()
    x = dropped(x.float(), 0.2, adapter.FRAMES)
    for name in ("bidirectional", "bidirectional_1"):
        x, _ = layers[name](dropped(x, 0.25, 1))
    return layers["dense2"](x).log_softmax(-1)


def ctc(log_probabilities: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
    """Mean over a batch of the CTC loss per text (Graves et al. 2006), nats; `scores`' output."""
    import torch
    from torch.nn import functional

    targets = torch.tensor([adapter.ALPHABET.index(character) for text in texts for character in text])
    count, frames, classes = log_probabilities.shape
    lengths = torch.full((count,), frames), torch.tensor([len(text) for text in texts])
    losses = functional.ctc_loss(
        log_probabilities.transpose(0, 1), targets, *lengths, blank=classes - 1, reduction="none"
    )
    return losses.mean()


def framewise(log_probabilities: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the frames whose class is known, nats; `scores`' output and the columns of a `Batch`."""
    from torch.nn import functional

    targets = columns[:, 2::4].flatten()
    losses = functional.nll_loss(log_probabilities.flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
    return losses / (targets != IGNORED).sum().clamp(min=1)


def right(weights: Arrays, captchas: Captchas) -> int:
    """How many texts the network reads wholly right with these weights rounded to float16, decoded by the adapter."""
    import numpy as np
    import torch

    layers = network(0)
    load(layers, {name: np.asarray(value, np.float16) for name, value in weights.items()})
    with torch.inference_mode():
        probabilities = [scores(layers, part).exp().numpy() for part in captchas.images.split(64)]
    texts = reader().decode({"probabilities": np.concatenate(probabilities)})
    return sum(text == wanted for text, wanted in zip(texts, captchas.texts, strict=True))


# --- the run ---


class Run:
    """A training run: its network, the average of its weights, its optimizer, and where it is."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch

        self.layers = network(options.seed)
        self.average = copy.deepcopy(self.layers).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.layers.parameters() if parameter.requires_grad], weight_decay=1e-2
        )
        self.budget = training.Budget(options.minutes, options.steps)
        self.batch, self.seed = options.batch, options.seed
        self.rendered = round(options.batch * options.rendered)
        same = ("seed", "batch", "rendered", "steps" if options.steps else "minutes")
        self.command = {"network": NETWORK, **{name: getattr(options, name) for name in same}}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "command": self.command,
            "layers": self.layers.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.budget.step,
            "seconds": self.budget.seconds,
        }

    def resume(self, path: Path) -> bool:
        """Go on from a checkpoint, if there is one.

        Raises:
            training.Refused: it is another run's, or no checkpoint.
        """
        state = training.load_checkpoint(path)
        if state is None:
            return False
        command = state.get("command", {})
        for name in sorted({*command, *self.command}):
            if command.get(name) != self.command.get(name):
                other, own = (found.get(name, "not given") for found in (command, self.command))
                what = f"{path} is of another run ({name}: {other}, here: {own})"
                raise training.Refused(f"{what}: delete it, or name another --checkpoint")
        self.layers.load_state_dict(state["layers"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.budget = training.Budget(
            self.budget.minutes, self.budget.steps, seconds=state["seconds"], step=state["step"]
        )
        return True

    def step(self, captchas: Captchas) -> float:
        """One step on one batch; its loss."""
        import torch

        rng = chance(self.seed, self.budget.step)
        given = distort(batch(captchas, self.batch, self.rendered, rng), rng)
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate(self.budget.spent, PEAK)
        self.optimizer.zero_grad()
        found = scores(self.layers, given.images, rng)
        loss = ctc(found, given.texts)
        # CTC alone stays for thousands of steps with blanks and the frequencies of the classes. Where the characters of
        # the drawn pictures are is known, and said for the first half of the run.
        hint = 20 * max(0.0, 1 - 2 * self.budget.spent)
        (loss + hint * framewise(found, given.columns)).backward()
        torch.nn.utils.clip_grad_norm_(self.layers.parameters(), 5.0)
        self.optimizer.step()
        self.budget.step += 1
        # An average of about the last thousand weights; in a short run, of about the last tenth.
        share = max(1e-3, 10 / (self.budget.step + 10))
        for average, parameter in zip(self.average.parameters(), self.layers.parameters(), strict=True):
            average.lerp_(parameter.detach(), share)
        value: float = loss.item()
        return value


def train(options: argparse.Namespace) -> int:
    """Train as the command line says; the exit status."""
    checkpoint = training.checkpoint_of(options)
    training.check_writable(options.out)
    training.check_writable(checkpoint)
    captchas = read(options.data)
    import torch

    torch.set_num_threads(options.threads)
    run = Run(options)
    if run.rendered:
        drawn(0)  # says now if the package is missing
    resumed = run.resume(checkpoint)
    interrupted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupted.append(number))
    try:
        kept, rest = captchas.those(True), captchas.those(False)
        print(f"{len(rest.texts)} captchas to train on, {len(kept.texts)} held out", flush=True)
        if resumed:
            print(f"going on from {checkpoint}, step {run.budget.step}", flush=True)
        run_on(run, rest, kept, checkpoint, interrupted)
        if interrupted:
            training.save_checkpoint(checkpoint, run.state())
            print(f"interrupted at step {run.budget.step}; the same command goes on from {checkpoint}", flush=True)
            return 130
        weights = arrays(run.average)
        training.write_npz(options.out, weights)
        checkpoint.unlink(missing_ok=True)
        count = right(weights, kept)
    finally:
        signal.signal(signal.SIGINT, before)
    data = options.out.read_bytes()
    print(f"held out: {count} of {len(kept.texts)} right ({count / len(kept.texts):.1%}), weights in float16")
    print(f"{run.budget.seconds:.0f} seconds, {run.budget.step} steps")
    print(f"{options.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    return 0


def run_on(run: Run, rest: Captchas, kept: Captchas, checkpoint: Path, interrupted: list[int]) -> None:
    """Train on ``rest`` until the budget is spent or ``interrupted`` is filled; report, and save every minute."""
    said = saved = tried = time.monotonic()
    losses: list[float] = []
    while run.budget.spent < 1 and not interrupted:
        losses.append(run.step(rest))
        now = time.monotonic()
        if now - said >= 10:
            loss = sum(losses) / len(losses)
            line = f"{run.budget.seconds / 60:5.1f} min  step {run.budget.step}  loss {loss:.3f}"
            if now - tried >= 60:
                line += f"  held out {right(arrays(run.average), kept)}/{len(kept.texts)}"
                tried = now
            print(line, flush=True)
            said, losses = now, []
        if now - saved >= 60:
            training.save_checkpoint(checkpoint, run.state())
            saved = now


def copy_held_out(data: Path, folder: Path) -> int:
    """Copy the captchas that training never sees to a folder, to judge by; the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted(data.glob("*.png")) if held_out(path.stem)]
    if not files:
        raise training.Refused(f"{data} holds no held out captcha (pictures named LABEL.png)")
    for path in files:
        shutil.copyfile(path, folder / path.name)
    print(f"{len(files)} held out captchas are in {folder}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = training.arguments("Train the captcha recognizer.", minutes=25, out="captcha_ocr_f16.npz")
    parser.add_argument("--data", type=Path, required=True, help="folder of captchas, each named LABEL.png")
    parser.add_argument("--copy-held-out", type=Path, metavar="DIR", help="copy the held out captchas there, and end")
    parser.add_argument("--batch", type=int, default=32, help="pictures per step")
    parser.add_argument("--rendered", type=float, default=0.5, help="share of a batch drawn by the package captcha")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; another number gives other weights")
    options = parser.parse_args(arguments)
    if options.batch < 1 or options.threads < 1 or not 0 <= options.rendered < 1:
        parser.error("--batch and --threads are at least 1, --rendered at least 0 and below 1")
    try:
        if options.copy_held_out:
            return copy_held_out(options.data, options.copy_held_out)
        return train(options)
    except training.Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        hint = " (or draw nothing, by --rendered 0)" if package == "captcha" else ""
        print(f"error: training needs the package {package}: install the extra train{hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before the first step", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
