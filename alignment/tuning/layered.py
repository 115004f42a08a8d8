"""Readouts of one layer or several, and their start from a ridge in closed form."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from alignment.encoding.ridge import RidgeFit, Selection, fit_ridge
from alignment.errors import RequestError
from alignment.tuning.readout_base import Readout
from alignment.tuning.readouts import FactorisedReadout, LinearReadout, PooledReadout

ALPHAS = tuple(10 ** (exponent / 2) for exponent in range(-8, 9))


class LayeredReadout(nn.Module):
    """One readout for each layer, whose predictions add up; the first has the bias of all that are affine.

    Parameters
    ----------
    parts : Sequence of Readout
        Of the same neuroids, in the order of the layers.

    Raises
    ------
    RequestError
        No readout, or their neuroids differ.

    Examples
    --------
    >>> parts = [LinearReadout((4,), 2, seed=0), LinearReadout((3, 5, 5), 2, seed=1)]
    >>> LayeredReadout(parts)([torch.zeros(7, 4), torch.zeros(7, 3, 5, 5)]).shape
    torch.Size([7, 2])
    """

    def __init__(self, parts: Sequence[Readout]) -> None:
        super().__init__()
        if len({part.n_neuroids for part in parts}) != 1:
            raise RequestError(f"readouts to {[part.n_neuroids for part in parts]} neuroids; give some to the same")
        self.parts = nn.ModuleList(parts)
        for part in parts[1:]:
            # where a part is affine, its bias adds to that of the first
            part.bias.requires_grad_(isinstance(part, PooledReadout))

    def forward(self, activations: Sequence[Tensor]) -> Tensor:
        """(image, *unit) of each layer to (image, neuroid)."""
        predictions = [part(each) for part, each in zip(self.parts, activations, strict=True)]
        return predictions[0] if len(predictions) == 1 else torch.stack(predictions).sum(0)

    def initialise(self, activations: Sequence[Tensor], responses: Tensor) -> None:
        """`initialise_by_ridge`, where there is a closed form for every part; else they stay as they were drawn."""
        able = [part for part in self.parts if isinstance(part, LinearReadout | FactorisedReadout)]
        if len(able) == len(self.parts):
            initialise_by_ridge(able, activations, responses)


def layer_scales(features: Sequence[Tensor]) -> tuple[float, ...]:
    """Factors that give every layer the total variance of the first, or a ridge would hear the loudest alone.

    Parameters
    ----------
    features : Sequence of (image, unit)
        Of each layer; one without variance keeps its scale.

    Examples
    --------
    >>> layer_scales([torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [8.0]])])
    (1.0, 0.25)
    """
    if len(features) == 1:
        return (1.0,)
    variances = [float(each.double().var(0, correction=0).sum()) for each in features]
    return tuple((variances[0] / each) ** 0.5 if each and variances[0] else 1.0 for each in variances)


def joined(features: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """`(image, unit)` of all layers side by side, scaled."""
    if len(features) == 1:
        return features[0]
    return torch.cat([each * scale for each, scale in zip(features, scales, strict=True)], dim=1)


@torch.no_grad()
def initialise_by_ridge(
    parts: Sequence[LinearReadout | FactorisedReadout],
    activations: Sequence[Tensor],
    responses: Tensor,
    *,
    alphas: Sequence[float] | Tensor = ALPHAS,
    selection: Selection = "loo",
    folds: Sequence[int] | Tensor | None = None,
) -> RidgeFit:
    """Give readouts, one for each layer, the weights of one ridge regression with an alpha for each neuroid.

    Linear readouts then predict together what the ridge predicts. A factorised one gets the product of a mask and
    feature weights that is nearest to the weights of each neuroid. Biases are such that mean predictions are mean
    responses. Layers are scaled to the same total variance for the ridge.

    Parameters
    ----------
    parts : Sequence of LinearReadout or FactorisedReadout
        Changed in place.
    activations : Sequence of Tensor
        For each part `(image, *unit)` of the training images, in float32 or float64.
    responses : Tensor
        `(image, neuroid) float32 or float64`.
    alphas, selection, folds
        As in `alignment.encoding.fit_ridge`: alphas are relative to the mean eigenvalue of the Gram matrix.

    Returns
    -------
    RidgeFit
        Of the scaled features side by side, with the alphas that were chosen, and how well the ridge does.

    Raises
    ------
    RequestError
        When shapes do not fit, or as `fit_ridge`.
    DataError
        When a value is not finite.

    Examples
    --------
    >>> maps = torch.randn(40, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    >>> linear, responses = LinearReadout((8, 6, 6), 2, seed=0), maps[:, :2, 3, 3]
    >>> fit = initialise_by_ridge([linear], [maps], responses)
    >>> torch.allclose(linear(maps), fit.predict(maps.flatten(1)), atol=1e-5)
    True
    """
    n_neuroids = parts[0].n_neuroids
    if responses.ndim != 2 or responses.shape[1] != n_neuroids:
        raise RequestError(f"responses {tuple(responses.shape)} are not (image, {n_neuroids} neuroids)")
    features = [part.features(each) for part, each in zip(parts, activations, strict=True)]
    scales = layer_scales(features)
    fit = fit_ridge(
        joined(features, scales),
        responses.to(features[0].device),
        alphas=alphas,
        selection=selection,
        folds=folds,
        coefficients=True,
    )
    assert fit.coefficients is not None
    weights = fit.coefficients.T.split([each.shape[1] for each in features], dim=1)
    bias = fit.y_mean
    for part, own, scale, each in zip(parts, weights, scales, activations, strict=True):
        part.set_map(own * scale)
        part.bias.zero_()
        typical = each.mean(0, keepdim=True).to(part.bias)
        bias = bias.to(part.bias) - part(typical)[0]
    parts[0].bias.copy_(bias)
    return fit
