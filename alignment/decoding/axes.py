"""Features in the form that a support vector machine is fitted on: scaled where asked for, on few axes.

A machine depends on features through inner products of stimuli alone. A layer of more units than stimuli is turned onto
as many axes as there are stimuli: the fit is the same, and takes seconds where it took minutes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.encoding import FeatureSource, TensorFeatures
from alignment.encoding.features import ColumnReader, chunk_width, spans

# of the root mean square sd of a layer: a near-dead unit is not blown up to the size of the others
FLOOR = 0.1


@dataclass(frozen=True)
class _Scaled:
    """Units of another source, less their mean and divided by their sd."""

    source: FeatureSource
    mean: Tensor
    divisor: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    def columns(self, start: int, stop: int) -> Tensor:
        values = self.source.columns(start, stop).double()
        return (values - self.mean[start:stop]) / self.divisor[start:stop]


def scaled(source: FeatureSource, train: npt.NDArray[np.int64]) -> FeatureSource:
    """Scaled by what the training stimuli say."""
    reader = ColumnReader(chunk_width(source.shape[0], None), torch.device("cpu"))
    means, deviations = [], []
    for start, stop in spans(source.shape[1], reader.width):
        block = reader.read(source, start, stop)[torch.from_numpy(train)]
        means.append(block.mean(0))
        deviations.append(block.std(0, correction=0))
    deviation = torch.cat(deviations)
    floor = FLOOR * float(deviation.square().mean().sqrt())
    # a layer that does not vary stays as it is
    divisor = deviation.clamp(min=floor) if floor > 0 else torch.ones_like(deviation)
    return _Scaled(source, torch.cat(means), divisor)


def in_few_axes(source: FeatureSource) -> FeatureSource:
    r"""Features with the same inner products, on at most as many axes as there are stimuli.

    With $X X^\top = U \Lambda U^\top$, not centred, since the machine penalises its intercept: $U \Lambda^{1/2}$.
    """
    n_stimuli, n_units = source.shape
    reader = ColumnReader(chunk_width(n_stimuli, None), torch.device("cpu"))
    if n_units <= n_stimuli:
        return TensorFeatures(torch.cat([reader.read(source, *span) for span in spans(n_units, reader.width)], dim=1))
    gram = torch.zeros(n_stimuli, n_stimuli, dtype=torch.float64)
    for start, stop in spans(n_units, reader.width):
        block = reader.read(source, start, stop)
        gram.addmm_(block, block.T)
    values, vectors = torch.linalg.eigh(gram)
    kept = values > n_stimuli * torch.finfo(torch.float64).eps * values[-1]
    kept[-1] = True
    return TensorFeatures(vectors[:, kept] * values[kept].clamp(min=0).sqrt())
