"""Pixels of a scene against a plain rendering, and what both conventions and the clean twin must be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from alignment.errors import RequestError
from alignment.stimuli.clutter import Clutter, Objects, Placed, Scene, Variation, draw, render


def by_hand(scene: Scene, objects: Objects, convention: str, only: int | None = None) -> np.ndarray:
    """The published rules, pixel by pixel, with loops."""
    canvas = np.zeros((100, 100))
    for slot in range(8):
        if only is not None and slot != only:
            continue
        placed = scene.objects[slot]
        image = (objects.digits, objects.garments)[placed.domain][placed.exemplar]
        if convention == "float":
            image = image / 255.0
        image = ndimage.rotate(
            ndimage.zoom(image, placed.factors[0], order=3), placed.angles[0], reshape=False, order=3
        )
        n = len(image)
        if placed.tiles is not None:
            tile, shuffled = n // 3, np.zeros((n, n))
            for place in range(9):
                source = placed.tiles[place]
                for row in range(tile):
                    for column in range(tile):
                        shuffled[place % 3 * tile + row, place // 3 * tile + column] = image[
                            source % 3 * tile + row, source // 3 * tile + column
                        ]
            image = shuffled
        image = image.astype(float)
        opaque = (image - image.min()) / (image.max() - image.min())
        for row in range(n):
            for column in range(n):
                at = placed.row - n // 2 + row, placed.column - n // 2 + column
                canvas[at] = (1 - opaque[row, column]) * canvas[at] + opaque[row, column] ** 2
    return (canvas - canvas.min()) / (canvas.max() - canvas.min())


@pytest.mark.parametrize("convention", ["float", "uint8"])
def test_pixels_are_those_of_the_published_rules(blobs: Objects, convention: str) -> None:
    for index in range(3):
        scene = draw(blobs, index, seed=4)
        np.testing.assert_allclose(
            render(scene, blobs, convention=convention), by_hand(scene, blobs, convention), atol=1e-12
        )
        clean = render(scene, blobs, convention=convention, clean=True)
        np.testing.assert_allclose(clean, by_hand(scene, blobs, convention, only=scene.target), atol=1e-12)


@pytest.mark.parametrize("convention", ["float", "uint8"])
@pytest.mark.parametrize("clean", [False, True])
def test_every_image_fills_the_range(blobs: Objects, convention: str, clean: bool) -> None:
    batch = Clutter(blobs, convention=convention).batch(range(60), clean=clean)
    assert batch.images.shape == (60, 100, 100) and batch.images.dtype == np.float32
    assert (batch.images.min((1, 2)) == 0).all() and (batch.images.max((1, 2)) == 1).all()


def test_both_conventions_have_the_same_labels_and_places(blobs: Objects) -> None:
    floats, integers = (Clutter(blobs, seed=3, convention=each) for each in ("float", "uint8"))
    assert [floats.scene(k) for k in range(40)] == [integers.scene(k) for k in range(40)]
    one, other = floats.batch(range(40)), integers.batch(range(40))
    assert all((one.variables[name] == other.variables[name]).all() for name in one.variables)
    assert not np.allclose(one.images, other.images, atol=0.02)


def test_floats_leave_a_square_around_objects_and_integers_do_not(test_objects: Objects) -> None:
    corner = {"float": [], "uint8": []}
    for convention, values in corner.items():
        for index in range(80):
            scene = draw(test_objects, index, seed=0, variation=Variation(angles=(30, 30)))
            # a digit: garments can reach the corners of their box
            if scene.shown.domain == 0:
                image = render(scene, test_objects, convention=convention, clean=True)
                n = round(28 * scene.shown.factors[0])
                # on black, an object is laid down as its square
                values.append(image[scene.shown.row - n // 2 + 1, scene.shown.column - n // 2 + 1] ** 0.5)
    # measured on the published generator: about 0.10, at most 0.19, and 0
    assert 0.08 < np.median(corner["float"]) < 0.12 and max(corner["float"]) < 0.25
    assert np.median(corner["uint8"]) < 0.01


def test_the_largest_object_at_the_extremes_of_its_jitter_just_fits(blobs: Objects) -> None:
    for slot, row, column in ((4, 22, 22), (4, 27, 27), (5, 77, 27), (6, 23, 77), (7, 77, 77)):
        placed = Placed(0, 0, True, False, (1.6,), (35.0,), None, row, column)
        scene = Scene(tuple(replace(placed) for _ in range(8)), slot)
        image = render(scene, blobs, clean=True)
        lit = np.argwhere(image > 0)
        quadrant = (lit[:, 0] >= 50) * 2 + (lit[:, 1] >= 50)
        assert set(quadrant) == {(row > 50) * 2 + (column > 50)}
        assert image.shape == (100, 100)


def test_an_object_of_nothing_leaves_the_canvas_as_it_is(blobs: Objects) -> None:
    empty = replace(blobs, digits=np.zeros_like(blobs.digits))
    scene = draw(empty, 0, seed=0)
    nothing = replace(scene, objects=tuple(replace(each, domain=0) for each in scene.objects))
    assert not render(nothing, empty).any()


def test_no_such_convention(blobs: Objects) -> None:
    with pytest.raises(RequestError, match=r"^unknown convention 'floats'; did you mean float\?$"):
        Clutter(blobs, convention="floats")
