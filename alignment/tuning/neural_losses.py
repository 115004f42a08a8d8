r"""How far predicted responses are from observed ones: the neural terms of the loss that tuning minimises.

$P$ are predicted and $Y$ observed responses to the images of a batch. The losses of `NEURAL` share one signature, and
`weights` say how much each neuroid counts, whatever their scale (`ceiling_weights`). `mse`, `corr`, `cosine` and `nce`
compare matching columns. `cka` and `rsm` compare geometries: what is predicted may there be the activations of a layer,
with any number of units, and the weights are those of the observed neuroids.

All are computed in float32, or float64 where predictions are, inside `torch.autocast` too: half precision would round
away the differences they are made of. None reads a value back from the device.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.errors import RequestError

LEAST_IMAGES_OF_CKA = 64
LARGEST_SIMILARITY = 0.999
NCE_TEMPERATURE = 0.1


class NeuralLoss(Protocol):
    """Predicted and observed responses to a loss."""

    def __call__(self, predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
        """(image, neuroid), (image, neuroid), (neuroid,) or None to a scalar."""
        ...


def ceiling_weights(noise_ceilings: npt.ArrayLike | Tensor) -> Tensor:
    """Weights of neuroids in proportion to their noise ceilings, of mean 1.

    Parameters
    ----------
    noise_ceilings : array or Tensor (neuroid,)
        On r or on its square, at least 0. NaN (a neuroid never validly measured) counts as 0.

    Returns
    -------
    Tensor
        `(neuroid,) float64`.

    Raises
    ------
    RequestError
        When it is not one number of at least 0 for each neuroid, or none is above 0.

    Examples
    --------
    >>> ceiling_weights([0.2, 0.6, float("nan"), 0.8])
    tensor([0.5000, 1.5000, 0.0000, 2.0000], dtype=torch.float64)
    """
    values = torch.as_tensor(noise_ceilings, dtype=torch.float64)
    if values.ndim != 1 or bool((values < 0).any()) or bool(values.isinf().any()):
        raise RequestError(f"noise_ceilings: needs (neuroid,) finite numbers of at least 0, not {tuple(values.shape)}")
    known = values.nan_to_num(nan=0.0)
    if not bool(known.any()):
        raise RequestError("noise_ceilings: none is above 0, so that no neuroid would count; tune without weights")
    return known / known.mean()


def mse(predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""$\sum_v w_v \frac{1}{n} \sum_i (P_{iv} - Y_{iv})^2 / \sum_v w_v$, in squared units of the responses.

    Parameters
    ----------
    predicted, observed : Tensor
        `(image, neuroid)`.
    weights : Tensor, optional
        `(neuroid,)`, at least 0 and not all 0. All alike unless given.

    Returns
    -------
    Tensor
        A scalar, differentiable in `predicted`.

    Raises
    ------
    RequestError
        When shapes do not fit, or the batch holds too few images.

    Examples
    --------
    >>> mse(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([3.0, 1.0]))
    tensor(3.)
    """
    p, y, w = _matching(predicted, observed, weights)
    return _mean((p - y).square().mean(0), w)


def corr(predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""$1 - \sum_v w_v r_v / \sum_v w_v$ with $r_v$ Pearson's correlation over the images of the batch.

    A column that does not vary has r = 0, as in `alignment.correlation.pearson`, and no gradient: a readout that starts
    with weights of 0 would never leave them. Parameters, returns and errors as for `mse`; 2 images at least.

    Examples
    --------
    >>> y = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]])
    >>> corr(3 * y + 5, y), corr(torch.ones(3, 2), y)
    (tensor(0.), tensor(1.))
    """
    p, y, w = _matching(predicted, observed, weights, least_images=2)
    r = (_unit(p - p.mean(0), of=p, dim=(0,)) * _unit(y - y.mean(0), of=y, dim=(0,))).sum(0)
    return 1 - _mean(r, w)


def cosine(predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""1 - mean over images of $\langle P_i, Y_i \rangle / (\lVert P_i \rVert \lVert Y_i \rVert)$.

    The inner product of two patterns is $\sum_v w_v P_{iv} Y_{iv}$. A pattern of zeros has a cosine of 0. Parameters,
    returns and errors as for `mse`.

    Examples
    --------
    >>> cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[5.0, 0.0], [1.0, 0.0]]))
    tensor(0.5000)
    """
    p, y = (_scaled(x, weights) for x in _matching(predicted, observed, weights)[:2])
    return 1 - (_unit(p, of=p, dim=(1,)) * _unit(y, of=y, dim=(1,))).sum(1).mean()


def cka(predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""1 - linear CKA, $1 - \lVert Y^\top P \rVert_F^2 / (\lVert P^\top P \rVert_F \lVert Y^\top Y \rVert_F)$.

    Columns are centred over the batch (Kornblith et al. 2019, ICML, section 3). This is the biased CKA of
    `alignment.cka`, which is above 0 by chance, and the more so the fewer images there are.

    Parameters
    ----------
    predicted : Tensor
        `(image, neuroid)`, or a layer's activations `(image, unit)`; 64 images at least.
    observed : Tensor
        `(image, neuroid)`.
    weights : Tensor, optional
        `(neuroid,)` of `observed`: the inner product of its patterns is $\sum_v w_v Y_{iv} Y_{jv}$.

    Returns
    -------
    Tensor
        A scalar, differentiable in `predicted`; 1, without a gradient, where either does not vary.

    Raises
    ------
    RequestError
        When shapes do not fit, or the batch holds fewer than 64 images.

    Examples
    --------
    >>> y = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    >>> bool(cka(y @ torch.linalg.qr(y[:5]).Q, y) < 1e-6)
    True
    """
    p, y = _geometries(predicted, observed, weights, least_images=LEAST_IMAGES_OF_CKA)
    of_p, of_y = (_inner(x, x) for x in (_unit(x - x.mean(0), of=x, dim=(0, 1)) for x in (p, y)))
    # Gram matrices of trace 1, whose squared norms are 1 / n at least, or of 0
    squared_norms = (of_p.square().sum() * of_y.square().sum()).clamp(min=0.5 / len(p) ** 2)
    return 1 - (of_p * of_y).sum() * squared_norms.rsqrt()


def rsm(predicted: Tensor, observed: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Mean over pairs of images of $(\mathrm{artanh}\, s^P_{ij} - \mathrm{artanh}\, s^Y_{ij})^2$.

    After Li et al. 2019 (NeurIPS, "Learning from brains how to regularize machines"). $s_{ij}$ is the cosine of the
    patterns of images i and j, columns centred over the batch, and is clipped to +-0.999, where it has no gradient.
    Parameters, returns and errors as for `cka`; 3 images at least.

    Examples
    --------
    >>> y = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    >>> bool(rsm(3 * y + 1, y) < 1e-6), bool(rsm(y.flip(0), y) > 0.1)
    (True, True)
    """
    p, y = _geometries(predicted, observed, weights, least_images=3)
    first, second = torch.triu_indices(len(p), len(p), offset=1, device=p.device)
    s_p, s_y = (_inner(x, x)[first, second] for x in (_patterns(p), _patterns(y)))
    limits = -LARGEST_SIMILARITY, LARGEST_SIMILARITY
    return (s_p.clamp(*limits).atanh() - s_y.clamp(*limits).atanh()).square().mean()


def nce(
    predicted: Tensor, observed: Tensor, weights: Tensor | None = None, *, temperature: float = NCE_TEMPERATURE
) -> Tensor:
    r"""Symmetric InfoNCE: which observed pattern belongs to a predicted one, and the reverse.

    With $s_{ij}$ the cosine of predicted pattern i and observed pattern j, columns centred over the batch, the mean of
    the cross-entropies of $s / T$ over rows and over columns, the image itself being the right class (van den Oord et
    al. 2018, arXiv 1807.03748, eq. 4; both directions as in Radford et al. 2021, ICML). An image that stands twice in a
    batch is its own distractor. Parameters, returns and errors as for `mse`; 2 images at least.

    Examples
    --------
    >>> y = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    >>> bool(nce(y, y) < 0.1), bool(nce(y.flip(0), y) > 5)
    (True, True)
    """
    p, y, _ = _matching(predicted, observed, weights, least_images=2)
    check_temperature(temperature)
    scores = _inner(_patterns(_scaled(p, weights)), _patterns(_scaled(y, weights))) / temperature
    images = torch.arange(len(p), device=p.device)
    return (F.cross_entropy(scores, images) + F.cross_entropy(scores.T, images)) / 2


NEURAL: Mapping[str, NeuralLoss] = MappingProxyType(
    {"mse": mse, "corr": corr, "cosine": cosine, "cka": cka, "rsm": rsm, "nce": nce}
)
# of a batch
LEAST_IMAGES: Mapping[str, int] = MappingProxyType(
    {"mse": 1, "corr": 2, "cosine": 1, "cka": LEAST_IMAGES_OF_CKA, "rsm": 3, "nce": 2}
)
# losses of a batch that are means over its images, so that gradients of its parts add up to its own
MEANS_OVER_IMAGES = ("mse", "cosine")


def _matching(
    predicted: Tensor, observed: Tensor, weights: Tensor | None, *, least_images: int = 1
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same in one precision and on one device, where their columns are the same neuroids."""
    if predicted.shape != observed.shape:
        raise RequestError(
            f"predicted {tuple(predicted.shape)} and observed {tuple(observed.shape)} are not both (image, neuroid)"
        )
    return _batch(predicted, observed, weights, least_images=least_images)


def _geometries(
    predicted: Tensor, observed: Tensor, weights: Tensor | None, *, least_images: int
) -> tuple[Tensor, Tensor]:
    """The same in one precision and on one device, observed neuroids scaled by their weights."""
    p, y, w = _batch(predicted, observed, weights, least_images=least_images)
    return p, _scaled(y, w)


def _batch(
    predicted: Tensor, observed: Tensor, weights: Tensor | None, *, least_images: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    if predicted.ndim != 2 or observed.ndim != 2 or len(predicted) != len(observed):
        raise RequestError(
            f"predicted {tuple(predicted.shape)} and observed {tuple(observed.shape)} are not (image, neuroid) of the "
            "same images"
        )
    if len(predicted) < least_images or 0 in (*predicted.shape, *observed.shape):
        raise RequestError(
            f"a batch of {tuple(predicted.shape)} (image, neuroid): this loss needs {least_images} images at least; "
            "take larger batches or another loss"
        )
    if weights is not None and weights.shape != observed.shape[1:]:
        raise RequestError(f"weights: shape {tuple(weights.shape)} is not ({observed.shape[1]} neuroids,)")
    dtype = torch.promote_types(predicted.dtype, torch.float32)
    p, y = predicted.to(dtype), observed.to(predicted.device, dtype)
    return p, y, None if weights is None else weights.to(predicted.device, dtype)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not above 0."""
    if not temperature > 0:
        raise RequestError(f"temperature {temperature} is not above 0")


def _mean(of_neuroids: Tensor, weights: Tensor | None) -> Tensor:
    return of_neuroids.mean() if weights is None else (of_neuroids * weights).sum() / weights.sum()


def _scaled(values: Tensor, weights: Tensor | None) -> Tensor:
    """Columns whose plain inner products are weighted ones."""
    return values if weights is None else values * weights.to(values).sqrt()


def _patterns(values: Tensor) -> Tensor:
    """Rows of length 1, columns centred before."""
    return _unit(values - values.mean(0), of=values, dim=(1,))


def _unit(values: Tensor, *, of: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Values of length 1 along `dim`, or 0 where they are no more than what rounding leaves of `of` after centring."""
    largest = of.detach().abs().amax(dim, keepdim=True)
    count = math.prod(values.shape[axis] for axis in dim)
    squared = values.square().sum(dim, keepdim=True)
    varies = squared > count * (4 * torch.finfo(values.dtype).eps * largest).square()
    return torch.where(varies, values * torch.where(varies, squared, 1.0).rsqrt(), 0.0)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of rows, in the precision of the rows."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b.T
