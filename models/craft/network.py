# mypy: disable-error-code="misc"
# torch is not installed where the types are checked: its Module is Any there, and strict mypy refuses to subclass that.
"""CRAFT in PyTorch: VGG16 with BatchNorm, a U-shaped decoder, a map of characters and one of what links them.

Baek et al., "Character Region Awareness for Text Detection", CVPR 2019 (arXiv:1904.01941), figure 2. Parameters and
buffers bear the names of the published ``.pth`` files (https://github.com/clovaai/CRAFT-pytorch, MIT), so that those
load strictly. Where the published code leaves open what is meant - its ReLUs work in place, on tensors that are also
read elsewhere - this does what its numbers say, explicitly.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Form = Literal["source", "portable"]


class Craft(nn.Module):
    """``[N, S, S, 3]`` float32, normalised RGB, to ``[N, S/2, S/2, 2]``: region and affinity scores, about 0 to 1.

    S is a multiple of 32. No sigmoid: the scores are regressed, and leave [0, 1] a little. Channels come last on both
    sides, as the published network's output has them; its input has them first.

    ``portable`` pads one pooling by repeating the border instead of by minus infinity, see `PaddedMaxPool`.
    """

    def __init__(self, form: Form = "source") -> None:
        super().__init__()
        self.basenet = Backbone(form)
        self.upconv1 = DoubleConvolution(1024 + 512, 512, 256)
        self.upconv2 = DoubleConvolution(256 + 512, 256, 128)
        self.upconv3 = DoubleConvolution(128 + 256, 128, 64)
        self.upconv4 = DoubleConvolution(64 + 128, 64, 32)
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in ((32, 32, 3), (32, 32, 3), (32, 16, 3), (16, 16, 1)):
            layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()]
        self.conv_cls = nn.Sequential(*layers, nn.Conv2d(16, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        half, quarter, eighth, sixteenth, last = self.basenet(image.permute(0, 3, 1, 2))
        y = self.upconv1(torch.cat([last, sixteenth], 1))
        for deeper, skip in ((self.upconv2, eighth), (self.upconv3, quarter), (self.upconv4, half)):
            y = functional.interpolate(y, size=skip.shape[2:], mode="bilinear", align_corners=False)
            y = deeper(torch.cat([y, skip], 1))
        maps: Tensor = self.conv_cls(y)
        return maps.permute(0, 2, 3, 1)


class Backbone(nn.Module):
    """VGG16-BN (Simonyan and Zisserman 2015) up to its 13th convolution, then two more instead of the dense layers.

    The layers of VGG are numbered through (``slice1.0`` to ``slice4.38``) as torchvision's ``features`` are. Layers 12,
    19 and 29, the ReLUs that upstream's slices begin with, are in `forward`.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.slice1, self.slice2, self.slice3, self.slice4 = (nn.Sequential() for _ in range(4))
        vgg = vgg_layers()
        for piece, first, end in (
            (self.slice1, 0, 12), (self.slice2, 13, 19), (self.slice3, 20, 29), (self.slice4, 30, 39),
        ):  # fmt: skip
            for number in range(first, end):
                piece.add_module(str(number), vgg[number])
        self.slice5 = nn.Sequential(
            PaddedMaxPool(form), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.Conv2d(1024, 1024, 1)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Features at 1/2, 1/4, 1/8 and 1/16 of the size, and the last ones, also at 1/16.

        Each slice ends before a ReLU. Upstream's is the next slice's first layer and works in place: what the decoder
        is given has gone through it, too. No ReLU follows ``slice4``: its features may be negative.
        """
        half = functional.relu(self.slice1(image))
        quarter = functional.relu(self.slice2(half))
        eighth = functional.relu(self.slice3(quarter))
        sixteenth = self.slice4(eighth)
        return half, quarter, eighth, sixteenth, self.slice5(sixteenth)


def vgg_layers() -> list[nn.Module]:
    """The first 39 layers of torchvision's ``vgg16_bn().features``."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if outputs:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        else:
            layers.append(nn.MaxPool2d(2))
    return layers


class PaddedMaxPool(nn.Module):
    """3x3 max pooling, stride 1, the size kept.

    PyTorch pads by minus infinity, which never wins. The border repeated wins nothing either: what lies outside of a
    window's image part is then a copy of what lies inside of it. No converter has to find a scale for infinity then.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "source":
            return functional.max_pool2d(x, 3, 1, 1)
        x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
        x = torch.cat([x[..., :1], x, x[..., -1:]], 3)
        return functional.max_pool2d(x, 3, 1)


class DoubleConvolution(nn.Module):
    """1x1 and 3x3 convolution, each with BatchNorm and ReLU: one step of the decoder."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, middle, 1), nn.BatchNorm2d(middle), nn.ReLU(),
            nn.Conv2d(middle, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        return features
