"""What is drawn: the distributions of the published generator, image by image from its own generator."""

import numpy as np
import pytest
from scipy import stats

from alignment.errors import RequestError
from alignment.stimuli.clutter import EXTREMES, Objects, Scene, Variation, draw

N = 2000


@pytest.fixture(scope="module")
def scenes(blobs: Objects) -> list[Scene]:
    return [draw(blobs, index, seed=1) for index in range(N)]


def is_binomial(count: int, n: int, share: float) -> bool:
    return bool(stats.binomtest(count, n, share).pvalue > 1e-3)


def test_levels_of_the_target_are_as_often(scenes: list[Scene], blobs: Objects) -> None:
    said = [scene.variables(blobs) for scene in scenes]
    for name in ("column", "row", "scale", "orientation", "domain"):
        assert is_binomial(sum(each[name] for each in said), N, 0.5), name
    for slot in range(4, 8):
        assert is_binomial(sum(scene.target == slot for scene in scenes), N, 0.25), slot
    counts = np.bincount([each["category"] for each in said], minlength=20)
    assert stats.chisquare(counts).pvalue > 1e-3
    # each quadrant, so that row and column do not go together
    quadrants = np.bincount([2 * each["row"] + each["column"] for each in said], minlength=4)
    assert stats.chisquare(quadrants).pvalue > 1e-3


def test_labels_say_what_is_there(scenes: list[Scene], blobs: Objects) -> None:
    for scene in scenes[:300]:
        said, shown = scene.variables(blobs), scene.objects[scene.target]
        assert (said["row"], said["column"]) == (int(shown.row > 50), int(shown.column > 50))
        assert said["scale"] == int(shown.factors[0] > 1.2) and said["orientation"] == int(shown.angles[0] < 0)
        classes = (blobs.digit_classes, blobs.garment_classes)[shown.domain]
        assert said["category"] == 10 * shown.domain + classes[shown.exemplar] and said["domain"] == shown.domain
        assert [each.tiles is None for each in scene.objects] == [slot == scene.target for slot in range(8)]


def test_objects_lie_in_their_quadrants_in_two_layers(scenes: list[Scene]) -> None:
    for slot in range(8):
        rows, columns = (
            np.array([getattr(scene.objects[slot], each) for scene in scenes]) for each in ("row", "column")
        )
        centre = 75 if slot % 2 else 25, 25 if slot % 4 < 2 else 75
        for places, middle in zip((rows, columns), centre, strict=True):
            # 25 + U(-2.5, 2.5), rounded: five whole numbers, as often each
            found, counts = np.unique(places, return_counts=True)
            assert found.tolist() == list(range(middle - 2, middle + 3))
            assert stats.chisquare(counts).pvalue > 1e-4


def test_scales_and_angles_are_uniform_within_their_levels(scenes: list[Scene]) -> None:
    placed = [each for scene in scenes for each in scene.objects]
    for large, (low, width) in ((False, (0.8, 0.2)), (True, (1.4, 0.2))):
        factors = [each.factors[0] for each in placed if each.large is large]
        assert stats.kstest(factors, stats.uniform(low, width).cdf).pvalue > 1e-3
        assert is_binomial(len(factors), len(placed), 0.5)
    for counter, low in ((False, 25), (True, -35)):
        angles = [each.angles[0] for each in placed if each.counter is counter]
        assert stats.kstest(angles, stats.uniform(low, 10).cdf).pvalue > 1e-3
    assert all(len(each.factors) == len(each.angles) == 1 for each in placed)


def test_tiles_are_in_any_order_but_their_own(scenes: list[Scene]) -> None:
    orders = [each.tiles for scene in scenes for each in scene.objects if each.tiles is not None]
    assert len(orders) == 7 * N and tuple(range(9)) not in orders
    assert all(sorted(order) == list(range(9)) for order in orders)
    for place in range(9):
        assert stats.chisquare(np.bincount([order[place] for order in orders])).pvalue > 1e-4


def test_an_image_is_the_same_alone_and_in_any_order(scenes: list[Scene], blobs: Objects) -> None:
    for index in (1999, 0, 77):
        assert draw(blobs, index, seed=1) == scenes[index]
    assert draw(blobs, 0, seed=2) != scenes[0] != scenes[1]


def test_extremes_do_not_vary(blobs: Objects) -> None:
    for index in range(50):
        for slot, placed in enumerate(draw(blobs, index, seed=0, variation=EXTREMES).objects):
            assert placed.factors == ((1.6,) if placed.large else (0.8,))
            assert placed.angles == ((-35.0,) if placed.counter else (35.0,))
            assert (placed.row, placed.column) == (75 if slot % 2 else 25, 25 if slot % 4 < 2 else 75)


@pytest.mark.parametrize("wrong", [{"large": (1.4, 1.61)}, {"small": (1.7, 1.0)}, {"jitter": 2.6}, {"jitter": -1.0}])
def test_what_would_leave_its_quadrant_is_refused(wrong: dict) -> None:
    with pytest.raises(RequestError, match="leave their quadrant; give at most"):
        Variation(**wrong)
