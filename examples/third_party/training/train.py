"""Train the meter reader on drawn counters (5 minutes on one core), and hand its weights to the Keras network.

`python training/train.py` writes `meter-torch/meter.pth` and `meter-keras/meter.weights.h5`. The images that are judged
are drawn from another seed and were never trained on.
"""

from __future__ import annotations

import random
import sys

import numpy as np
import torch
from render import MODELS, counter
from torch import nn

sys.path.insert(0, str(MODELS / "meter-torch"))
from network import HEIGHT, WIDTH, Meter

STEPS, BATCH = 2500, 32


def batch(draw: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``[N, 1, 24, 64]`` and the classes of their digits ``[N, 4]``."""
    images, texts = zip(*(counter(draw) for _ in range(BATCH)), strict=True)
    resized = [np.asarray(image.resize((WIDTH, HEIGHT), 3), np.float32)[None] for image in images]
    classes = [[int(digit) + 1 for digit in text] for text in texts]
    return torch.from_numpy((np.stack(resized) / 255 - 0.5) / 0.5), torch.tensor(classes)


def train() -> Meter:
    """The network after `STEPS` batches, each of new images."""
    torch.manual_seed(0)
    draw = random.Random(0)
    network, loss_of = Meter(), nn.CTCLoss()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, STEPS)
    lengths = torch.full((BATCH,), WIDTH // 4), torch.full((BATCH,), 4)
    for step in range(STEPS):
        images, classes = batch(draw)
        scores = network(images).log_softmax(2).transpose(0, 1)
        loss = loss_of(scores, classes, *lengths)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(step, round(loss.item(), 4), flush=True)
    return network.eval()


def to_keras(network: Meter) -> None:
    """Write the weights in Keras' order: kernels by rows, columns, inputs, outputs; one bias for an LSTM's two."""
    sys.path[0] = str(MODELS / "meter-keras")
    del sys.modules["network"]
    from network import meter

    state = {name: value.numpy() for name, value in network.state_dict().items()}
    model = meter()
    for name in ("conv1", "conv2"):
        kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
        model.get_layer(name).set_weights([kernel, state[f"{name}.bias"]])
    ways = []
    for way in ("", "_reverse"):
        ways += [state[f"lstm.weight_ih_l0{way}"].T, state[f"lstm.weight_hh_l0{way}"].T]
        ways += [state[f"lstm.bias_ih_l0{way}"] + state[f"lstm.bias_hh_l0{way}"]]
    model.get_layer("lstm").set_weights(ways)
    model.get_layer("classes").set_weights([state["classes.weight"].T, state["classes.bias"]])
    model.save_weights(MODELS / "meter-keras" / "meter.weights.h5")


if __name__ == "__main__":
    trained = train()
    torch.save(trained.state_dict(), MODELS / "meter-torch" / "meter.pth")
    to_keras(trained)
