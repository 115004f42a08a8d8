"""The plasma fractal against the diamond-square algorithm, point by point."""

import numpy as np
import pytest

from alignment.stimuli.corruptions.fractal import plasma


def naive(edge: int, decay: float, random: np.random.Generator) -> np.ndarray:
    """In the units of the published code, one point after the other."""
    heights = np.zeros((edge, edge))
    wibble, step = 100.0, edge

    def place(rows: range, columns: range, neighbours: list[tuple[int, int]]) -> None:
        for row in rows:
            for column in columns:
                mean = sum(heights[(row + down) % edge, (column + across) % edge] for down, across in neighbours) / 4
                heights[row, column] = mean + wibble * wibble * random.uniform(-1, 1)

    while step >= 2:
        half = step // 2
        diagonal = [(-half, -half), (-half, half), (half, -half), (half, half)]
        straight = [(-half, 0), (half, 0), (0, -half), (0, half)]
        place(range(half, edge, step), range(half, edge, step), diagonal)
        place(range(0, edge, step), range(half, edge, step), straight)
        place(range(half, edge, step), range(0, edge, step), straight)
        step, wibble = half, wibble / decay
    return (heights - heights.min()) / np.ptp(heights)


@pytest.mark.parametrize("decay", [1.4, 2.0, 3.0])
@pytest.mark.parametrize("edge", [2, 8, 32])
def test_it_is_diamond_square(edge: int, decay: float) -> None:
    found = plasma(edge, decay=decay, random=np.random.default_rng(0))
    np.testing.assert_allclose(found, naive(edge, decay, np.random.default_rng(0)), atol=1e-12)


def test_a_larger_decay_is_smoother() -> None:
    roughness = [
        np.mean(
            [np.abs(np.diff(plasma(64, decay=decay, random=np.random.default_rng(seed)), axis=0)) for seed in range(5)]
        )
        for decay in (1.4, 2.0, 3.0)
    ]
    assert roughness[0] > 1.5 * roughness[1] > 1.5 * roughness[2]
