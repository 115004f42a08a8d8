"""One connection, against its equation written out number by number."""

import numpy as np
import pytest
import torch

from alignment.models.lrm import modulation
from alignment.models.lrm.modulation import Modulation


def corner_aligned(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(channel, row, column) to another size: first and last rows and columns stay first and last."""
    rows, columns = (np.linspace(0, old - 1, new) for old, new in zip(maps.shape[1:], size, strict=True))
    found = np.empty((len(maps), *size))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            r, c = int(row), int(column)
            below, right = min(r + 1, maps.shape[1] - 1), min(c + 1, maps.shape[2] - 1)
            top = maps[:, r, c] * (1 - column + c) + maps[:, r, right] * (column - c)
            bottom = maps[:, below, c] * (1 - column + c) + maps[:, below, right] * (column - c)
            found[:, i, j] = top * (1 - row + r) + bottom * (row - r)
    return found


def expected(block: Modulation, value: np.ndarray, size: tuple[int, int] | None, gains=(1.0, 1.0)) -> np.ndarray:
    """F of one image in float64, step by step."""
    weights = {name: weight.detach().double().numpy() for name, weight in block.named_parameters()}
    gamma, beta = weights["rescale.norm.weight"], weights["rescale.norm.bias"]
    if value.ndim == 3:
        gamma, beta = (corner_aligned(each, value.shape[1:]) for each in (gamma, beta))
    z = (value - value.mean()) / np.sqrt(value.var() + 1e-5) * gamma + beta
    z = np.tanh(z)
    if value.ndim == 1:
        z = z[:, None, None]
    else:
        z = z.mean((1, 2), keepdims=True) if size is None else corner_aligned(z, size)
    z = np.where(z < 0, gains[0] * weights["neg_scale"] * z, gains[1] * weights["pos_scale"] * z)
    flow = np.einsum("dc,chw->dhw", weights["modulation.weight"][:, :, 0, 0], z)
    return flow + weights["modulation.bias"][:, None, None]


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_block(source, destination, draw) -> Modulation:
    block = Modulation(source, destination)
    with torch.no_grad():
        for weight in block.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw))
    return block


@pytest.mark.parametrize(
    ("source", "destination", "seen"),
    [
        # a vector to a map, maps that grow, shrink and stay, of another size than at construction, a map to a vector
        ((7,), (3, 4, 5), (4, 5)),
        ((6, 3, 4), (5, 9, 8), (9, 8)),
        ((6, 9, 8), (5, 3, 4), (3, 4)),
        ((6, 4, 4), (5, 4, 4), (4, 4)),
        ((6, 3, 4), (5, 9, 8), (12, 11)),
        ((6, 1, 1), (5, 9, 8), (9, 8)),
        ((1, 3, 3), (5, 9, 8), (9, 8)),
        ((6, 3, 4), (5,), None),
        ((7,), (5,), None),
    ],
)
@pytest.mark.parametrize("gains", [(1.0, 1.0), (0.5, -2.0)])
def test_the_equation(source, destination, seen, gains, draw) -> None:
    block = random_block(source, destination, draw)
    value = torch.randn(3, *source, generator=draw)
    with torch.no_grad():
        found = block(value, size=seen, gains=gains).double().numpy()
    for image, flow in zip(value.double().numpy(), found, strict=True):
        # float32 against float64
        np.testing.assert_allclose(
            flow.reshape(destination[0], -1), _flat(expected(block, image, seen, gains)), 0, 3e-5
        )


def _flat(flow: np.ndarray) -> np.ndarray:
    return flow.reshape(len(flow), -1)


def test_a_map_to_a_vector_is_averaged_over_places(draw) -> None:
    block = Modulation((1, 3, 3), (1,))
    with torch.no_grad():
        block.modulation.weight.fill_(1)
        block.modulation.bias.fill_(0)
    ramp = torch.arange(9.0).view(1, 1, 3, 3) ** 2
    ramp = ramp - ramp.mean()
    squashed = torch.tanh(ramp / (ramp.var(correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(block(ramp, size=None), squashed.mean().view(1, 1))


@pytest.mark.parametrize("source", [(5,), (5, 2, 3)])
def test_number_of_weights(source) -> None:
    block = Modulation(source, (4, 6, 7))
    normalised = 5 if len(source) == 1 else 5 * 6 * 7
    assert sum(weight.numel() for weight in block.parameters()) == 2 * normalised + 4 * 5 + 4 + 2


def test_gradients_are_those_of_differences(draw) -> None:
    for source, size in (((3, 2, 2), (3, 4)), ((3,), (3, 4)), ((3, 2, 2), None)):
        block = random_block(source, (2, 3, 4) if size else (2,), draw).double()
        value = torch.randn(2, *source, generator=draw, dtype=torch.float64, requires_grad=True)
        weights = tuple(block.parameters())
        torch.autograd.gradcheck(lambda value, *_, block=block, size=size: block(value, size=size), (value, *weights))


def test_images_taken_a_few_at_a_time_are_the_same(draw, monkeypatch) -> None:
    block, value = random_block((4, 3, 3), (2, 8, 8), draw), torch.randn(5, 4, 3, 3, generator=draw)
    whole = block(value, size=(8, 8))
    monkeypatch.setattr(modulation, "CACHED", 2 * 4 * 8 * 8)
    torch.testing.assert_close(block(value, size=(8, 8)), whole)
