# mypy: disable-error-code="misc"
# torch is not installed where the types are checked: its Module is Any there, and strict mypy refuses to subclass that.
"""The four-stage scene text recognizer in PyTorch: transformation, features, sequence, prediction.

Baek et al., "What Is Wrong With Scene Text Recognition Model Comparisons? Dataset and Model Analysis", ICCV 2019
(arXiv:1904.01906), and the papers that its stages come from. Parameters and buffers bear the names of the published
``.pth`` files (https://github.com/clovaai/deep-text-recognition-benchmark, Apache-2.0), so that those load strictly.

Each stage comes in two forms with the same weights. ``source`` is what the published code computes, op for op.
``portable`` computes the same numbers by other ops, for converters that cannot take the first: see `STAGES` in the
model's README for what replaces what, and why that is the same function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Form = Literal["source", "portable"]


@dataclass(frozen=True)
class Architecture:
    """One of the 24 combinations, and its sizes.

    Attributes:
        transformation: ``None`` or ``TPS``; features: ``VGG``, ``RCNN`` or ``ResNet``; sequence: ``None`` or
            ``BiLSTM``; prediction: ``CTC`` or ``Attn``.
        classes: of the last layer: the alphabet and a blank (CTC), or two marks (Attn).
        height, width: of the image, pixels.
        channels: of the feature maps; hidden: of LSTMs; fiducials: control points of the thin plate spline.
        steps: of the attention decoder: the longest text and the mark of its end.
    """

    transformation: str
    features: str
    sequence: str
    prediction: str
    classes: int
    height: int = 32
    width: int = 100
    channels: int = 512
    hidden: int = 256
    fiducials: int = 20
    steps: int = 26


class Network(nn.Module):
    """``[N, 1, height, width]`` float32 in [-1, 1] to ``[N, frames, classes]`` scores (not softmaxed)."""

    def __init__(self, architecture: Architecture, form: Form = "source") -> None:
        super().__init__()
        self.form = form
        a = architecture
        if a.transformation == "TPS":
            self.Transformation = SpatialTransformer(a, form)
        self.FeatureExtraction = FEATURES[a.features](a.channels, form)
        self.AdaptiveAvgPool = nn.AdaptiveAvgPool2d((None, 1))
        width = a.channels
        if a.sequence == "BiLSTM":
            self.SequenceModeling = nn.Sequential(
                BidirectionalLSTM(width, a.hidden, form), BidirectionalLSTM(a.hidden, a.hidden, form)
            )
            width = a.hidden
        if a.prediction == "CTC":
            self.Prediction: nn.Module = nn.Linear(width, a.classes)
        else:
            self.Prediction = Attention(width, a.hidden, a.classes, a.steps, form)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        if hasattr(self, "Transformation"):
            x = self.Transformation(x)
        x = self.FeatureExtraction(x)
        if self.form == "source":
            x = self.AdaptiveAvgPool(x.permute(0, 3, 1, 2)).squeeze(3)
        else:
            x = x.mean(2).permute(0, 2, 1)
        if hasattr(self, "SequenceModeling"):
            x = self.SequenceModeling(x)
        scores: Tensor = self.Prediction(x)
        return scores


# --- transformation: a thin plate spline (Shi et al. 2016, arXiv:1603.03915) ---


class SpatialTransformer(nn.Module):
    """Rectifies the image: predicts control points, spans a grid by them, samples the image there."""

    def __init__(self, architecture: Architecture, form: Form) -> None:
        super().__init__()
        self.form = form
        self.size = (architecture.height, architecture.width)
        self.LocalizationNetwork = Localization(architecture.fiducials, form)
        self.GridGenerator = ThinPlateSpline(architecture.fiducials, *self.size)

    def forward(self, image: Tensor) -> Tensor:
        grid = self.GridGenerator(self.LocalizationNetwork(image))
        height, width = self.size
        if self.form == "source":
            grid = grid.reshape(-1, height, width, 2)
            return functional.grid_sample(image, grid, padding_mode="border", align_corners=True)
        return sample_by_tents(image, grid).reshape(-1, 1, height, width)


def sample_by_tents(image: Tensor, grid: Tensor) -> Tensor:
    """Bilinear sampling of ``[N, 1, H, W]`` at ``[N, P, 2]`` (x, y in [-1, 1], corners aligned, border repeated).

    Equation 5 of Jaderberg et al. 2015 ("Spatial Transformer Networks"), written out: a sum over all pixels, weighted
    by tents ``max(0, 1 - |x - m|)``. No index, no gather: matrix products, which every converter has.

    Returns:
        ``[N, P]``.
    """
    height, width = image.shape[2:]
    x = ((grid[..., 0:1] + 1) * ((width - 1) / 2)).clamp(0, width - 1)
    y = ((grid[..., 1:2] + 1) * ((height - 1) / 2)).clamp(0, height - 1)
    along_x = functional.relu(1 - (x - torch.arange(width, dtype=image.dtype)).abs())
    along_y = functional.relu(1 - (y - torch.arange(height, dtype=image.dtype)).abs())
    rows = along_x @ image[:, 0].transpose(1, 2)  # [N, P, H]
    return (rows * along_y).sum(2)


class Localization(nn.Module):
    """Predicts the control points ``[N, fiducials, 2]`` from the image."""

    def __init__(self, fiducials: int, form: Form) -> None:
        super().__init__()
        self.form = form
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in (64, 128, 256, 512):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers.append(nn.MaxPool2d(2) if outputs < 512 else nn.AdaptiveAvgPool2d(1))
            inputs = outputs
        self.conv = nn.Sequential(*layers)
        self.localization_fc1 = nn.Sequential(nn.Linear(inputs, 256), nn.ReLU())
        self.localization_fc2 = nn.Linear(256, 2 * fiducials)

    def forward(self, image: Tensor) -> Tensor:
        features = self.conv(image) if self.form == "source" else self.conv[:-1](image).mean((2, 3))
        points: Tensor = self.localization_fc2(self.localization_fc1(features.reshape(-1, 512)))
        return points.reshape(-1, self.localization_fc2.out_features // 2, 2)


class ThinPlateSpline(nn.Module):
    """The grid ``[N, height * width, 2]`` that control points span (Bookstein 1989; equations 1 to 3 of Shi et al.)."""

    inv_delta_C: Tensor  # noqa: N815 - as in the published files
    P_hat: Tensor

    def __init__(self, fiducials: int, height: int, width: int) -> None:
        super().__init__()
        half = np.linspace(-1, 1, fiducials // 2)
        base = np.concatenate([np.stack([half, np.full_like(half, side)], 1) for side in (-1.0, 1.0)])
        distance = np.linalg.norm(base[:, None] - base[None], axis=2)
        np.fill_diagonal(distance, 1)  # where the kernel r^2 log r is 0, too
        ones, zeros = np.ones((fiducials, 1)), np.zeros((3, 3))
        polynomial = np.concatenate([ones, base], 1)
        delta = np.block([[polynomial, distance**2 * np.log(distance)], [zeros, np.roll(polynomial, -1, 1).T]])
        self.register_buffer("inv_delta_C", torch.tensor(np.linalg.inv(delta), dtype=torch.float32))
        xs, ys = ((np.arange(-size, size, 2) + 1.0) / size for size in (width, height))
        points = np.stack(np.meshgrid(xs, ys), 2).reshape(-1, 2)
        radius = np.linalg.norm(points[:, None] - base[None], axis=2)
        kernel = radius**2 * np.log(radius + 1e-6)
        hat = np.concatenate([np.ones((len(points), 1)), points, kernel], 1)
        self.register_buffer("P_hat", torch.tensor(hat, dtype=torch.float32))

    def forward(self, control: Tensor) -> Tensor:
        padded = torch.cat([control, torch.zeros(control.shape[0], 3, 2)], 1)
        return self.P_hat @ (self.inv_delta_C @ padded)


# --- features ---


class PaddedMaxPool(nn.Module):
    """2x2 max pooling, stride (2, 1), one column of padding left and right, of values that are not negative.

    PyTorch pads by minus infinity. After a ReLU, 0 is as small as a value can be: padding by it gives the same maxima,
    and no converter then has to find a quantization scale for minus infinity.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "source":
            return functional.max_pool2d(x, 2, (2, 1), (0, 1))
        # Not functional.pad: quantizers and onnx-tf know a concatenation better than a padding by a value.
        edge = torch.zeros(x.shape[0], x.shape[1], x.shape[2], 1)
        return functional.max_pool2d(torch.cat([edge, x, edge], 3), 2, (2, 1))


class VGG(nn.Module):
    """CRNN's feature extractor (Shi et al. 2015): 7 convolutions to ``[N, channels, H/16 - 1, W/4 - 1]``."""

    def __init__(self, channels: int, form: Form) -> None:
        super().__init__()
        c1, c2, c3, c4 = (channels // share for share in (8, 4, 2, 1))
        self.ConvNet = nn.Sequential(
            nn.Conv2d(1, c1, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c1, c2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU(),
            nn.Conv2d(c3, c3, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)),
            nn.Conv2d(c3, c4, 3, padding=1, bias=False), nn.BatchNorm2d(c4), nn.ReLU(),
            nn.Conv2d(c4, c4, 3, padding=1, bias=False), nn.BatchNorm2d(c4), nn.ReLU(), nn.MaxPool2d((2, 1)),
            nn.Conv2d(c4, c4, 2), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.ConvNet(x)
        return features


class RCNN(nn.Module):
    """Gated recurrent convolutions (Wang and Hu 2017): to ``[N, channels, 1, W/4 + 1]`` at a height of 32."""

    def __init__(self, channels: int, form: Form) -> None:
        super().__init__()
        c1, c2, c3, c4 = (channels // share for share in (8, 4, 2, 1))
        self.ConvNet = nn.Sequential(
            nn.Conv2d(1, c1, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            GatedRecurrentConvolution(c1, c1), nn.MaxPool2d(2),
            GatedRecurrentConvolution(c1, c2), PaddedMaxPool(form),
            GatedRecurrentConvolution(c2, c3), PaddedMaxPool(form),
            nn.Conv2d(c3, c4, 2, bias=False), nn.BatchNorm2d(c4), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.ConvNet(x)
        return features


class GatedRecurrentConvolution(nn.Module):
    """A convolution whose output is fed back five times through a gate."""

    def __init__(self, inputs: int, outputs: int, iterations: int = 5) -> None:
        super().__init__()
        self.wgf_u = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.wgr_x = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.wf_u = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.wr_x = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.BN_x_init = nn.BatchNorm2d(outputs)
        self.GRCL = nn.Sequential(*(GatedUnit(outputs) for _ in range(iterations)))

    def forward(self, u: Tensor) -> Tensor:
        gate, feed = self.wgf_u(u), self.wf_u(u)
        x = functional.relu(self.BN_x_init(feed))
        for unit in self.GRCL:
            x = unit(gate, self.wgr_x(x), feed, self.wr_x(x))
        return x


class GatedUnit(nn.Module):
    """One iteration: each term has a batch normalisation of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("gfu", "grx", "fu", "rx", "Gx"):
            setattr(self, f"BN_{name}", nn.BatchNorm2d(channels))

    def forward(self, gate_u: Tensor, gate_x: Tensor, feed: Tensor, recurrent: Tensor) -> Tensor:
        gate = torch.sigmoid(self.BN_gfu(gate_u) + self.BN_grx(gate_x))
        return functional.relu(self.BN_fu(feed) + self.BN_Gx(self.BN_rx(recurrent) * gate))


class ResNet(nn.Module):
    """FAN's feature extractor (Cheng et al. 2017), 29 convolutions: to ``[N, channels, 1, W/4 + 1]`` at height 32."""

    def __init__(self, channels: int, form: Form) -> None:
        super().__init__()
        self.ConvNet = ResNetBody(channels, form)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.ConvNet(x)
        return features


class ResNetBody(nn.Module):
    """What `ResNet` holds as ``ConvNet``."""

    def __init__(self, channels: int, form: Form) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = (channels // share for share in (16, 8, 4, 2, 1))

        def conv(inputs: int, outputs: int, kernel: int = 3, **more: int | tuple[int, int]) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, kernel, bias=False, **{"padding": 1, **more})

        self.conv0_1, self.bn0_1 = conv(1, c0), nn.BatchNorm2d(c0)
        self.conv0_2, self.bn0_2 = conv(c0, c1), nn.BatchNorm2d(c1)
        self.relu = nn.ReLU()
        self.maxpool1 = nn.MaxPool2d(2)
        self.layer1 = blocks(c1, c2, 1)
        self.conv1, self.bn1 = conv(c2, c2), nn.BatchNorm2d(c2)
        self.maxpool2 = nn.MaxPool2d(2)
        self.layer2 = blocks(c2, c3, 2)
        self.conv2, self.bn2 = conv(c3, c3), nn.BatchNorm2d(c3)
        self.maxpool3 = PaddedMaxPool(form)
        self.layer3 = blocks(c3, c4, 5)
        self.conv3, self.bn3 = conv(c4, c4), nn.BatchNorm2d(c4)
        self.layer4 = blocks(c4, c4, 3)
        self.conv4_1, self.bn4_1 = conv(c4, c4, 2, stride=(2, 1), padding=(0, 1)), nn.BatchNorm2d(c4)
        self.conv4_2, self.bn4_2 = conv(c4, c4, 2, padding=0), nn.BatchNorm2d(c4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn0_1(self.conv0_1(x)))
        x = self.relu(self.bn0_2(self.conv0_2(x)))
        x = self.layer1(self.maxpool1(x))
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.maxpool2(x))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.layer3(self.maxpool3(x))
        x = self.relu(self.bn3(self.conv3(x)))
        x = self.layer4(x)
        x = self.relu(self.bn4_1(self.conv4_1(x)))
        return self.relu(self.bn4_2(self.conv4_2(x)))


def blocks(inputs: int, outputs: int, number: int) -> nn.Sequential:
    """``number`` residual blocks; the first changes the number of channels."""
    return nn.Sequential(*(Residual(inputs if i == 0 else outputs, outputs) for i in range(number)))


class Residual(nn.Module):
    """A basic residual block (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(self.bn2(self.conv2(out)) + shortcut)


FEATURES: dict[str, Callable[[int, Form], nn.Module]] = {"VGG": VGG, "RCNN": RCNN, "ResNet": ResNet}


# --- sequence and prediction ---


class BidirectionalLSTM(nn.Module):
    """One bidirectional LSTM and a linear layer: ``[N, T, inputs]`` to ``[N, T, hidden]``."""

    def __init__(self, inputs: int, hidden: int, form: Form) -> None:
        super().__init__()
        self.form = form
        self.rnn = nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        both = self.rnn(x)[0] if self.form == "source" else torch.cat([self._along(x, "_l0"), self._back(x)], 2)
        result: Tensor = self.linear(both)
        return result

    def _back(self, x: Tensor) -> Tensor:
        return self._along(x, "_l0_reverse", backwards=True)

    def _along(self, x: Tensor, suffix: str, *, backwards: bool = False) -> Tensor:
        """One direction, unrolled into the cell's own equations (Hochreiter and Schmidhuber 1997, with forget gate)."""
        weight, recurrent, bias_in, bias_hidden = (
            getattr(self.rnn, f"{name}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        driven = functional.linear(x, weight, bias_in + bias_hidden)
        h = x.new_zeros(x.shape[0], self.rnn.hidden_size)
        c = h
        steps = range(x.shape[1])
        hidden: list[Tensor] = []
        for t in reversed(steps) if backwards else steps:
            i, f, g, o = (driven[:, t] + functional.linear(h, recurrent)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hidden.append(h)
        return torch.stack(hidden[::-1] if backwards else hidden, 1)


class Attention(nn.Module):
    """An attention decoder (Bahdanau et al. 2015): ``steps`` characters, each fed the one before, from class 0 on."""

    def __init__(self, inputs: int, hidden: int, classes: int, steps: int, form: Form) -> None:
        super().__init__()
        self.form, self.steps, self.classes, self.hidden = form, steps, classes, hidden
        self.attention_cell = AttentionCell(inputs, hidden, classes, form)
        self.generator = nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> Tensor:
        number = features.shape[0]
        h = c = features.new_zeros(number, self.hidden)
        if self.form == "portable":
            return self._without_indices(features, h, c)
        scores = features.new_zeros(number, self.steps, self.classes)
        best = torch.zeros(number, dtype=torch.long)
        for step in range(self.steps):
            previous = features.new_zeros(number, self.classes).scatter(1, best.unsqueeze(1), 1)
            h, c = self.attention_cell(features, previous, h, c)
            scores[:, step, :] = self.generator(h)
            best = scores[:, step, :].max(1)[1]
        return scores

    def _without_indices(self, features: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """The same without scatter and without assignment to a slice."""
        order = torch.arange(self.classes)
        previous = (order == 0).to(features.dtype).expand(features.shape[0], -1)
        scores: list[Tensor] = []
        for _ in range(self.steps):
            h, c = self.attention_cell(features, previous, h, c)
            scores.append(self.generator(h))
            previous = (scores[-1].argmax(1, keepdim=True) == order).to(features.dtype)
        return torch.stack(scores, 1)


class AttentionCell(nn.Module):
    """One step: weighs the features by the state, feeds their sum and the previous character to an LSTM cell."""

    def __init__(self, inputs: int, hidden: int, classes: int, form: Form) -> None:
        super().__init__()
        self.form = form
        self.i2h = nn.Linear(inputs, hidden, bias=False)
        self.h2h = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.rnn = nn.LSTMCell(inputs + classes, hidden)

    def forward(self, features: Tensor, previous: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score(torch.tanh(self.i2h(features) + self.h2h(h).unsqueeze(1)))
        if self.form == "source":
            context = (scores.softmax(1).transpose(1, 2) @ features).squeeze(1)
            state: tuple[Tensor, Tensor] = self.rnn(torch.cat([context, previous], 1), (h, c))
            return state
        # Over the last axis: litert-torch loses the batch axis of a folded constant in the first step, and a softmax
        # over axis 1 then runs over one number (see the README).
        context = (scores.squeeze(2).softmax(1).unsqueeze(1) @ features).squeeze(1)
        fed = torch.cat([context, previous], 1)
        gates = functional.linear(fed, self.rnn.weight_ih, self.rnn.bias_ih)
        i, f, g, o = (gates + functional.linear(h, self.rnn.weight_hh, self.rnn.bias_hh)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def parameter_count(network: nn.Module) -> int:
    """Weight values, BatchNorm statistics included, counters not."""
    tensors: Iterable[Tensor] = (t for name, t in network.state_dict().items() if t.is_floating_point())
    return sum(math.prod(t.shape) for t in tensors)
