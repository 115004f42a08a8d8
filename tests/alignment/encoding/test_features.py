"""Reading features by columns."""

import pytest
import torch

from alignment.encoding import FeatureSource, RowSubset, TensorFeatures, fit_ridge, gram_equivalent
from alignment.errors import DataError, RequestError


class Counting:
    """A source that keeps count of the widest request and of reads per unit."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.reads = torch.zeros(values.shape[1])
        self.widest = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def columns(self, start: int, stop: int) -> torch.Tensor:
        self.reads[start:stop] += 1
        self.widest = max(self.widest, stop - start)
        return self.values[:, start:stop]


def test_a_fit_reads_every_unit_once_and_no_more_than_a_chunk() -> None:
    source = Counting(torch.randn(12, 100, generator=torch.Generator().manual_seed(0)).half())
    assert isinstance(source, FeatureSource)
    fit_ridge(source, source.values[:, :2].float(), alphas=[1.0], feature_chunk=9)
    assert source.widest == 9 and bool((source.reads == 1).all())


def test_rows_of_a_source_are_rows_of_the_matrix() -> None:
    x = torch.randn(12, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.tensor([5, 0, 7, 3])
    subset = RowSubset(TensorFeatures(x), rows)
    assert subset.shape == (4, 40)
    torch.testing.assert_close(gram_equivalent(subset), gram_equivalent(x[rows]))


def test_inner_products_survive() -> None:
    for p in (5, 60):
        x = torch.randn(20, p, generator=torch.Generator().manual_seed(p), dtype=torch.float64) + 4
        z = gram_equivalent(x, feature_chunk=8)
        assert z.shape == (20, min(19, p))
        torch.testing.assert_close(torch.cdist(z, z), torch.cdist(x, x))


def test_a_source_that_breaks_its_word() -> None:
    source = Counting(torch.ones(6, 10))
    source.columns = lambda start, stop: source.values[:3, start:stop]
    with pytest.raises(DataError, match="disagree"):
        gram_equivalent(source)
    with pytest.raises(RequestError, match="at least one"):
        gram_equivalent(torch.ones(6, 0))
    with pytest.raises(RequestError, match="floating"):
        gram_equivalent(torch.ones(6, 3, dtype=torch.int64))
