"""Tests of where graphs are cut: all that follows must follow from there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cuts import OUTPUT, Cuts, Operation, Tensor, find_cuts, find_waists, look


def graph_of(reads: list[list[int]], sizes: dict[int, tuple[int, int, int]]) -> list[Tensor]:
    """Tensors of operations, of which number n reads the tensors `reads[n]`; the last is read."""
    readers: dict[int, set[str]] = {number: set() for number in range(len(reads))}
    for number, read in enumerate(reads):
        for tensor in read:
            readers[tensor].add(f"op {number}")
    readers[len(reads) - 1].add(OUTPUT)
    return [Tensor(n, frozenset(by), sizes.get(n)) for n, by in readers.items()]


def operations_of(reads: list[list[int]], tensors: list[Tensor]) -> list[Operation]:
    return [
        Operation(f"op {number}", frozenset(read), (tensors[number],))
        for number, read in enumerate(reads)
    ]


def reaches_the_end_without(reads: list[list[int]], left_out: int) -> bool:
    reached = {0} - {left_out}
    for number, read in enumerate(reads):
        if number != left_out and reached & set(read):
            reached.add(number)
    return len(reads) - 1 in reached


@settings(max_examples=300)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_nothing_goes_past_a_waist(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # The first is the picture; each other reads one to three of those before.
    reads = [[], *(rng.integers(0, n, rng.integers(1, 4)).tolist() for n in range(1, count))]
    tensors = graph_of(reads, {})
    waists = [tensor.key for tensor in find_waists(tensors[0], operations_of(reads, tensors))]
    assert waists[-1:] == [count - 1]  # the output is one
    assert not any(reaches_the_end_without(reads, waist) for waist in waists)


# A picture; a layer of half its sides; a block of a quarter, wide and narrow, whose end adds its
# beginning; a layer of an eighth; the output.
READS = [[], [0], [1], [2], [3], [4, 2], [5], [6], [7]]
SIZES = {
    0: (64, 64, 3),
    1: (32, 32, 8),
    2: (16, 16, 40),
    3: (16, 16, 4),
    4: (16, 16, 40),
    5: (16, 16, 24),
    6: (16, 16, 24),
    7: (8, 8, 2),
}


def cuts(sizes: dict[int, tuple[int, int, int]], reads: list[list[int]] = READS) -> Cuts:
    tensors = graph_of(reads, sizes)
    return find_cuts(tensors[0], (64, 64), operations_of(reads, tensors))


def small(sizes: dict[int, tuple[int, int, int]]) -> object:
    return cuts(sizes).small


def test_the_narrowest_of_a_quarter_is_chosen_and_of_equals_the_first() -> None:
    # Within the block its beginning is still needed: the narrow layer there is none.
    assert small(SIZES) == 5


def test_what_no_convolution_reads_is_not_chosen() -> None:
    assert small({n: size for n, size in SIZES.items() if n != 5}) == 6


def test_where_a_quarter_is_missing_the_next_smaller_is_chosen() -> None:
    assert small({n: size for n, size in SIZES.items() if n in (0, 1, 7)}) == 7


def test_both_sides_must_be_small() -> None:
    assert small({**SIZES, 5: (17, 16, 24), 6: (16, 16, 24)}) == 6


def test_there_may_be_none() -> None:
    assert small({n: size for n, size in SIZES.items() if n < 2}) is None
    # The output reads the picture itself.
    assert cuts(SIZES, [*READS[:-1], [7, 0]]) == Cuts(None, None)


def test_all_is_seen_where_pictures_part_into_several_tensors() -> None:
    assert cuts(SIZES).seen == 7  # an output is none to go on from
    search = [[7], [7], [8], [9, 10]]
    assert cuts(SIZES, [*READS[:-1], *search]).seen == 7
    assert cuts(SIZES, [*READS[:-1], [7], *search]).seen == 7
    assert cuts(SIZES, [*READS[:-1], [7], [8], [8], [9, 10]]).seen == 8


def test_the_stem_alone_is_never_rounded() -> None:
    assert Cuts(5, 7).stages() == [(5, False), (7, True)]
    assert Cuts(5, 5).stages() == Cuts(5, None).stages() == [(5, False)]
    assert Cuts(None, 7).stages() == [(7, False)]
    assert Cuts(None, None).stages() == []


@pytest.mark.parametrize("count", [1, 3, 4, 9])
@pytest.mark.parametrize(("threads", "most"), [(1, 4), (2, 9)])
def test_one_thread_looks_at_a_few_at_a_time(count: int, threads: int, most: int) -> None:
    seen = []

    def double(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return 2 * images

    images = np.arange(2 * count).reshape(count, 2)
    np.testing.assert_array_equal(look([double, lambda i: i + 1], images, threads), 2 * images + 1)
    assert max(seen) == min(count, most)
    assert sum(seen) == count
    assert look([], images, threads) is images
