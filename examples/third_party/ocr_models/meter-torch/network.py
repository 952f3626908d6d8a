"""The meter reader: a CRNN in PyTorch that reads the four digits of a meter's counter."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

DIGITS = "0123456789"
"""Classes 1 to 10; class 0 is the CTC blank."""
HEIGHT, WIDTH = 24, 64


def read_image(path: str) -> np.ndarray:
    """An image file as the network was trained on it: ``[1, 24, 64]`` float32 in [-1, 1]."""
    with Image.open(path) as image:
        resized = image.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return (np.asarray(resized, np.float32)[None] / 255 - 0.5) / 0.5


class Meter(nn.Module):
    """Two convolutions, a bidirectional LSTM, CTC: ``[N, 1, 24, 64]`` to scores ``[N, 16, 11]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.lstm = nn.LSTM(6 * 16, 24, bidirectional=True, batch_first=True)
        self.classes = nn.Linear(2 * 24, len(DIGITS) + 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.conv1(image)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = x.permute(0, 3, 2, 1).flatten(2)  # a column a frame: its rows, of each the channels
        x, _ = self.lstm(x)
        return self.classes(x)
