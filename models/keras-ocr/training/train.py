# mypy: disable-error-code="misc"
# torch is not installed where the types are checked: its Module is Any there, and strict mypy refuses to subclass that.
"""Train keras-ocr's recognizer, at its full size, on drawn words.

    python models/keras-ocr/training/train.py --minutes 100

The network is a PyTorch twin of the package's, layer for layer (`build_twin`); its convolutions run in bfloat16, which
the AMX units of today's CPUs are made for. One single-threaded process a core, gradients averaged between them. Reading
is learnt by CTC (Graves et al. 2006); for the first two fifths a cross-entropy per frame, on the characters' known
places, helps it over its plateau. The model card is in the model's README.md.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.job import beside

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt
    import torch

    Arrays = dict[str, npt.NDArray[np.float32]]

model = beside(__file__, "../model.py")
render = beside(__file__, "render.py")
training = beside(__file__, "../../training.py")

HEIGHT, WIDTH = model.HEIGHT, model.WIDTH
STEPS = WIDTH // 4
"""Time steps of the recurrent part; the first two are discarded, 48 frames are read."""
DISCARDED = 2
BLANK = model.CLASSES - 1
COLUMNS = 3200
"""Columns of pixels in a process's batch: 16 full frames, or 32 words half as wide."""
WIDTHS = (48, 64, 80, 96, 112, 136, 160, 200)
"""Few: for every new shape of a batch oneDNN compiles its kernels again, which takes seconds."""
CHUNK = 960
"""Words that are drawn at once and sorted by width, so that the words of a batch are about equally wide."""
PEAK_RATE = 1.2e-3
INTERRUPTED = 130
"""Exit status, as shells have it for Ctrl-C."""
AUXILIARY_UNTIL = 0.4
STN_FROM = 0.3
FULL_FRAMES_FROM = 0.82
FROZEN_STATISTICS_FROM = 0.95


def build_twin() -> Any:
    """The network in PyTorch, at its first weights.

    Images are ``[n, 1, 200, 31]`` float32 in [0, 1], the width first as the package's Permute puts it, the height
    flipped as its Lambda does. ``forward`` gives logits ``[n, 50, 37]``, the two discarded steps still in front.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = 1
            self.conv = nn.ModuleList()
            for filters in (64, 128, 256, 256, 512, 512, 512):
                self.conv.append(nn.Conv2d(channels, filters, 3, padding=1))
                channels = filters
            # Keras' epsilon; its momentum of 0.99 counts the other way round.
            sizes = {"3": 256, "5": 512, "7": 512}
            self.bn = nn.ModuleDict({key: nn.BatchNorm2d(size, eps=1e-3, momentum=0.01) for key, size in sizes.items()})
            self.stn = nn.ModuleList(
                [
                    nn.Conv2d(512, 16, 5, padding=2),
                    nn.Conv2d(16, 32, 5, padding=2),
                    nn.Linear(11200, 64),
                    nn.Linear(64, 6),
                ]
            )
            self.fc_9 = nn.Linear(7 * 512, 128)
            self.lstm = nn.ModuleList([nn.LSTM(128, 128, batch_first=True) for _ in range(4)])
            self.fc_12 = nn.Linear(256, model.CLASSES)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
            for lstm in self.lstm:
                # Keras has one bias where PyTorch adds two, and starts the forget gate's at one.
                nn.init.zeros_(lstm.bias_hh_l0)
                lstm.bias_hh_l0.requires_grad_(False)
                nn.init.zeros_(lstm.bias_ih_l0)
                lstm.bias_ih_l0.data[128:256] = 1
                nn.init.orthogonal_(lstm.weight_hh_l0)
                nn.init.xavier_uniform_(lstm.weight_ih_l0)
            # The grid starts as the identity, as in the package.
            nn.init.zeros_(self.stn[3].weight)
            self.stn[3].bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

        def features(self, images: torch.Tensor) -> torch.Tensor:
            """``[n, 512, width / 4, 7]``; a batch narrower than 200 is filled up by its last, black column."""
            x = images
            for number, conv in enumerate(self.conv, start=1):
                x = functional.relu(conv(x), inplace=True)
                if number in (3, 5, 7):
                    x = self.bn[str(number)](x)
                if number in (3, 5):
                    x = functional.max_pool2d(x, 2)
            x = x.float()
            missing = STEPS - x.shape[2]
            if missing:
                # The last column but one: the last has the convolutions' padding in it.
                x = torch.cat([x[:, :, :-1], x[:, :, -2:-1].expand(-1, -1, missing + 1, -1)], dim=2)
            return x

        def forward(self, images: torch.Tensor, *, stn: bool = True) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.training or images.shape[0] > 1):
                x = self.features(images)
                if stn:
                    y = functional.relu(self.stn[0](x))
                    y = functional.relu(self.stn[1](y))
                    # Keras flattens width, height, channels.
                    y = y.permute(0, 2, 3, 1).flatten(1)
            x = x.permute(0, 2, 3, 1)
            if stn:
                theta = self.stn[3](functional.relu(self.stn[2](y.float())))
            else:
                theta = x.new_tensor([[1.0, 0, 0, 0, 1, 0]])
            x = transform(x, theta)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.training or images.shape[0] > 1):
                x = functional.relu(self.fc_9(x.flatten(2)))
            x = x.float()
            # The package never turns the backward LSTMs' outputs round again.
            back = x.flip(1)
            x = self.lstm[0](x)[0] + self.lstm[1](back)[0]
            back = x.flip(1)
            x = torch.cat([self.lstm[2](x)[0], self.lstm[3](back)[0]], dim=2)
            logits: torch.Tensor = self.fc_12(functional.dropout(x, 0.25, self.training))
            return logits

    return Twin()


def transform(x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """The package's ``_transform``: resample ``[n, 50, 7, channels]`` on the affine grid ``theta`` ``[n or 1, 6]``.

    Its pixel coordinates run to ``width``, not ``width - 1``, and where both neighbours are clipped to the border their
    weights cancel: the last row and column of an identity grid are zero.
    """
    import torch

    count, height, width, channels = x.shape
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = torch.stack([xs.flatten(), ys.flatten(), torch.ones(height * width)])
    moved = theta.view(-1, 2, 3) @ grid
    px, py = 0.5 * (moved[:, 0] + 1) * width, 0.5 * (moved[:, 1] + 1) * height
    left, top = px.detach().floor(), py.detach().floor()
    x0, x1 = left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)
    y0, y1 = top.clamp(0, height - 1), (top + 1).clamp(0, height - 1)
    flat = x.reshape(count, height * width, channels)
    total: Any = 0
    for row, column, area in (
        (y0, x0, (x1 - px) * (y1 - py)),
        (y1, x0, (x1 - px) * (py - y0)),
        (y0, x1, (px - x0) * (y1 - py)),
        (y1, x1, (px - x0) * (py - y0)),
    ):
        index = (row * width + column).long()
        if len(theta) == 1:
            pixels = flat.index_select(1, index[0])
        else:
            pixels = flat.gather(1, index[:, :, None].expand(-1, -1, channels))
        total = total + area[:, :, None] * pixels
    result: torch.Tensor = total.view(count, height, width, channels)
    return result


def keras_weights(twin: Any) -> Arrays:
    """The twin's weights by the names and in the shapes of ``WEIGHT_SHAPES``."""
    state = {name: value.detach().float().numpy() for name, value in twin.state_dict().items()}
    arrays: Arrays = {}
    for name in model.WEIGHT_SHAPES:
        layer, _, part = name.rpartition("/")
        if layer.startswith("conv_"):
            own = f"conv.{int(layer[5:]) - 1}"
        elif layer.startswith("bn_"):
            own = f"bn.{layer[3:]}"
        elif layer.startswith("stn/"):
            own = f"stn.{('conv2d', 'conv2d_1', 'dense', 'dense_1').index(layer[4:])}"
        elif layer.startswith("lstm_"):
            own = f"lstm.{('lstm_10', 'lstm_10_back', 'lstm_11', 'lstm_11_back').index(layer)}"
        else:
            own = layer
        if layer.startswith("lstm_"):
            key = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}[part]
        else:
            key = {
                "kernel": "weight",
                "gamma": "weight",
                "beta": "bias",
                "moving_mean": "running_mean",
                "moving_variance": "running_var",
            }.get(part, part)
        value = state[f"{own}.{key}"]
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            value = value.T
        arrays[name] = value
    return arrays


def load_keras_weights(twin: Any, arrays: Arrays) -> None:
    """The inverse of `keras_weights`."""
    import torch

    shown = {name: torch.from_numpy(value) for name, value in keras_weights(twin).items()}
    # Views of the twin's own memory: writing through them is enough.
    for name, view in shown.items():
        view.copy_(torch.from_numpy(arrays[name]))


def to_batch(samples: list[Any], width: int) -> Any:
    """Images ``[n, 1, width, 31]`` float32 in [0, 1] for the twin."""
    import numpy as np
    import torch

    images = np.zeros((len(samples), 1, width, HEIGHT), np.float32)
    for image, sample in zip(images, samples, strict=True):
        image[0, : sample.image.shape[1]] = sample.image[::-1].T / np.float32(255)
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last)


def to_targets(samples: list[Any]) -> tuple[Any, Any, Any]:
    """Classes of all texts in one row, the texts' lengths, and the class of each frame ``[n, 48]`` (-100: any)."""
    import numpy as np
    import torch

    classes = [[model_index(character) for character in sample.text] for sample in samples]
    frames = np.full((len(samples), STEPS), BLANK)
    for row, sample, indices in zip(frames, samples, classes, strict=True):
        for centre, index in zip(sample.centres, indices, strict=True):
            at = int(np.clip(centre / 4, DISCARDED, STEPS - 1))
            for beside_it in (at - 1, at + 1):
                if 0 <= beside_it < STEPS and row[beside_it] == BLANK:
                    row[beside_it] = -100
            row[at] = index
    flat = torch.tensor([index for indices in classes for index in indices])
    return flat, torch.tensor([len(indices) for indices in classes]), torch.from_numpy(frames[:, DISCARDED:])


def model_index(character: str) -> int:
    """Class of a character of ``0-9a-z``."""
    index: int = render.ALPHABET.index(character)
    return index


def losses(logits: Any, samples: list[Any]) -> tuple[Any, Any]:
    """CTC loss per character, and the cross-entropy per frame."""
    import torch
    from torch.nn import functional

    flat, lengths, frames = to_targets(samples)
    read = logits[:, DISCARDED:]
    log = read.log_softmax(dim=2).transpose(0, 1)
    inputs = torch.full((len(samples),), read.shape[1])
    ctc = functional.ctc_loss(log, flat, inputs, lengths, blank=BLANK, zero_infinity=True)
    # The blank is most of the frames.
    weight = torch.ones(model.CLASSES)
    weight[BLANK] = 0.2
    return ctc, functional.cross_entropy(read.transpose(1, 2), frames, weight=weight)


def frame_width(sample: Any) -> int:
    """The narrowest of `WIDTHS` that holds a word, and black columns on its right to fill up the features with."""
    wanted = sample.image.shape[1] + 8
    return next((width for width in WIDTHS if width >= wanted), WIDTH)


class Words:
    """Batches of one process, in an order that depends on seed, process and position alone.

    ``chunk`` and ``batch`` say where it stands; set them to go on from there.
    """

    def __init__(self, renderer: Any, rank: int) -> None:
        self._renderer, self._rank = renderer, rank
        self.chunk = self.batch = 0
        self._drawn = -1
        self._batches: list[list[Any]] = []

    def next(self, *, full: bool) -> tuple[list[Any], int]:
        """Samples and the width of their batch."""
        if self._drawn != self.chunk:
            self._draw()
        samples = self._batches[self.batch]
        self.batch += 1
        if self.batch == len(self._batches):
            self.chunk, self.batch = self.chunk + 1, 0
        if full:
            return samples[: COLUMNS // WIDTH], WIDTH
        return samples, frame_width(samples[-1])

    def _draw(self) -> None:
        samples = [self._renderer.draw(self._rank, self.chunk, number) for number in range(CHUNK)]
        samples.sort(key=lambda sample: sample.image.shape[1])
        self._batches = []
        while samples:
            width = frame_width(samples[-1])
            if len(samples) < COLUMNS // width:
                break  # the few narrowest
            self._batches.append(samples[-(COLUMNS // width) :])
            del samples[-(COLUMNS // width) :]
        order = render.generator("order", self._rank, self.chunk).permutation(len(self._batches))
        self._batches = [self._batches[index] for index in order]
        self._drawn = self.chunk


def accuracy(twin: Any, samples: list[Any]) -> float:
    """Part of the samples whose text is read whole, greedily."""
    import torch

    right = 0
    twin.eval()
    with torch.no_grad():
        for start in range(0, len(samples), 32):
            batch = samples[start : start + 32]
            classes = twin(to_batch(batch, WIDTH))[:, DISCARDED:].argmax(dim=2).numpy()
            texts = greedy(classes, render.ALPHABET, blank_first=False)
            right += sum(text == sample.text for text, sample in zip(texts, batch, strict=True))
    twin.train()
    return right / len(samples)


def identity(options: argparse.Namespace, words: list[str]) -> str:
    """What a checkpoint must agree with."""
    start = options.start.read_bytes() if options.start else b""
    digest = hashlib.sha256(render.FONTS.read_bytes() + start + "\n".join(words).encode()).hexdigest()
    return f"keras-ocr 1, seed {options.seed}, {options.processes} processes, words, fonts and start {digest}"


def average(tensors: list[Any], processes: int) -> None:
    """The mean over all processes, in place."""
    import torch
    from torch import distributed

    joined = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(joined)
    parts = (joined / processes).split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def work(rank: int, options: argparse.Namespace, fonts: dict[Path, float], words: list[str]) -> int:
    """One process's part of the training; the first one logs, saves and writes the result. The exit status."""
    import torch
    from torch import distributed, nn

    processes = options.processes
    stop = False

    def on_signal(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    renderer = render.Renderer(words, fonts, options.seed)
    data = Words(renderer, rank)
    twin = build_twin().to(memory_format=torch.channels_last)
    if options.start is not None:
        with torch.no_grad():
            load_keras_weights(twin, model.read_npz(str(options.start), model.WEIGHT_SHAPES))
    moving = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    stn = {id(parameter) for parameter in twin.stn.parameters()}
    groups = [
        {"params": [parameter for parameter in moving if id(parameter) not in stn], "part": 1.0},
        {"params": [parameter for parameter in moving if id(parameter) in stn], "part": 0.1, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, weight_decay=1e-2)
    budget = training.Budget(options.minutes, options.steps)
    state = training.load_checkpoint(options.checkpoint)
    if state:
        twin.load_state_dict(state["twin"])
        optimizer.load_state_dict(state["optimizer"])
        budget = training.Budget(options.minutes, options.steps, seconds=state["seconds"], step=state["step"])
        data.chunk, data.batch = state["positions"][rank]
    statistics = [value for layer in twin.bn.values() for value in (layer.running_mean, layer.running_var)]
    held_out = [renderer.draw(number, held_out=True) for number in range(options.held_out)] if rank == 0 else []

    def save() -> None:
        positions: list[Any] = [[data.chunk, data.batch]] * processes
        if processes > 1:
            distributed.all_gather_object(positions, [data.chunk, data.batch])
        if rank == 0:
            state = {
                "run": identity(options, words),
                "twin": twin.state_dict(),
                "optimizer": optimizer.state_dict(),
                "seconds": budget.seconds,
                "step": budget.step,
                "positions": positions,
            }
            training.save_checkpoint(options.checkpoint, state)

    said = saved = time.monotonic()
    tested = -1
    twin.train()
    while True:
        # The first process's clock and signals are everybody's.
        shared = torch.tensor([budget.spent, float(stop)], dtype=torch.float64)
        if processes > 1:
            distributed.broadcast(shared, 0)
        spent, stopping = shared.tolist()
        if spent >= 1 or stopping:
            break
        if spent >= FROZEN_STATISTICS_FROM:
            for layer in twin.bn.values():
                layer.eval()
        # Dropout's chance, too, hangs on the step alone: a run that was interrupted ends like one that was not.
        torch.manual_seed((options.seed << 32) + budget.step * processes + rank)
        samples, width = data.next(full=spent >= FULL_FRAMES_FROM)
        fresh = options.start is None
        logits = twin(to_batch(samples, width), stn=spent >= STN_FROM or not fresh)
        ctc, frames = losses(logits, samples)
        share = max(0.0, 1 - spent / AUXILIARY_UNTIL) if fresh else 0.0
        loss = ctc + share * frames
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        if processes > 1:
            average([each.grad for each in moving if each.grad is not None] + statistics, processes)
        norm = nn.utils.clip_grad_norm_(moving, 5.0)
        for group in optimizer.param_groups:
            group["lr"] = group["part"] * training.learning_rate(spent, options.rate)
        if torch.isfinite(norm):
            optimizer.step()
        budget.step += 1
        now = time.monotonic()
        if rank == 0 and now - said > options.every:
            said = now
            print(
                f"{budget.seconds / 60:6.1f} min  step {budget.step:6d}  {100 * spent:5.1f} %  ctc {ctc.item():.3f}"
                f"  frames {frames.item():.3f}",
                flush=True,
            )
        due = torch.tensor(rank == 0 and now - saved > 60)
        if processes > 1:
            distributed.broadcast(due, 0)
        if due:
            save()
            saved = now
        if rank == 0 and int(5 * spent) > tested:
            tested = int(5 * spent)
            print(
                f"{'':10} held-out words read: {accuracy(twin, held_out[:200]):.3f} of {len(held_out[:200])}",
                flush=True,
            )
    save()
    if rank == 0 and spent >= 1:
        finish(twin, options, held_out, budget)
    if rank == 0 and spent < 1:
        print(f"interrupted; saved in {options.checkpoint}: the same command goes on from there", flush=True)
    return INTERRUPTED if spent < 1 else 0


def finish(twin: Any, options: argparse.Namespace, held_out: list[Any], budget: Any) -> None:
    """Write the weights, and say what the written ones read."""
    import torch

    arrays = keras_weights(twin)
    training.write_npz(options.out, arrays)
    options.checkpoint.unlink(missing_ok=True)
    with torch.no_grad():
        load_keras_weights(twin, model.read_npz(str(options.out), model.WEIGHT_SHAPES))
    read = accuracy(twin, held_out)
    data = options.out.read_bytes()
    print(
        f"{options.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n"
        f"{budget.step} steps in {budget.seconds:.0f} s; reads {read:.3f} of {len(held_out)} held-out drawn words",
        flush=True,
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = training.arguments(__doc__.splitlines()[0], minutes=100, out="keras_ocr_f16.npz")
    parser.add_argument("--words", type=Path, default=Path("../shared/data/words/en.txt"), help="a text file of words")
    parser.add_argument(
        "--fonts", type=Path, help="a folder of fonts (default: those of fonts.tsv, fetched once, 330 MB)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="one a core; part of the seed")
    parser.add_argument("--start", type=Path, help="an .npz to begin with, instead of a fresh network; all parts move")
    parser.add_argument("--rate", type=training.positive, default=PEAK_RATE, help="learning rate at its highest")
    parser.add_argument("--held-out", type=int, default=1000, help="words that are drawn for testing, not for training")
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two lines of progress")
    options: argparse.Namespace = parser.parse_args(arguments)
    options.checkpoint = training.checkpoint_of(options)
    return options


def child(rank: int, meeting: str, options: argparse.Namespace, fonts: dict[Path, float], words: list[str]) -> None:
    """A process of the group that meets at the file ``meeting``."""
    from torch import distributed

    processes = options.processes
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes)
    status = work(rank, options, fonts, words)
    # Before the process ends in any way: a group that is still alive at exit aborts it, and the status is lost.
    distributed.destroy_process_group()
    sys.exit(status)


def fonts_of(folder: Path | None) -> dict[Path, float]:
    """The font files to draw with, and how often each.

    Raises:
        Refused: there are none, or they cannot be fetched.
    """
    if folder is not None:
        found = sorted(path for path in folder.glob("**/*") if path.suffix.lower() in (".ttf", ".otf", ".woff"))
        if not found:
            raise training.Refused(f"--fonts {folder}: no .ttf, .otf or .woff file there; give a folder of fonts")
        return dict.fromkeys(found, 1.0)
    cache = Path(platformdirs.user_cache_dir("ocr-conformance")) / "fonts"
    try:
        fonts: dict[Path, float] = render.fetch_fonts(cache)
    except (OSError, ValueError) as error:
        raise training.Refused(f"cannot fetch the fonts of {render.FONTS} ({error}); or give --fonts DIR") from None
    return fonts


def run(options: argparse.Namespace) -> None:
    """Look at what was given, then train.

    Raises:
        Refused: it cannot be used.
    """
    try:
        words = options.words.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise training.Refused(f"--words {options.words}: {reason}; give a text file of English words") from None
    training.check_writable(options.out)
    training.check_writable(options.checkpoint)
    fonts = fonts_of(options.fonts)
    try:
        renderer = render.Renderer(words, fonts, options.seed)
        if options.held_out:
            renderer.draw(0, held_out=True)
    except ValueError as error:
        raise training.Refused(f"--words {options.words}: {error}") from None
    if options.start is not None:
        try:
            model.read_npz(str(options.start), model.WEIGHT_SHAPES)
        except ValueError as error:
            raise training.Refused(f"--start: {error}") from None
    state = training.load_checkpoint(options.checkpoint)
    if state and state.get("run") != identity(options, words):
        raise training.Refused(
            f"{options.checkpoint} is of another run (seed, words, fonts, start or number of processes): "
            "delete it, or name another --checkpoint"
        )
    if options.processes == 1:
        sys.exit(work(0, options, fonts, words))
    import torch.multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the children finish their step, save, and end
    with tempfile.TemporaryDirectory() as meeting:
        given = (f"{meeting}/group", options, fonts, words)
        try:
            torch.multiprocessing.spawn(child, given, options.processes)
        except torch.multiprocessing.ProcessExitedException as error:
            sys.exit(error.exit_code)


def main() -> int:
    """Exit status 0: the file is written; 2: what was given cannot be used; 130: interrupted."""
    try:
        run(parse())
    except training.Refused as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
