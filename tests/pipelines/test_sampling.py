"""Tests of a sample: from all over the archive, the same in every run, the rest only counted."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pipelines.records import ImageFile
from pipelines.sampling import spread_sample


def image(name: object) -> ImageFile:
    return ImageFile(f"/archive/{name}.jpg", f"{name}.jpg", 1)


@given(st.lists(st.integers(0, 99), max_size=60), st.integers(1, 70))
def test_a_sample_is_pictures_of_the_archive_in_its_order(names: list[int], count: int) -> None:
    images = [image(name) for name in names]
    sample = spread_sample(iter(images), count)
    assert sample.total == len(names)
    assert len(sample.images) == len(set(sample.images)) <= count
    assert sample.images == [i for i in dict.fromkeys(images) if i in sample.images]
    if len(set(names)) == len(names):
        assert len(sample.images) == min(count, len(names))


def test_a_sample_comes_from_all_over_the_archive_the_same_in_any_order() -> None:
    images = [image(f"{number:05d}") for number in range(10_000)]
    sample = spread_sample(images, 400).images
    assert {i.uri for i in spread_sample(images[::-1], 400).images} == {i.uri for i in sample}
    for start in range(0, 10_000, 1000):
        assert 15 < len(set(images[start : start + 1000]) & set(sample)) < 80


def test_names_that_all_shards_share_are_each_taken_for_themselves() -> None:
    images = [ImageFile(f"/{n // 10}.tar!/{n % 10}.jpg", f"{n % 10}.jpg", 1) for n in range(1000)]
    assert len({image.image_id for image in spread_sample(images, 50).images}) == 10


def test_a_larger_sample_holds_the_smaller_one() -> None:
    images = [image(number) for number in range(500)]
    assert set(spread_sample(images, 20).images) < set(spread_sample(images, 50).images)


def test_an_archive_of_any_size_is_never_held_in_memory() -> None:
    tracemalloc.start()
    sample = spread_sample((image(number) for number in range(50_000)), 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (sample.total, len(sample.images)) == (50_000, 10)
    assert peak < 1 << 17
