"""The defects: what is planted into which good case, and which check must catch it.

Sizes are those that are tried, smallest first; ``must`` is the one that has to be caught. What a size counts, the row
says; a defect without a size has none.
"""

# ruff: noqa: E501 - a defect a line

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CAPTCHA = "captcha-ocr/tf-lite/float32"
CAPTCHA_HALF = "captcha-ocr/tf-lite/float16"
CAPTCHA_DYNAMIC = "captcha-ocr/tf-lite/dynamic-range"
FUSED_INT8 = "captcha-ocr:tf-keras/tf-lite/int8"
FUSED_FULL = "captcha-ocr:tf-keras/tf-lite/full-int8"
CRAFT = "craft:320/litert-torch/float32"
CRAFT_DYNAMIC = "craft:320/litert-torch/dynamic-range"
EAST = "east:320/litert-quantizer/float32"
PIPELINE = "pipeline:craft+easyocr/litert-torch+litert-torch-portable/float32"
EASYOCR = "easyocr/litert-torch-portable/float32"


@dataclass(frozen=True)
class Seeded:
    """One defect.

    Attributes:
        name: what is wrong, in a row of the table.
        case: the good case, without its toolchain.
        check: the check that must catch it, alone.
        plant: the function of ``artifacts.py`` that plants it into the case's artifact.
        at: the op, for that function; see `artifacts.Planter.place`.
        sizes, must, unit: see above.
        fitted: gives the function's size for a size and the images (``[N, ...]``) that the network is fed.
        other: the case whose artifact is taken in place of the case's own.
        weights: of ``other``.
        adapter: the class of ``adapters.py`` that is put before the model's own.
        part: of a pipeline, the model that is spoilt.
        repeat: the function of ``artifacts.py`` in place of the runtime's own.
        stale: the defect is in the cache: what the spoilt artifact gave stands under the good one's key.
    """

    name: str
    case: str
    check: str
    plant: str = "nothing"
    at: str | None = None
    sizes: tuple[float, ...] = (0.0,)
    must: float = 0.0
    unit: str = ""
    fitted: Callable[[float, Any], float] | None = field(default=None, compare=False)
    other: str = ""
    weights: str = ""
    adapter: str = ""
    part: str = ""
    repeat: str = ""
    stale: bool = False

    def shown(self, size: float) -> str:
        """A size for the table."""
        return f"{size * 100:g} %" if self.unit == "%" else f"{size:g} {self.unit}".strip() if self.unit else ""

    @property
    def id(self) -> str:
        """A name for pytest."""
        return f"{self.case.replace('/', '-')}-{self.name}".replace(" ", "_")


def _brighter(share: float, images: Any) -> float:
    """The mean that this share of the images, at least one, is above."""
    means = sorted(image.mean() for image in images)
    few = max(1, round(share * len(means)))
    return float((means[-few] + means[-few - 1]) / 2)


def _perturbed(case: str, at: str, check: str, must: float) -> Seeded:
    sizes = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    return Seeded(f"weights of {at} perturbed", case, check, "perturbed", at, sizes, must, "%")


PERTURBED = [
    _perturbed(CAPTCHA, "CONV_2D:1", "tensors", 0.01),
    _perturbed(CAPTCHA_HALF, "CONV_2D:1", "tensors", 0.05),
    _perturbed(CAPTCHA_DYNAMIC, "CONV_2D:1", "tensors", 0.2),
    _perturbed(FUSED_INT8, "CONV_2D:1", "tensors", 0.2),
    _perturbed(CRAFT, "CONV_2D:8", "tensors", 0.01),
    _perturbed(CRAFT_DYNAMIC, "CONV_2D:8", "tensors", 0.2),
]

ARTIFACTS = [
    # weights
    Seeded("kernels turned by 180 degrees", CAPTCHA, "tensors", "kernels_turned", "CONV_2D:1"),
    Seeded("one bias lost", CAPTCHA, "tensors", "bias_lost", "CONV_2D:1"),
    Seeded("one bias lost", CAPTCHA_HALF, "tensors", "bias_lost", "FULLY_CONNECTED:0"),
    Seeded("one BatchNorm folded twice", CRAFT, "tensors", "batch_norm", "CONV_2D:4", (0.01, 0.05, 0.2), 0.01, "%"),
    Seeded("one BatchNorm folded twice", CRAFT_DYNAMIC, "tensors", "batch_norm", "CONV_2D:4", (0.01, 0.05, 0.2, 0.5), 0.2, "%"),
    Seeded("weights missing", CAPTCHA, "size", "weights_missing", "FULLY_CONNECTED:0"),
    Seeded("weights of another training", CAPTCHA, "text", other=CAPTCHA, weights="seeded"),
    Seeded("an artifact of another model", CAPTCHA, "conversion", other=EASYOCR),
    # classes
    Seeded("alphabet off by one", CAPTCHA, "text", "classes_off_by_one", "FULLY_CONNECTED:-1"),
    Seeded("two classes exchanged", CAPTCHA_DYNAMIC, "text", "classes_exchanged", "FULLY_CONNECTED:-1"),
    # the graph
    Seeded("activation lost", CAPTCHA, "tensors", "activation_lost", "CONV_2D:1"),
    Seeded("mean for maximum pooling", CAPTCHA_DYNAMIC, "tensors", "pooling_mean", "MAX_POOL_2D:0"),
    Seeded("gates of an LSTM exchanged", FUSED_INT8, "text", "gates_exchanged", "UNIDIRECTIONAL_SEQUENCE_LSTM:0"),
    Seeded("forward and backward exchanged", CAPTCHA, "text", "sides_exchanged", "CONCATENATION:0"),
    Seeded("backward LSTM reads forward", CAPTCHA, "text", "reverse_lost", "REVERSE_V2:0"),
    Seeded("softmax lost", CAPTCHA, "tensors", "softmax_lost", "SOFTMAX:0"),
    Seeded("time steps late", CAPTCHA, "tensors", "steps_shifted", None, (1, 2), 1, "step(s)"),
    Seeded("a constant output", CAPTCHA, "tensors", "constant_output"),
    Seeded("NaN for some images", CAPTCHA, "tensors", "nan", None, (0.01, 0.1), 0.01, "%", fitted=_brighter),
    Seeded("outputs fainter", CAPTCHA_HALF, "tensors", "fainter", None, (0.001, 0.01, 0.05, 0.1), 0.05, "%"),
    # the interface
    Seeded("time steps dropped", CAPTCHA, "signature", "steps_dropped", None, (1, 2), 1, "step(s)"),
    Seeded("declared shape wrong", CAPTCHA, "signature", "declared_shape", None, (1,), 1, "of 50"),
    Seeded("names lost", CAPTCHA, "signature", "names_lost"),
    Seeded("names of two outputs exchanged", EAST, "signature", "names_exchanged"),
    # quantization
    Seeded("one quantization scale halved", FUSED_INT8, "tensors", "scale_off", "FULLY_CONNECTED:0", (0.5,), 0.5, "times"),
    Seeded("scales of weights halved", FUSED_INT8, "tensors", "weight_scale_halved", "CONV_2D:1", (0.01, 0.1, 0.25, 0.5), 0.25, "%"),
    Seeded("a zero point shifted", FUSED_INT8, "tensors", "zero_point_shifted", "FULLY_CONNECTED:0", (1, 2, 4, 8), 1, "step(s)"),
    Seeded("biases overflown", FUSED_INT8, "text", "bias_saturated", "CONV_2D:1"),
    Seeded("the input's scale off", FUSED_FULL, "tensors", "input_scale", None, (0.01, 0.05, 0.1, 0.25, 0.5), 0.25, "%"),
    Seeded("per tensor, not per channel", CRAFT_DYNAMIC, "tensors", "per_tensor"),
    Seeded("float weights in a file called int8", FUSED_INT8, "mode", other="captcha-ocr:tf-keras/tf-lite/float32"),
    Seeded("dynamic-range called full-int8", FUSED_FULL, "mode", other="captcha-ocr:tf-keras/tf-lite/dynamic-range"),
    Seeded("float32 called float16", CAPTCHA_HALF, "mode", other=CAPTCHA),
    # ops
    Seeded("a Flex op", CAPTCHA, "ops", "foreign_op", "FlexErf"),
    Seeded("a Flex op that nothing calls", CAPTCHA, "ops", "unused_op", "FlexErf"),
    Seeded("a custom op that nothing calls", CAPTCHA_DYNAMIC, "ops", "unused_op", "CTCBeamSearchDecoder"),
    # state
    Seeded("state kept between invokes", CAPTCHA, "repeatability", "stateful", None, (1e-5, 1e-4, 0.01, 0.3), 0.01, "%"),
    Seeded("outputs random", CAPTCHA, "repeatability", "random", None, (1e-6, 1e-5, 1e-4, 1e-3), 1e-4, "%"),
    Seeded("each image's output comes with the next", CAPTCHA, "text", "late"),
    Seeded("outputs depend on the threads", CAPTCHA, "repeatability", repeat="sums_by_threads"),
    # the cache
    Seeded("stale cache entry", CAPTCHA, "tensors", "classes_off_by_one", "FULLY_CONNECTED:-1", stale=True),
    # cost
    Seeded("file larger", CRAFT, "size", "larger", None, (0.01, 0.1, 0.3), 0.3, "%"),
    Seeded("slower", CAPTCHA_HALF, "latency", "slower", None, (2, 3), 2, "times"),
    Seeded("slower", CRAFT_DYNAMIC, "latency", "slower", None, (2, 3), 2, "times"),
    Seeded("more memory", CRAFT, "memory", "memory", None, (50, 100, 300, 600), 600, "MB"),
    # detectors
    Seeded("boxes off by the stride", CRAFT, "boxes", "columns_shifted", None, (1, 2), 1, "cell(s)"),
    Seeded("x and y swapped", CRAFT, "boxes", "rows_and_columns_swapped"),
    Seeded("boxes lost at the edge", CRAFT, "boxes", "corner_blind", None, (0.05, 0.1, 0.2, 0.3, 0.5), 0.3, "%"),
    Seeded("text and link exchanged", CRAFT, "boxes", "outputs_exchanged", "CONV_2D:-1"),
    Seeded("no links", CRAFT, "boxes", "channel_dead", "CONV_2D:-1"),
    Seeded("scores fainter", CRAFT, "boxes", "fainter", None, (0.01, 0.02, 0.05, 0.1), 0.1, "%"),
    Seeded("blue for red", CRAFT, "tensors", "channels_swapped", "CONV_2D:0"),
    # pipelines
    Seeded("words attached to the wrong boxes", PIPELINE, "pipeline", "late", part="easyocr"),
    Seeded("boxes off", PIPELINE, "pipeline", "columns_shifted", None, (1, 4, 16), 16, "cell(s)", part="craft"),
    Seeded("x and y swapped", PIPELINE, "accuracy", "rows_and_columns_swapped", part="craft"),
    Seeded("alphabet off by one", PIPELINE, "pipeline", "classes_off_by_one", "FULLY_CONNECTED:-1", part="easyocr"),
]  # fmt: skip

ADAPTERS = [
    Seeded("mean and deviation forgotten", CRAFT, "preprocessing", adapter="MeanForgotten"),
    Seeded("blue for red", CRAFT, "preprocessing", adapter="ChannelsSwapped"),
    Seeded("nearest pixel, not bilinear", CRAFT, "preprocessing", adapter="Nearest"),
    Seeded("antialiased", CRAFT, "preprocessing", adapter="Antialiased"),
    Seeded("divided by 256", CAPTCHA, "preprocessing", adapter="Darker"),
    Seeded("0 to 255", CAPTCHA, "preprocessing", adapter="Unscaled"),
    Seeded("sign of the mean", CAPTCHA, "preprocessing", adapter="Negative"),
    Seeded("width flipped", CAPTCHA, "preprocessing", adapter="Flipped"),
    Seeded("alphabet off by one", CAPTCHA, "accuracy", adapter="AlphabetOffByOne"),
    Seeded("blank first, not last", CAPTCHA, "accuracy", adapter="BlankFirst"),
    Seeded("time steps not read", CAPTCHA, "accuracy", adapter="StepsDropped"),
    Seeded("repeats not merged", CAPTCHA, "accuracy", adapter="RepeatsKept"),
    Seeded("x and y swapped", CRAFT, "accuracy", adapter="CoordinatesSwapped"),
    Seeded("off by the stride", CRAFT, "accuracy", adapter="StrideForgotten"),
    Seeded("one box in ten lost", CRAFT, "accuracy", adapter="TenthLost"),
    Seeded("words attached to the wrong boxes", PIPELINE, "accuracy", adapter="NextWord", part="easyocr"),
]

ALL = [*PERTURBED, *ARTIFACTS, *ADAPTERS]
