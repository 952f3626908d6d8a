"""Nodes found by their numbers, and the first one that is not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.diagnose.values import FUSED, Node, Print, Tensor, first_lost, match

RNG = np.random.default_rng(5)


def chain(count: int) -> tuple[list[Node], list[np.ndarray]]:
    """Nodes that each read the one before; each one's numbers."""
    values = [RNG.normal(size=(3, 4)).astype(np.float32) for _ in range(count)]
    nodes = [
        Node(f"n{place}", "op", "", [place - 1] if place else [], True, (3, 4), [Print.of(value)])
        for place, value in enumerate(values)
    ]
    return nodes, values


def tensor(place: int, value: np.ndarray) -> Tensor:
    return Tensor(place, place, [Print.of(value)], value.shape)


@given(st.permutations(range(12)), st.floats(0, 1e-6))
def test_the_same_numbers_in_any_order_are_found(order: list[int], noise: float) -> None:
    value = np.linspace(-2, 3, 12, dtype=np.float32)
    other = value[list(order)] + np.float32(noise)
    assert Print.of(value.reshape(3, 4)).same(Print.of(other))


def test_other_numbers_are_not() -> None:
    value = RNG.normal(size=100)
    for other in (value * 1.01, -value, value + 0.01, np.append(value, 0.0), np.sort(value)[::-1] ** 3):
        assert not Print.of(value).same(Print.of(other))


def test_what_was_fused_is_not_lost() -> None:
    nodes, values = chain(6)
    found = [tensor(place, value) for place, value in enumerate(values) if place not in (2, 3)]
    assert first_lost(nodes, match(nodes, found)) is None


def test_the_first_node_without_anything_after_it_is_lost() -> None:
    nodes, values = chain(FUSED + 6)
    found = [tensor(place, value) for place, value in enumerate(values[:3])]
    assert first_lost(nodes, match(nodes, found)) == 3


def test_a_network_that_comes_back_later_is_lost_all_the_same() -> None:
    """An attention decoder that reads the wrong place may end in the right fixed point."""
    nodes, values = chain(FUSED + 8)
    found = [tensor(place, value) for place, value in enumerate(values) if place < 3 or place == FUSED + 7]
    assert first_lost(nodes, match(nodes, found)) == 3


def test_one_hots_and_constants_tell_nothing() -> None:
    nodes, values = chain(FUSED + 4)
    nodes[1].prints = [Print.of(np.eye(4)[0])]
    found = [tensor(0, values[0]), tensor(1, np.eye(4)[2])]
    assert match(nodes, found).keys() == {0}
    assert first_lost(nodes, match(nodes, found)) == 2
