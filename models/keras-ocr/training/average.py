"""Average the weights of runs of `train.py` that began with one another's.

    python models/keras-ocr/training/average.py run_c.npz:0.4 run_d.npz:0.6 --out keras_ocr_f16.npz

The mean of networks along one path of training reads better than any of them (Izmailov et al. 2018, stochastic weight
averaging). It is no mean of networks that began apart.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

from ocr_conformance.job import beside

model = beside(__file__, "../model.py")
training = beside(__file__, "../../training.py")


def weighted(text: str) -> tuple[Path, float]:
    """``FILE:SHARE``."""
    path, _, share = text.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = 0.0
    if not path or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected FILE.npz:SHARE with a share above 0, e.g. run.npz:0.5")
    return Path(path), number


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0: the file is written; 2: what was given cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=weighted, nargs="+", metavar="FILE:SHARE", help="weights, and how much they count")
    parser.add_argument("--out", type=Path, required=True, help="where the mean goes, .npz in float16")
    options = parser.parse_args(arguments)
    total = sum(share for _, share in options.runs)
    mean: dict[str, Any] = {}
    try:
        training.check_writable(options.out)
        for path, share in options.runs:
            for name, values in model.read_npz(str(path), model.WEIGHT_SHAPES).items():
                mean[name] = mean.get(name, 0) + values * (share / total)
    except (ValueError, training.Refused) as error:
        print(f"average.py: {error}", file=sys.stderr)
        return 2
    training.write_npz(options.out, mean)
    print(f"{options.out}: sha256 {hashlib.sha256(options.out.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
