r"""What a network uses the flows between its layers for: what it loses when they carry another image's property.

Thorat, Aldegheri & Kietzmann 2021. For each image there are partners that share all of it but one property. The image
is shown; at one moment the flow into one layer is that of the partner, $F^q$ in place of $F$; all that follows runs
freely. The control adds the same differences, dealt to other units: $F + \pi(F^q - F)$, a new $\pi$ for each image.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from alignment import seeds
from alignment.dynamics.replay import replaying
from alignment.errors import RequestError, unknown
from alignment.models.base import Model
from alignment.resampling import stimulus_counts
from alignment.samples import Samples

Recorded = Mapping[str, Tensor]


def perturb_flows(
    model: Model,
    pixels: Tensor,
    partners: Mapping[str, Tensor],
    *,
    targets: npt.ArrayLike,
    flows: Mapping[str, Sequence[str]],
    ids: Sequence[str],
    seed: int = 0,
    batch_size: int = 32,
) -> xr.Dataset:
    """Whether each image is classified rightly as it is, perturbed, and under the control.

    Parameters
    ----------
    model : the flows are among its layers; its decision is the last of its logits
    pixels : (stimulus, 3, row, column) float32 in [0, 1]
    partners : property -> (stimulus, 3, row, column), images that differ from `pixels` in this property
    targets : (stimulus,) int, position of the right class
    flows : receiving layer -> the layers of the model that carry what it receives, all replaced together
    ids : of the stimuli; with the seed they determine the permutations
    seed : of the controls
    batch_size : stimuli at a time

    Returns
    -------
    Dataset of bool: `original` ("stimulus"), `perturbed` and `control` ("stimulus", "property", "layer", "time_bin")

    Raises
    ------
    RequestError
        A flow is no layer of the model, flows differ in their time bins, there is none, or partners, targets and ids
        are not as many as the images.

    Examples
    --------
    >>> from alignment.models.thorat_rnn.model import Layout, thorat
    >>> model = thorat(Layout(lean=True, sweeps=2))
    >>> model.select_layers(["flows.*"])
    >>> pixels = torch.rand(2, 3, 100, 100)
    >>> same = perturb_flows(
    ...     model, pixels, {"nothing": pixels}, targets=[0, 1], flows=model.incoming, ids=["a", "b"]
    ... )
    >>> bool((same["perturbed"] == same["original"]).all())
    True
    """
    known = np.asarray(targets, np.int64)
    bins = _checked(model, pixels, partners, flows=flows, targets=known, ids=ids)
    shape = (len(ids), len(partners), len(flows), len(bins))
    original = np.empty(len(ids), bool)
    right = {name: np.empty(shape, bool) for name in ("perturbed", "control")}
    for start in range(0, len(ids), batch_size):
        rows = slice(start, start + batch_size)
        batch = _Batch(model, pixels[rows], known[rows], tuple(ids[rows]))
        original[rows] = batch.right({})
        for place, (name, images) in enumerate(partners.items()):
            found = batch.perturbed(images[rows], name, flows=flows, bins=bins, seed=seed)
            for kind, values in right.items():
                values[rows, place] = getattr(found, kind)
    dims = ("stimulus", "property", "layer", "time_bin")
    return xr.Dataset(
        {"original": ("stimulus", original), **{kind: (dims, values) for kind, values in right.items()}},
        coords={
            "stimulus": np.asarray(ids, str),
            "property": list(partners),
            "layer": list(flows),
            "time_bin": np.asarray(bins, float),
        },
    )


def functional_importance(correct: xr.Dataset, *, n_bootstrap: int = 1000, seed: int = 0) -> xr.Dataset:
    r"""Accuracy lost to a property in a flow, beyond its control: $(a_{control} - a_{perturbed}) / a_{original}$.

    Parameters
    ----------
    correct : of `perturb_flows`
    n_bootstrap : resamples of the stimuli, for the intervals
    seed : of the resamples

    Returns
    -------
    Dataset of float: `value`, `low` and `high` (95 %), each ("property", "layer", "time_bin"); NaN where no image is
    classified rightly as it is

    Examples
    --------
    >>> dims = ("stimulus", "property", "layer", "time_bin")
    >>> correct = xr.Dataset({
    ...     "original": ("stimulus", [True, True, True, True]),
    ...     "perturbed": (dims, np.reshape([False, True, False, False], (4, 1, 1, 1))),
    ...     "control": (dims, np.reshape([True, True, True, False], (4, 1, 1, 1))),
    ... })
    >>> float(functional_importance(correct)["value"].item())
    0.5
    """
    lost = correct["control"].astype(float) - correct["perturbed"].astype(float)
    cells = lost.transpose("stimulus", "property", "layer", "time_bin")
    original = correct["original"].to_numpy().astype(float)
    estimates = np.full((3, *cells.shape[1:]), np.nan)
    if original.any():
        counts = stimulus_counts(len(original), "functional importance", n_resamples=n_bootstrap, seed=seed)
        for cell in np.ndindex(*cells.shape[1:]):
            estimates[(slice(None), *cell)] = _ratio(cells.to_numpy()[(slice(None), *cell)], original, counts)
    kept = cells.isel(stimulus=0, drop=True)
    names = ("value", "low", "high")
    return xr.Dataset({name: kept.copy(data=values) for name, values in zip(names, estimates, strict=True)})


class _Found(NamedTuple):
    """(stimulus, layer, time_bin) bool of one property."""

    perturbed: npt.NDArray[np.bool_]
    control: npt.NDArray[np.bool_]


class _Batch:
    """Some images, what flows in the network when it sees them, and their classes."""

    def __init__(self, model: Model, pixels: Tensor, targets: npt.NDArray[np.int64], ids: tuple[str, ...]) -> None:
        self.model, self.pixels, self.targets, self.ids = model, pixels, targets, ids

    def right(self, outputs: Mapping[str, Mapping[float, Tensor]]) -> npt.NDArray[np.bool_]:
        """Whether each image is classified rightly with these outputs replaced."""
        with torch.no_grad():
            decided = replaying(self.model, outputs)(self.pixels)[:, -1].argmax(1)
        return decided.cpu().numpy() == self.targets

    def perturbed(
        self,
        partner: Tensor,
        name: str,
        *,
        flows: Mapping[str, Sequence[str]],
        bins: Sequence[float],
        seed: int,
    ) -> _Found:
        """With the flows of partners, and with the differences permuted."""
        sites = [site for group in flows.values() for site in group]
        with torch.no_grad():
            own, other = (self.model.record(images, sites) for images in (self.pixels, partner))
        found = _Found(*(np.empty((len(self.ids), len(flows), len(bins)), bool) for _ in range(2)))
        for layer, group in enumerate(flows.values()):
            for moment, time_bin in enumerate(bins):
                given, dealt = {}, {}
                for site in group:
                    before, after = own[site][:, moment], other[site][:, moment]
                    given[site] = {time_bin: after}
                    dealt[site] = {time_bin: self._dealt(before, after, names=(name, site, moment), seed=seed)}
                found.perturbed[:, layer, moment] = self.right(given)
                found.control[:, layer, moment] = self.right(dealt)
        return found

    def _dealt(self, own: Tensor, other: Tensor, *, names: tuple[str | int, ...], seed: int) -> Tensor:
        permuted = [
            permuted_difference(one, two, seed=seeds.derive(seed, "permuted flow", stimulus, *names))
            for one, two, stimulus in zip(own, other, self.ids, strict=True)
        ]
        return torch.stack(permuted)


def permuted_difference(own: Tensor, other: Tensor, *, seed: int) -> Tensor:
    """One image's flow with its difference from another's dealt to other units.

    Parameters
    ----------
    own, other : (*unit)
    seed : of the permutation, over all units

    Examples
    --------
    >>> flow = permuted_difference(torch.zeros(2, 2), torch.tensor([[0.0, 1.0], [2.0, 3.0]]), seed=0)
    >>> flow.flatten().sort().values
    tensor([0., 1., 2., 3.])
    """
    difference = (other - own).flatten()
    order = np.random.default_rng(seed).permutation(len(difference))
    return own + difference[torch.from_numpy(order).to(difference.device)].view_as(own)


def _ratio(
    lost: npt.NDArray[np.float64], original: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> tuple[float, float, float]:
    # a resample without any image that was right has no ratio
    counts = counts[counts @ original > 0]
    resampled = (counts @ lost) / (counts @ original)
    value = float(lost.sum() / original.sum())
    estimate = Samples(np.array([value]), resampled[None], n_stimuli=len(lost)).estimate()
    return estimate.value, estimate.low, estimate.high


def _checked(
    model: Model,
    pixels: Tensor,
    partners: Mapping[str, Tensor],
    *,
    flows: Mapping[str, Sequence[str]],
    targets: npt.NDArray[np.int64],
    ids: Sequence[str],
) -> tuple[float, ...]:
    """The time bins that all flows have."""
    sizes = {"targets": len(targets), "ids": len(ids), **{name: len(images) for name, images in partners.items()}}
    for name, size in sizes.items():
        if size != len(pixels):
            raise RequestError(f"{name}: {size} for {len(pixels)} images; give one to each")
    sites = [site for group in flows.values() for site in group]
    for site in sites:
        if site not in model.time_bins:
            raise unknown(f"layer of {model.name}", site, model.layers)
    bins = {tuple(model.time_bins[site]) for site in sites}
    if len(bins) != 1 or not all(flows.values()):
        raise RequestError(f"{model.name}: give each layer flows, all with the same time bins")
    return bins.pop()
