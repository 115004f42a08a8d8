"""Readouts against loops over neuroids and positions, the ridge start against scikit-learn's leave-one-out ridge."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from alignment.errors import DataError, RequestError
from alignment.tuning.layered import ALPHAS, initialise_by_ridge
from alignment.tuning.readouts import (
    READOUTS,
    FactorisedReadout,
    GaussianReadout,
    LinearReadout,
    PooledReadout,
    readout,
)

MAPS, TOKENS, VECTOR = (3, 4, 5), (6, 3), (7,)
NEUROIDS = 4


def activations(shape: tuple[int, ...], *, images: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(images, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


def array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().numpy()


def with_bias(module: torch.nn.Module) -> torch.nn.Module:
    module.bias.data.copy_(torch.linspace(-1, 1, NEUROIDS))
    return module.double()


@pytest.mark.parametrize("shape", [MAPS, TOKENS, VECTOR])
def test_linear_is_a_matrix_product(shape: tuple[int, ...]) -> None:
    linear, x = with_bias(LinearReadout(shape, NEUROIDS, seed=0)), activations(shape)
    expected = x.numpy().reshape(len(x), -1) @ array(linear.weight).T + array(linear.bias)
    np.testing.assert_allclose(array(linear(x)), expected, atol=1e-12)


@pytest.mark.parametrize("kind", READOUTS)
def test_pooling_comes_first(kind: str) -> None:
    pooled = readout(kind, shape=(3, 4, 6), n_neuroids=NEUROIDS, seed=0, pool=2).double().eval()
    whole = readout(kind, shape=(3, 2, 2), n_neuroids=NEUROIDS, seed=0).double().eval()
    x = activations((3, 4, 6))
    means = x.reshape(6, 3, 2, 2, 2, 3).mean((3, 5))
    torch.testing.assert_close(pooled(x), whole(means))


@pytest.mark.parametrize("kind", READOUTS)
def test_channels_of_several_time_bins_are_channels(kind: str) -> None:
    over_time = readout(kind, shape=(2, *MAPS), n_neuroids=NEUROIDS, seed=0).double().eval()
    flat = readout(kind, shape=(6, 4, 5), n_neuroids=NEUROIDS, seed=0).double().eval()
    x = activations((2, *MAPS))
    assert torch.equal(over_time(x), flat(torch.cat([x[:, 0], x[:, 1]], dim=1)))


def test_maps_smaller_than_the_pool_stay() -> None:
    assert LinearReadout(MAPS, NEUROIDS, seed=0, pool=4).weight.shape == (NEUROIDS, 3 * 4 * 4)
    assert LinearReadout(MAPS, NEUROIDS, seed=0, pool=9).weight.shape == (NEUROIDS, 3 * 4 * 5)


@pytest.mark.parametrize(("shape", "positions"), [(MAPS, (2, 3)), (TOKENS, 1), (VECTOR, ())])
def test_pooled_gives_rates_of_spatial_means(shape: tuple[int, ...], positions: tuple[int, ...] | int) -> None:
    pooled, x = with_bias(PooledReadout(shape, NEUROIDS, seed=0)), 5 * activations(shape)
    z = x.numpy().mean(positions) @ array(pooled.weight).T + array(pooled.bias)
    assert z.min() < -0.5
    assert z.max() > 0.5
    np.testing.assert_allclose(array(pooled(x)), np.where(z > 0, z + 1, np.exp(z)), atol=1e-12)


@pytest.mark.parametrize("shape", [MAPS, TOKENS, VECTOR])
def test_factorised_is_where_times_what(shape: tuple[int, ...]) -> None:
    factorised, x = with_bias(FactorisedReadout(shape, NEUROIDS, seed=0)), activations(shape)
    factorised.mask.data.copy_(torch.randn(factorised.mask.shape, generator=torch.Generator().manual_seed(1)))
    places = x.numpy().reshape(len(x), *((3, -1) if shape == MAPS else shape if shape == TOKENS else (-1, 1)))
    expected = np.tile(array(factorised.bias), (len(x), 1))
    for v in range(NEUROIDS):
        for position in range(factorised.n_positions):
            for channel in range(factorised.n_channels):
                unit = places[:, position, channel] if shape == TOKENS else places[:, channel, position]
                expected[:, v] += factorised.mask[v, position].item() * factorised.weight[v, channel].item() * unit
    np.testing.assert_allclose(array(factorised(x)), expected, atol=1e-12)


def test_factorised_starts_by_looking_everywhere_alike() -> None:
    factorised, x = FactorisedReadout(MAPS, NEUROIDS, seed=0).double(), activations(MAPS)
    np.testing.assert_allclose(array(factorised(x)), x.numpy().mean((2, 3)) @ array(factorised.weight).T, atol=1e-7)


def bilinear(maps: np.ndarray, x: float, y: float) -> np.ndarray:
    """(image, channel) at (x, y), both from -1 to 1 between the centres of the outermost units."""
    rows, columns = maps.shape[2:]
    row, column = (np.clip(z, -1, 1) * 0.5 + 0.5 for z in (y, x))
    row, column = row * (rows - 1), column * (columns - 1)
    return sum(
        maps[:, :, r, c] * max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c))
        for r in range(rows)
        for c in range(columns)
    )


def test_gaussian_reads_at_its_position_in_evaluation() -> None:
    gaussian, x = with_bias(GaussianReadout(MAPS, NEUROIDS, seed=0)).eval(), activations(MAPS)
    # inside, on a unit, at a corner, and beyond the edge
    gaussian.position.data.copy_(torch.tensor([[0.13, -0.4], [0.0, 1 / 3], [-1.0, 1.0], [1.4, 0.2]]))
    for v, (column, row) in enumerate(array(gaussian.position)):
        expected = bilinear(x.numpy(), column, row) @ array(gaussian.weight)[v] + array(gaussian.bias)[v]
        np.testing.assert_allclose(array(gaussian(x))[:, v], expected, atol=1e-12)
    np.testing.assert_allclose(
        array(gaussian(x))[:, 2], x.numpy()[:, :, -1, 0] @ array(gaussian.weight)[2] + array(gaussian.bias)[2]
    )


def test_gaussian_positions_are_drawn_with_their_covariance_in_training() -> None:
    # channels hold the coordinates, so that what is read at a position is the position
    side, images = 5, 4000
    axis = torch.linspace(-1, 1, side)
    coordinates = torch.stack([axis[None].expand(side, -1), axis[:, None].expand(-1, side)])
    gaussian = GaussianReadout((2, side, side), 2, seed=0)
    with torch.no_grad():
        gaussian.weight.copy_(torch.eye(2))
        gaussian.position.copy_(torch.tensor([0.2, -0.1]).expand(2, 2))
        gaussian.spread.copy_(torch.tensor([[0.1, 0.0], [-0.12, 0.08]]).expand(2, 2, 2))
        batch = coordinates.expand(images, -1, -1, -1)
        # neuroid 0 reads columns and neuroid 1 rows, each of its own draws: the joint ones need both weights at once
        drawn = gaussian(batch).numpy()
        gaussian.weight.copy_(torch.ones(2, 2))
        sums = gaussian(batch).numpy()
    expected = np.array([[0.1, 0.0], [-0.12, 0.08]])
    covariance = expected @ expected.T
    np.testing.assert_allclose(drawn.mean(0), [0.2, -0.1], atol=5 * 0.15 / np.sqrt(images))
    np.testing.assert_allclose(drawn.var(0), np.diag(covariance), rtol=5 * np.sqrt(2 / images))
    np.testing.assert_allclose(sums.var(0), covariance.sum(), rtol=5 * np.sqrt(2 / images))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(images)


def test_draws_go_on_where_the_state_left_them() -> None:
    x = activations(MAPS).float()
    whole = GaussianReadout(MAPS, NEUROIDS, seed=3)
    torch.manual_seed(0)
    outputs = [whole(x) for _ in range(3)]
    assert not torch.equal(outputs[0], outputs[1])
    first = GaussianReadout(MAPS, NEUROIDS, seed=3)
    torch.manual_seed(1)
    assert torch.equal(first(x), outputs[0])
    first.eval()(x)
    resumed = GaussianReadout(MAPS, NEUROIDS, seed=3)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(resumed(x), outputs[1])
    assert torch.equal(resumed(x), outputs[2])


@pytest.mark.parametrize("kind", READOUTS)
def test_every_weight_learns(kind: str) -> None:
    module = readout(kind, shape=MAPS, n_neuroids=NEUROIDS, seed=0)
    module(activations(MAPS).float()).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all() if parameter.ndim > 1 else parameter.grad.any(), name


@pytest.mark.parametrize("kind", READOUTS)
def test_weights_follow_from_the_seed_alone(kind: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    states = [readout(kind, shape=MAPS, n_neuroids=NEUROIDS, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
    assert not torch.equal(states[0]["weight"], states[2]["weight"])


@pytest.mark.parametrize(
    ("kind", "names"), [(k, ["mask", "weight"] if k == "factorised" else ["weight"]) for k in READOUTS]
)
def test_penalties_are_norms_of_the_weights(kind: str, names: list[str]) -> None:
    module = with_bias(readout(kind, shape=MAPS, n_neuroids=NEUROIDS, seed=0))
    weights = [array(getattr(module, name)) for name in names]
    assert module.penalty("l1").item() == pytest.approx(sum(np.abs(w).sum() for w in weights) / NEUROIDS)
    assert module.penalty("l2").item() == pytest.approx(sum(np.square(w).sum() for w in weights) / NEUROIDS)
    with pytest.raises(RequestError, match="unknown norm 'l3'"):
        module.penalty("l3")


@pytest.mark.parametrize("shape", [(3, 4, 4), (20, 5)])
def test_a_ridge_start_is_that_of_scikit_learn(shape: tuple[int, ...]) -> None:
    x = activations(shape, images=40)
    flat = x.numpy().reshape(40, -1)
    noise = np.random.default_rng(0).standard_normal((40, NEUROIDS))
    y = flat[:, :NEUROIDS] + noise * [0.1, 1, 3, 10] + 2
    linear = LinearReadout(shape, NEUROIDS, seed=0).double()
    fit = initialise_by_ridge([linear], [x], torch.from_numpy(y))
    centred = flat - flat.mean(0)
    grid = np.array(ALPHAS) * np.square(centred).sum() / len(flat)
    for v in range(NEUROIDS):
        reference = RidgeCV(alphas=grid).fit(flat, y[:, v])
        assert fit.alphas[v] * fit.alpha_unit == pytest.approx(reference.alpha_)
        np.testing.assert_allclose(array(linear.weight)[v], reference.coef_, atol=1e-10)
        assert linear.bias[v].item() == pytest.approx(reference.intercept_)
    assert len(fit.alphas.unique()) > 1


def test_a_pooled_map_starts_from_the_ridge_on_it() -> None:
    x = activations((3, 4, 6), images=40)
    y = x.mean((2, 3))[:, [0, 1, 2, 0]]
    linear = LinearReadout((3, 4, 6), NEUROIDS, seed=0, pool=2).double()
    initialise_by_ridge([linear], [x], y, alphas=[1e-8])
    torch.testing.assert_close(linear(x), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 4), (8, 3)])
def test_a_factorised_start_finds_factors_that_exist(shape: tuple[int, ...]) -> None:
    truth = FactorisedReadout(shape, NEUROIDS, seed=1).double()
    truth.mask.data.copy_(torch.rand(NEUROIDS, 8, generator=torch.Generator().manual_seed(2)))
    x = activations(shape, images=60)
    y = truth(x).detach() + 3
    found = FactorisedReadout(shape, NEUROIDS, seed=0).double()
    initialise_by_ridge([found], [x], y, alphas=[1e-10])
    torch.testing.assert_close(found(x), y, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        found.mask / found.mask.norm(dim=1, keepdim=True),
        truth.mask / truth.mask.norm(dim=1, keepdim=True),
        rtol=0,
        atol=1e-6,
    )
    torch.testing.assert_close(found.mask.norm(dim=1), found.weight.norm(dim=1))


def test_a_factorised_start_is_the_nearest_product_and_keeps_the_mean() -> None:
    x = activations(MAPS, images=80)
    y = activations((NEUROIDS,), images=80, seed=9) + x.flatten(1)[:, 10 : 10 + NEUROIDS]
    found = FactorisedReadout(MAPS, NEUROIDS, seed=0).double()
    fit = initialise_by_ridge([found], [x], y, alphas=[0.1])
    assert fit.coefficients is not None
    for v, weights in enumerate(fit.coefficients.T.reshape(NEUROIDS, 3, 20).numpy()):
        _, s, _ = np.linalg.svd(weights)
        product = np.outer(array(found.weight)[v], array(found.mask)[v])
        assert np.square(weights - product).sum() == pytest.approx(np.square(s[1:]).sum())
    np.testing.assert_allclose(array(found(x)).mean(0), y.numpy().mean(0), atol=1e-10)


def test_what_cannot_be_read_out_is_named() -> None:
    with pytest.raises(RequestError, match="unknown readout 'lienar'; did you mean linear"):
        readout("lienar", shape=MAPS, n_neuroids=2, seed=0)
    with pytest.raises(RequestError, match=r"a gaussian readout of activations .* needs maps"):
        readout("gaussian", shape=VECTOR, n_neuroids=2, seed=0)
    with pytest.raises(RequestError, match=r"pool=2 of activations .* only maps"):
        readout("linear", shape=TOKENS, n_neuroids=2, seed=0, pool=2)
    for shape, neuroids in (((), 2), ((2, 2, 3, 4, 5), 2), (MAPS, 0), ((3, 0, 2), 2)):
        with pytest.raises(RequestError, match="a readout of activations"):
            readout("linear", shape=shape, n_neuroids=neuroids, seed=0)
    with pytest.raises(RequestError, match=r"activations \(2, 1, 3, 4, 5\) of images whose units are \(3, 4, 5\)"):
        readout("linear", shape=MAPS, n_neuroids=2, seed=0)(torch.zeros(2, 1, *MAPS))


def test_responses_that_cannot_start_a_readout_are_named() -> None:
    linear, x = LinearReadout(MAPS, NEUROIDS, seed=0), activations(MAPS).float()
    with pytest.raises(RequestError, match=r"responses \(6, 3\) are not \(image, 4 neuroids\)"):
        initialise_by_ridge([linear], [x], torch.zeros(6, 3))
    with pytest.raises(DataError, match="y holds a NaN"):
        initialise_by_ridge([linear], [x], torch.full((6, NEUROIDS), torch.nan))
