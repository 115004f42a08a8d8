"""Pictures with some of the statistics of photographs: 1/f textures, coloured shapes with edges, patches of pattern."""

from collections.abc import Callable, Sequence

import numpy as np

from alignment import seeds

N_SHAPES = (2, 6)
Mask = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def picture(nsd_id: int, *, size: int, seed: int) -> np.ndarray:
    """One picture; it depends on the id, the size and the seed, and on nothing else.

    Returns
    -------
    (row, column, 3) uint8
    """
    rng = seeds.generator(seed, "picture", int(nsd_id))
    axis = (np.arange(size) + 0.5) / size - 0.5
    y, x = np.meshgrid(axis, axis, indexing="ij")
    canvas = rng.uniform(0.25, 0.75, 3) + rng.uniform(0.05, 0.25) * _coloured(_texture(size, rng), rng)
    for _ in range(rng.integers(*N_SHAPES)):
        inside = SHAPES[int(rng.integers(len(SHAPES)))](x, y, rng)
        paint = rng.uniform(0, 1, 3) + rng.uniform(0, 0.3) * _coloured(_pattern(x, y, rng), rng)
        canvas = np.where(inside[..., None], paint, canvas)
    light = 1 + rng.uniform(-0.6, 0.6) * x + rng.uniform(-0.6, 0.6) * y
    return (np.clip(canvas * light[..., None], 0, 1) * 255).round().astype(np.uint8)


def _texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with amplitude 1/f^a and a preferred orientation, standardised."""
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    favoured = 1 + rng.uniform(0, 3) * np.cos(np.arctan2(fy, fx) - rng.uniform(0, np.pi)) ** 8
    noise = rng.standard_normal(fx.shape) + 1j * rng.standard_normal(fx.shape)
    field = np.fft.irfft2(noise * favoured * radius ** -rng.uniform(0.7, 1.5), s=(size, size))
    return (field - field.mean()) / field.std()


def _coloured(field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The field in a random colour, mostly grey, as textures are."""
    return field[..., None] * (1 + 0.5 * rng.standard_normal(3))


def _pattern(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stripes of random orientation and width."""
    angle, cycles = rng.uniform(0, np.pi), rng.uniform(3, 16)
    return np.sin(2 * np.pi * cycles * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 2 * np.pi))


def _ellipse(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(x, y, rng)
    a, b = rng.uniform(0.06, 0.3, 2)
    return (u / a) ** 2 + (v / b) ** 2 < 1


def _box(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(x, y, rng)
    a, b = rng.uniform(0.04, 0.3, 2)
    return (np.abs(u) < a) & (np.abs(v) < b)


def _triangle(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(x, y, rng)
    a = rng.uniform(0.1, 0.3)
    return (v > -a) & (v < a - 2 * np.abs(u))


def _turned(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    angle, (dx, dy) = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4, 2)
    return (
        np.cos(angle) * (x - dx) + np.sin(angle) * (y - dy),
        -np.sin(angle) * (x - dx) + np.cos(angle) * (y - dy),
    )


SHAPES: Sequence[Mask] = (_ellipse, _box, _triangle)
