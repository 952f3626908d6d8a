"""A PyTorch network's weights: read from a ``.pth`` file without running what it holds, or drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.named_weights import glorot, uniform

if TYPE_CHECKING:
    from torch import nn

_COUNTER = "num_batches_tracked"
"""Of a BatchNorm: counts training steps, does nothing in inference; files older than PyTorch 0.4.1 lack it."""


def load_state_dict(network: nn.Module, path: str) -> None:
    """Give ``network`` the weights of a ``.pth`` file: every one, of the right shape, and no other.

    A prefix ``module.`` (of ``DataParallel``) is taken off. The file is read with ``weights_only``: of a pickle only
    tensors and containers are built, nothing that it names is called.

    Raises:
        ValueError: not such a file, a weight is missing, of another shape, has NaN in it, or is unknown to the network.
    """
    import torch

    name = Path(path).name
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and the tensors' own: torch documents none of them
        raise ValueError(f"weights {name}: {_reason(error)}") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"weights {name}: expected a state dict (tensors by name), the file holds {_kind(found)}")
    state = {str(key).removeprefix("module."): value for key, value in found.items()}
    wanted = network.state_dict()
    for key, value in wanted.items():
        if key not in state:
            if key.endswith(_COUNTER):
                state[key] = value
                continue
            raise ValueError(f"weights {name}: no {key!r}, which the network needs (shape {tuple(value.shape)})")
        if state[key].shape != value.shape:
            raise ValueError(
                f"weights {name}: {key!r} has shape {tuple(state[key].shape)}, the network needs {tuple(value.shape)}"
            )
        if torch.is_floating_point(state[key]) and torch.isnan(state[key]).any():
            raise ValueError(f"weights {name}: {key!r} has NaN in it: training has failed, or the file is damaged")
    surplus = sorted(set(state) - set(wanted))
    if surplus:
        raise ValueError(f"weights {name}: {surplus[0]!r} is no weight of the network")
    network.load_state_dict(state)


def _reason(error: Exception) -> str:
    text = str(error)
    save = "save the state dict alone, torch.save(network.state_dict(), FILE)"
    if "Unsupported operand" in text:  # of the pickle machine: no pickle, or one by another protocol than torch.save's
        return f"no file of torch.save that can be read without running what it holds: {save}"
    if "Weights only load failed" in text:
        return f"it holds more than tensors (a pickled object, or code), which is refused and was not run: {save}"
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return f"not a readable .pth file ({first})"


def _kind(found: Any) -> str:
    if isinstance(found, Mapping):
        other = next((key for key, value in found.items() if not hasattr(value, "shape")), None)
        return f"a dict with {other!r}, which is no tensor: give its state dict alone"
    return f"a {type(found).__name__}"


def seed_weights(
    network: nn.Module, seed: str, gain: Callable[[str], float], set_by_hand: Callable[[str, Any], Any | None]
) -> None:
    """Give ``network`` random weights, the same on every machine.

    Kernels are Glorot's with a gain and zero sum per output (see `named_weights.glorot`), BatchNorms get statistics of
    their own (a fresh one's would hide it from quantization), biases are small; other buffers stay.

    Args:
        seed: with a weight's name and shape it determines the values.
        gain: of the kernel of that name.
        set_by_hand: gets a name and the drawn array and may return another one; ``None`` keeps it.
    """
    import torch

    state = network.state_dict()
    parameters = dict(network.named_parameters())
    norms = {name.rpartition(".")[0] for name in state if name.endswith(".running_var")}
    for name, value in state.items():
        shape = tuple(value.shape)
        layer, _, part = name.rpartition(".")
        if layer in norms and part in ("weight", "running_var"):
            drawn = uniform(seed, name, shape, 0.5, 1.5)
        elif layer in norms and part in ("bias", "running_mean"):
            drawn = uniform(seed, name, shape, -0.05, 0.05)
        elif name not in parameters:
            continue
        elif len(shape) == 1:
            drawn = uniform(seed, name, shape, -0.005, 0.005)
        else:
            # PyTorch keeps [out, in, ...], Glorot's function takes [..., in, out].
            drawn = glorot(seed, name, (*shape[2:], shape[1], shape[0]), gain(name))
            drawn = drawn.transpose(drawn.ndim - 1, drawn.ndim - 2, *range(drawn.ndim - 2)).copy()
        replaced = set_by_hand(name, drawn)
        state[name] = torch.from_numpy(drawn if replaced is None else replaced)
    network.load_state_dict(state)
