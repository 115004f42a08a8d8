"""Spectra against dense matrices made column by column, Fourier symbols, and closed forms."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.nn import functional as F

from alignment.dynamics.recurrence import Recurrence, recurrence_of
from alignment.dynamics.spectrum import leading_spectrum, stability, union
from alignment.errors import RequestError


def kernel(channels, *, scale=1.0, seed=0, groups=1):
    drawn = torch.Generator().manual_seed(seed)
    shape = (channels, channels // groups, 3, 3)
    return scale * torch.randn(shape, generator=drawn, dtype=torch.float64) / (3 * channels**0.5)


def matrix(weight, shape, *, padding_mode="zeros", dilation=1):
    """Entry by entry, from the definition of a convolution."""
    channels, rows, columns = shape
    found = np.zeros((channels, rows, columns, channels, rows, columns))
    reach = dilation * (weight.shape[2] // 2)
    for out in range(channels):
        for into in range(channels):
            for i in range(3):
                for j in range(3):
                    for row in range(rows):
                        for column in range(columns):
                            y, x = row + dilation * i - reach, column + dilation * j - reach
                            if padding_mode == "circular":
                                y, x = y % rows, x % columns
                            if 0 <= y < rows and 0 <= x < columns:
                                found[out, row, column, into, y, x] += float(weight[out, into, i, j])
    size = channels * rows * columns
    return found.reshape(size, size)


def sorted_by_size(values):
    return values[np.lexsort((values.imag, -np.abs(values).round(9)))]


@pytest.mark.parametrize("circular", [False, True])
def test_dense_matrix_is_the_definition_and_reproduces_the_convolution(circular):
    weight, shape = kernel(3), (3, 5, 4)
    recurrence = Recurrence(weight, shape, circular=circular)
    mode = "circular" if circular else "zeros"
    np.testing.assert_allclose(recurrence.dense(), matrix(weight, shape, padding_mode=mode), atol=1e-15)
    maps = torch.randn(2, *shape, dtype=torch.float64)
    layer = nn.Conv2d(3, 3, 3, padding=1, padding_mode=mode, bias=False).double()
    layer.weight.data = weight
    through = (recurrence.dense() @ maps.flatten(1).T).T.view_as(maps)
    with torch.no_grad():
        assert float((through - layer(maps)).abs().max()) < 1e-6
        assert float((recurrence.apply(maps) - layer(maps)).abs().max()) < 1e-14


@pytest.mark.parametrize(
    "recurrence",
    [
        Recurrence(kernel(4), (4, 6, 5)),
        Recurrence(kernel(4), (4, 6, 5), circular=True),
        Recurrence(kernel(4), (4, 7, 7), dilation=(2, 1)),
        Recurrence(kernel(4, groups=2), (4, 6, 5), groups=2),
        Recurrence(kernel(4), (4, 6, 5)).scaled(torch.rand(4, 6, 5)).stepped(0.3),
    ],
    ids=["zeros", "circular", "dilated", "grouped", "linearised step"],
)
def test_adjoint(recurrence):
    x, y = torch.randn(2, 1, *recurrence.shape, dtype=torch.float64)
    left, right = float((recurrence.apply(x) * y).sum()), float((x * recurrence.adjoint(y)).sum())
    assert abs(left - right) < 1e-12
    operator = recurrence.as_operator()
    np.testing.assert_allclose(operator.rmatvec(y.numpy().ravel()), recurrence.dense().numpy().T @ y.numpy().ravel())


def test_adjoint_of_zero_padding_is_the_transposed_convolution():
    weight, y = kernel(3), torch.randn(1, 3, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(
        Recurrence(weight, (3, 6, 5)).adjoint(y), F.conv_transpose2d(y, weight, padding=1), rtol=0, atol=1e-14
    )


def test_a_circular_convolution_has_the_spectrum_of_its_symbol_and_zero_padding_has_not():
    weight, edge = kernel(4, scale=2.0), 6
    symbol = torch.fft.fft2(weight.flip(2, 3), s=(edge, edge)).numpy()
    union_of_symbols = np.concatenate(
        [scipy.linalg.eigvals(symbol[:, :, i, j]) for i in range(edge) for j in range(edge)]
    )
    circular, zeros = (
        scipy.linalg.eigvals(Recurrence(weight, (4, edge, edge), circular=circular).dense().numpy())
        for circular in (True, False)
    )
    # the kernel is centred: a shift by one pixel is a phase, which the size of an eigenvalue of one symbol hides
    np.testing.assert_allclose(np.sort(np.abs(circular)), np.sort(np.abs(union_of_symbols)), atol=1e-8)
    assert abs(np.abs(circular).max() - np.abs(zeros).max()) > 0.02


@pytest.mark.parametrize("seed", range(3))
def test_all_eigenvalues_of_a_small_map(seed):
    recurrence = Recurrence(kernel(4, seed=seed), (4, 6, 6))
    dense = scipy.linalg.eigvals(recurrence.dense().numpy())
    found = leading_spectrum(recurrence, 142, n_basis=144)
    assert recurrence.size == 144
    for value in found.values:
        assert np.abs(dense - value).min() < 1e-6
    np.testing.assert_allclose(np.abs(found.values), np.sort(np.abs(dense))[::-1][:142], atol=1e-6)
    whole = leading_spectrum(recurrence, 144)
    np.testing.assert_allclose(np.sort(np.abs(whole.values)), np.sort(np.abs(dense)), atol=1e-6)


def test_the_leading_ten_of_a_thousand():
    recurrence = Recurrence(kernel(10), (10, 10, 10))
    dense = np.sort(np.abs(scipy.linalg.eigvals(recurrence.dense().numpy())))[::-1][:10]
    for n_basis in (None, 300):
        found = leading_spectrum(recurrence, 10, n_basis=n_basis)
        np.testing.assert_allclose(np.abs(found.values), dense, atol=1e-8)
        assert found.residuals.max() < 1e-10
        np.testing.assert_allclose(np.linalg.norm(found.vectors.reshape(10, -1), axis=1), 1)
        vector = found.vectors[0].ravel()
        np.testing.assert_allclose(recurrence.dense().numpy() @ vector, found.values[0] * vector, atol=1e-10)


def test_largest_real_parts():
    recurrence = Recurrence(kernel(4, scale=2.0), (4, 6, 6))
    dense = scipy.linalg.eigvals(recurrence.dense().numpy()).real
    found = leading_spectrum(recurrence, 4, order="LR")
    np.testing.assert_allclose(found.values.real, np.sort(dense)[::-1][:4], atol=1e-9)


def test_a_tolerance_is_a_bound_on_the_residual():
    recurrence = Recurrence(kernel(10), (10, 10, 10))
    found = leading_spectrum(recurrence, 5, tolerance=1e-2)
    assert (found.residuals < 2e-2 * np.abs(found.values)).all()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (torch.zeros(2, 2, 3, 3), [0, 0, 0]),
        (0.5 * torch.eye(2)[:, :, None, None], [0.5, 0.5, 0.5]),
        (0.5 * torch.ones(2, 2, 1, 1), [1, 1, 1]),
    ],
    ids=["zero", "identity", "projection"],
)
def test_invariant_subspaces_end_no_search(weight, expected):
    found = leading_spectrum(Recurrence(weight, (weight.shape[0], 9, 9)), 3)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.residuals.max() < 1e-12


def test_a_map_without_eigenvectors_to_find_is_said_to_be_one():
    shift = Recurrence(F.pad(torch.ones(1, 1, 1, 1), (0, 2, 1, 1)), (1, 9, 9))
    with pytest.raises(RequestError, match="0 of 3 eigenvalues converged"):
        leading_spectrum(shift, 3)
    assert np.abs(leading_spectrum(shift, 80).values).max() < 1e-12


def test_linearisation_and_its_stability():
    weight, shape = kernel(3, scale=4.0), (3, 5, 5)
    on = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.4).double()
    recurrence = Recurrence(weight, shape).scaled(on)
    jacobian = np.diag(on.numpy().ravel()) @ matrix(weight, shape)
    values = scipy.linalg.eigvals(jacobian)
    for alpha in (0.2, 1.0):
        found = stability(recurrence, alpha=alpha)
        assert found.growth == pytest.approx(values.real.max() - 1, abs=1e-9)
        assert found.step_radius == pytest.approx(np.abs(1 - alpha + alpha * values).max(), abs=1e-9)
        assert found.continuous == (values.real.max() < 1) and found.discrete == (found.step_radius < 1)


@pytest.mark.parametrize(("scale", "comes_to_rest"), [(0.5, True), (2.2, False)])
def test_what_is_called_stable_comes_to_rest(scale, comes_to_rest):
    recurrence = Recurrence(kernel(4, scale=scale), (4, 6, 6))
    found = stability(recurrence, alpha=0.2)
    maps = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    start = float(maps.norm())
    step = recurrence.stepped(0.2)
    for _ in range(300):
        maps = step.apply(maps)
    assert found.discrete == found.continuous == comes_to_rest
    assert (float(maps.norm()) < 1e-3 * start) == comes_to_rest


def test_areas_that_feed_forward_have_the_union_of_their_spectra():
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((4, 4)) for _ in range(3)]
    whole = scipy.linalg.block_diag(*blocks)
    whole[4:8, :4], whole[8:, :8] = rng.standard_normal((4, 4)), rng.standard_normal((4, 8))
    found = union([scipy.linalg.eigvals(block) for block in blocks])
    np.testing.assert_allclose(sorted_by_size(found), sorted_by_size(scipy.linalg.eigvals(whole)), atol=1e-8)
    assert (np.diff(np.abs(found)) <= 0).all()


def test_a_recurrent_convolution_of_any_network():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding="same", dilation=2, groups=3, bias=True))
    recurrence = recurrence_of(net[1], (7, 8))
    maps = torch.randn(1, 6, 7, 8)
    with torch.no_grad():
        expected = net[1](maps) - net[1].bias.view(1, -1, 1, 1)
    torch.testing.assert_close(recurrence.apply(maps.double()).float(), expected)
    for layer in (net[0], nn.Conv2d(6, 6, 3, padding=1, stride=2), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 3, 1)):
        with pytest.raises(RequestError, match="itself"):
            recurrence_of(layer, (7, 8))


@pytest.mark.parametrize(("k", "order", "message"), [(0, "LM", "0 eigenvalues"), (999, "LM", "999"), (3, "SM", "SM")])
def test_impossible_requests(k, order, message):
    with pytest.raises(RequestError, match=message):
        leading_spectrum(Recurrence(kernel(4), (4, 6, 6)), k, order=order)
