"""Groups of ops, layers in names, and the longest run of pairs."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.diagnose.align import _rising
from ocr_conformance.diagnose.explain import SIBLINGS, group_names, layer


def test_the_layer_in_a_tensors_name() -> None:
    assert layer("a/Relu;a/BiasAdd;net/conv/Conv2D;a/BiasAdd/ReadVariableOp1") == "a/Relu"
    assert layer("StatefulPartitionedCall:0") == "StatefulPartitionedCall:0"
    path = "network.Net_network/torch.nn.modules.container.Sequential_conv/torch.nn.modules.conv.Conv2d_3"
    assert layer(f"litert_torch.Named/{path};12") == "network/conv/3"


def test_steps_of_a_loop_are_one_layer_and_siblings_are_not() -> None:
    steps = [f"net/lstm/cell_{number}/MatMul" for number in range(SIBLINGS + 1)]
    assert set(group_names(steps)) == {"net/lstm/cell"}
    convolutions = [f"net/conv_{number}/Conv2D" for number in range(SIBLINGS)]
    assert group_names(convolutions) == [name.rpartition("/")[0] for name in convolutions]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_the_most_pairs_that_rise(pairs: list[tuple[int, int]]) -> None:
    ordered = sorted(dict(pairs).items())
    found = _rising(ordered)
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(found))
    assert set(found) <= set(ordered)
    # No longer one exists: dynamic programming over all of them.
    best = [1] * len(ordered)
    for j in range(len(ordered)):
        for i in range(j):
            if ordered[i][1] < ordered[j][1]:
                best[j] = max(best[j], best[i] + 1)
    assert len(found) == max(best, default=0)
