"""Which table and which scale an image of some size has."""

import numpy as np
import pytest

from alignment.stimuli.corruptions.published import Published

TABLE = Published(imagenet=("a", "b", "c", "d", "e"), cifar=("A", "B", "C", "D", "E"))


@pytest.mark.parametrize(
    ("shape", "severity", "value", "scale"),
    [
        ((224, 224), 1, "a", 1.0),
        ((500, 224), 5, "e", 1.0),
        ((448, 600), 2, "b", 2.0),
        ((85, 85), 3, "c", 85 / 224),
        ((32, 32), 1, "A", 1.0),
        ((40, 32), 5, "E", 1.0),
        ((84, 300), 4, "D", 84 / 32),
        ((8, 8), 2, "B", 0.25),
    ],
)
def test_the_shorter_edge_decides(shape: tuple[int, int], severity: int, value: str, scale: float) -> None:
    found = TABLE.at(severity, np.zeros((*shape, 3)))
    assert found.values == value
    assert found.scale == pytest.approx(scale)
