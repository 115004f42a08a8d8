"""Composites: pixels by the formula, and who is composed with whom."""

import numpy as np
import pytest
import torch

from alignment.errors import RequestError
from alignment.stimuli.composites import ARRANGEMENTS, Triplets, overlap, side_by_side, triplets, without_repeats


def images() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 4, 3, 5, 7, generator=draws)
    return first, second


def test_pixels() -> None:
    first, second = images()
    mixed = overlap(first, second, 0.25)
    assert mixed[3, 1, 2, 4] == pytest.approx(float(0.25 * first[3, 1, 2, 4] + 0.75 * second[3, 1, 2, 4]))
    torch.testing.assert_close(mixed, torch.lerp(second, first, 0.25))
    torch.testing.assert_close(overlap(first, second), overlap(second, first))
    # before normalisation or after is the same
    torch.testing.assert_close((mixed - 0.4) / 0.2, overlap((first - 0.4) / 0.2, (second - 0.4) / 0.2, 0.25))
    beside = side_by_side(first, second)
    assert beside.shape == (4, 3, 5, 14)
    assert torch.equal(beside[..., :7], first) and torch.equal(beside[..., 7:], second)
    assert set(ARRANGEMENTS) == {"overlap", "side-by-side"}


def test_who_is_composed_with_whom() -> None:
    rng = np.random.default_rng(0)
    targets = rng.choice(6, size=301, p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.05])
    made = triplets(targets, seed=0)
    shown = np.concatenate([made.first, made.second])
    assert len(set(shown)) == len(shown) and len(made.first) == 150
    kinds = np.stack([targets[positions] for positions in (made.first, made.second, made.absent)])
    assert all(len(set(each)) == 3 for each in kinds.T)
    again, other = triplets(targets, seed=0), triplets(targets, seed=1)
    assert all(map(np.array_equal, made, again)) and not np.array_equal(made.first, other.first)
    few = triplets(targets, seed=0, most=20)
    assert all(np.array_equal(each[:20], kept) for each, kept in zip(made, few, strict=True))


def test_of_a_class_that_most_images_have_some_are_left_over() -> None:
    made = triplets(np.array([0] * 20 + [1, 1, 2]), seed=0)
    assert len(made.first) == 3
    # the third class is the one that is left
    targets = np.array([0] * 20 + [1, 1, 2])
    assert {frozenset(targets[[a, b]]) | {targets[c]} for a, b, c in zip(*made, strict=True)} == {frozenset({0, 1, 2})}


def test_the_two_images_come_in_either_order() -> None:
    """Neither class, nor place in the list, decides who is first."""
    targets = np.arange(2000) % 4
    made = triplets(targets, seed=3)
    assert abs(np.mean(made.first < made.second) - 0.5) < 4 * 0.5 / len(made.first) ** 0.5
    assert abs(np.mean(targets[made.first] < targets[made.second]) - 0.5) < 4 * 0.5 / len(made.first) ** 0.5


def test_repeats_in_either_order_count_once() -> None:
    made = Triplets(np.array([3, 1, 5, 2]), np.array([1, 3, 2, 5]), np.array([0, 4, 6, 7]))
    kept = without_repeats(made)
    assert kept.first.tolist() == [3, 5] and kept.second.tolist() == [1, 2] and kept.absent.tolist() == [0, 6]
    assert made.take(slice(1, 3)).absent.tolist() == [4, 6]


def test_what_cannot_be_composed_is_one_line() -> None:
    first, second = images()
    cases = [
        (
            lambda: overlap(first, second[..., :3]),
            r"^composite: images are \(4, 3, 5, 7\) and \(4, 3, 5, 3\); give two",
        ),
        (lambda: overlap(first[0], second[0]), r"give two batches \(batch, 3, row, column\)"),
        (lambda: overlap(first, second, 1.5), r"^composite: share=1.5; give a share of the first image, 0 to 1$"),
        (lambda: side_by_side(first, second, 0.3), r"^composite: share=0.3 means nothing side by side"),
        (lambda: triplets(np.array([0, 1, 0, 1]), seed=0), r"^composites: images of 2 classes; give images of three"),
    ]
    for call, message in cases:
        with pytest.raises(RequestError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
