"""From a scene to pixels."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alignment.stimuli.clutter.objects import FLOAT, UINT8, Objects, check_convention
from alignment.stimuli.clutter.scene import CANVAS, TILES, Placed, Scene

WHITE = 255
TILES_IN_A_ROW = 3

Image = npt.NDArray[np.float64]


def render(scene: Scene, objects: Objects, *, convention: str = FLOAT, clean: bool = False) -> Image:
    r"""The image of a scene.

    Objects are scaled and turned by cubic splines, stretched to [0, 1] as $o$, and laid one after the other on a black
    canvas $c$: $c \leftarrow (1 - o) c + o \cdot o$; at last the canvas is stretched to [0, 1].

    Parameters
    ----------
    scene : what is where
    objects : those the scene was drawn from
    convention : "float", pixels in [0, 1]: splines swing below 0, so that the box around an object is not black after
        stretching, as in the published numbers; "uint8": what falls below 0 is cut off
    clean : whether only the target is drawn

    Returns
    -------
    (100, 100) float64 from 0 to 1, both attained

    Raises
    ------
    RequestError
        There is no such convention.

    Examples
    --------
    >>> from alignment.stimuli.clutter.scene import draw
    >>> rng = np.random.default_rng(0)
    >>> images, classes = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.arange(3)
    >>> objects = Objects(images, classes, images, classes)
    >>> image = render(draw(objects, 0, seed=0), objects)
    >>> image.shape, float(image.min()), float(image.max())
    ((100, 100), 0.0, 1.0)
    """
    check_convention(convention)
    canvas = np.zeros((CANVAS, CANVAS))
    for slot, placed in enumerate(scene.objects):
        if clean and slot != scene.target:
            continue
        image = objects.images[placed.domain][placed.exemplar]
        _lay(canvas, _transformed(image if convention == UINT8 else image / WHITE, placed), placed)
    return _stretched(canvas)


def _transformed(image: npt.NDArray[np.generic], placed: Placed) -> Image:
    for factor in placed.factors:
        image = ndimage.zoom(image, factor)
    for angle in placed.angles:
        image = ndimage.rotate(image, angle, reshape=False)
    return _stretched(image.astype(np.float64) if placed.tiles is None else _tiled(image, placed.tiles))


def _tiled(image: npt.NDArray[np.generic], tiles: tuple[int, ...]) -> Image:
    """Tiles in another order, counted along columns; rows and columns that are left over become 0."""
    edge = len(image) // TILES_IN_A_ROW
    scrambled = np.zeros(image.shape)
    for place in range(TILES):
        scrambled[_window(place, edge)] = image[_window(tiles[place], edge)]
    return scrambled


def _window(tile: int, edge: int) -> tuple[slice, slice]:
    column, row = divmod(tile, TILES_IN_A_ROW)
    return slice(row * edge, (row + 1) * edge), slice(column * edge, (column + 1) * edge)


def _lay(canvas: Image, image: Image, placed: Placed) -> None:
    height, width = image.shape
    top, left = placed.row - height // 2, placed.column - width // 2
    under = canvas[top : top + height, left : left + width]
    under[:] = (1 - image) * under + image * image


def _stretched(image: Image) -> Image:
    """To [0, 1]; an image of one value, of which nothing can be seen, becomes 0."""
    least, greatest = image.min(), image.max()
    return (image - least) / (greatest - least) if greatest > least else np.zeros(image.shape)
