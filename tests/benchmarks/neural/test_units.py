import numpy as np
import pytest
import torch

from alignment.encoding import TensorFeatures
from alignment.errors import DataError
from benchmarks.neural import units
from benchmarks.neural.units import columns_of, drawn_units, resident, rows_of


class Narrow(TensorFeatures):
    """A source that never lies in memory as a whole, and counts how often it is read."""

    reads = 0

    def columns(self, start: int, stop: int) -> torch.Tensor:
        type(self).reads += 1
        return super().columns(start, stop)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(6, 700)).astype(np.float32))


def test_columns_come_in_the_order_asked_for_however_they_are_read(x, monkeypatch):
    monkeypatch.setattr(units, "chunk_width", lambda *_: 256)
    wanted = np.array([699, 3, 256, 3, 255, 0])
    np.testing.assert_array_equal(columns_of(TensorFeatures(x), wanted), x[:, wanted])


def test_rows_of_a_matrix_and_of_a_source_are_the_same(x):
    rows = torch.tensor([4, 0, 4])
    np.testing.assert_array_equal(rows_of(TensorFeatures(x), rows).columns(0, 700), rows_of(x, rows))


def test_units_are_drawn_among_those_that_vary_and_fewer_are_a_part_of_more(x):
    x[:, ::2] = 0.1
    x[:, 1] = 1e6 + torch.rand(6) * 1e-3
    few, more, every = (drawn_units([x], count)[0] for count in (20, 100, None))
    known = {tuple(column) for column in x[:, 3::2].T.tolist()}
    for drawn, count in ((few, 20), (more, 100), (every, 349)):
        columns = {tuple(column) for column in drawn.T.tolist()}
        assert len(columns) == count
        assert columns <= known
    assert {tuple(column) for column in few.T.tolist()} < {tuple(column) for column in more.T.tolist()}
    np.testing.assert_array_equal(drawn_units([TensorFeatures(x)], 20)[0], few)
    assert not np.array_equal(few, every[:, :20])


def test_time_bins_share_the_units_that_vary_in_any_of_them(x):
    early, late = x.clone(), x.clone()
    early[:, :690] = 0
    late[:, 650:] = 0
    kept = np.r_[0:650, 690:700]
    for drawn, whole in zip(drawn_units([early, late], None), (early, late), strict=True):
        np.testing.assert_array_equal(drawn, whole[:, kept])


def test_a_layer_in_which_nothing_varies_gives_one_unit(x):
    (drawn,) = drawn_units([torch.ones_like(x)], 20)
    np.testing.assert_array_equal(drawn, np.ones((6, 1)))


def test_a_unit_that_is_not_finite_is_refused_and_not_left_out(x):
    x[2, 5] = torch.nan
    with pytest.raises(DataError, match="NaN"):
        drawn_units([x], 10)


def test_a_layer_is_read_once_where_it_is_small(x, monkeypatch):
    small = resident(Narrow(x))
    assert isinstance(small, torch.Tensor)
    np.testing.assert_array_equal(small, x)
    assert Narrow.reads == 1
    monkeypatch.setattr(units, "RESIDENT_BYTES", 4 * 6 * 700 - 1)
    large = Narrow(x)
    assert resident(large) is large
