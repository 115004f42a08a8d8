r"""What a gain from tuning is held against: the same budget and seeds, with one thing changed.

A control that changes targets keeps something of the responses $Y$ and replaces the rest:

=========  ==========================================================  =====================================
control    targets                                                     kept of the responses
=========  ==========================================================  =====================================
shuffle    rows of $Y$, permuted once                                  every value and the whole covariance
matched    normal, covariance of $Y$                                   mean and covariance
gaussian   normal, independent                                         mean and sd of each neuroid
phase      columns of $Y$, shifted cyclically within each ROI          all but which neuroid is which
other_roi  columns of another ROI                                      that they come from the same brain
pixel      principal components of pixels or Gabor energies, noise     mean, sd and noise ceiling per neuroid
other_net  principal components of another network's layer, noise      mean, sd and noise ceiling per neuroid
=========  ==========================================================  =====================================

`shuffle`, `matched` and `gaussian` say nothing of the images, `pixel` and `other_net` much that no brain added: what is
gained from them is not owed to responses. `phase` is no null where the readout of each neuroid is learned from these
targets alone, since their order then means nothing and the gain must be that from $Y$; it tests whatever knows neuroids
from elsewhere, such as readouts that were fitted before, or weights by noise ceiling.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from alignment.errors import DataError, RequestError, unknown
from alignment.seeds import generator

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Changes = Literal["nothing", "targets", "loss weights", "trainable", "data", "network"]

# by the names of their weights in a recipe
LOSS_TERMS = ("neural", "distil", "replay", "joint", "anchor")
# what a gain must exceed before it says anything about brains
STANDARD = ("kd_only", "shuffle", "matched", "pixel")
# that learn nothing of the responses: a gain which they give as well is not owed to these. The others are bounds
# (`ft`, `joint`), or see what the brain said of the images in another way (`phase`, `other_roi`)
WITHOUT_RESPONSES = (*STANDARD, "gaussian", "other_net", "head_only", "acc_matched", "adv")


@dataclass(frozen=True)
class Control:
    """One condition beside tuning itself.

    Attributes
    ----------
    summary : one line
    changes : what differs from tuning
    without : terms of the loss (of `LOSS_TERMS`) that are left out
    trainable : which parameters are trained, a mode of `alignment.tuning.trainable`; None: as in tuning
    needs : what must be given beside images and responses
    """

    summary: str
    changes: Changes
    without: tuple[str, ...] = ()
    trainable: str | None = None
    needs: tuple[str, ...] = ()


CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        "none": Control("the teacher as it is; no step is taken", "nothing", without=LOSS_TERMS),
        "ft": Control(
            "the neural loss alone: what tuning forgets when nothing holds it back",
            "loss weights",
            without=("distil", "replay", "joint", "anchor"),
        ),
        "kd_only": Control(
            "distillation without neural loss: what the images and batch normalisation do alone",
            "loss weights",
            without=("neural",),
        ),
        "shuffle": Control("responses permuted over images, alike for all neuroids", "targets"),
        "gaussian": Control("independent normal targets with the mean and sd of each neuroid", "targets"),
        "matched": Control("normal targets with the covariance of the responses", "targets"),
        "phase": Control("neuroids shifted cyclically within their ROI", "targets", needs=("roi",)),
        "other_roi": Control("as many neuroids of another ROI", "targets", needs=("features",)),
        "pixel": Control(
            "principal components of pixels or Gabor energies, with the noise of the responses",
            "targets",
            needs=("features", "noise_ceilings"),
        ),
        "other_net": Control(
            "principal components of another network's layer, with the noise of the responses",
            "targets",
            needs=("features", "noise_ceilings"),
        ),
        "head_only": Control("the readout alone is trained, the network stays", "trainable", trainable="readout"),
        "joint": Control("labels of the task images enter the loss: an upper bound", "data", needs=("labels",)),
        "acc_matched": Control(
            "the teacher, degraded to the accuracy of the tuned network", "network", without=LOSS_TERMS
        ),
        "adv": Control(
            "trained on adversarial task images instead of responses, for robustness",
            "data",
            without=LOSS_TERMS,
            needs=("labels",),
        ),
    }
)


def targets(
    name: str,
    responses: Floats,
    *,
    seed: int,
    noise_ceilings: npt.ArrayLike | None = None,
    features: Floats | None = None,
    roi: npt.ArrayLike | None = None,
) -> Floats:
    r"""What a control has in place of the responses; the responses themselves where it does not change targets.

    A target made of principal components is $\mu_v + \sigma_v (c_v z_v + \sqrt{1 - c_v^2}\, \epsilon_v)$, with the mean
    and sd of neuroid v, $c_v$ its noise ceiling, $z_v$ the v-th component with mean 0 and variance 1 and $\epsilon_v$
    normal noise, so that a perfect model reaches $r = c_v$ there as it does for the responses.

    Parameters
    ----------
    name : str
        A name of `CONTROLS`.
    responses : array (image, neuroid) float
        To the training images.
    seed : int
        Of whatever is drawn, under the name of the control.
    noise_ceilings : array (neuroid,), optional
        On r, from 0 to 1. For "pixel" and "other_net".
    features : array (image, unit), optional
        Of the same images: pixels or Gabor energies for "pixel", activations for "other_net"; responses of another ROI
        for "other_roi", of which as many neuroids are drawn without replacement and left as they are.
    roi : array (neuroid,), optional
        Labels. For "phase".

    Returns
    -------
    array (image, neuroid), dtype of `responses`

    Raises
    ------
    RequestError
        An unknown control, something it needs is missing or does not fit, or there are fewer components or other
        neuroids than neuroids.
    DataError
        Responses or features that are not finite.

    Examples
    --------
    >>> y = np.arange(8.0).reshape(4, 2)
    >>> sorted(targets("shuffle", y, seed=0)[:, 0]), targets("kd_only", y, seed=0) is y
    ([np.float64(0.0), np.float64(2.0), np.float64(4.0), np.float64(6.0)], True)
    """
    if name not in CONTROLS:
        raise unknown("control", name, CONTROLS)
    if name not in _TARGETS:
        return responses
    _check(responses, name="responses")
    given = {"noise_ceilings": noise_ceilings, "features": features, "roi": roi}
    missing = [need for need in CONTROLS[name].needs if given[need] is None]
    if missing:
        raise RequestError(f"control {name!r} needs {' and '.join(missing)}; give them with the responses")
    y = np.asarray(responses, np.float64)
    beside = _Beside(noise_ceilings, features, roi)
    return _TARGETS[name](y, beside, generator(seed, "control", name)).astype(responses.dtype, copy=False)


@dataclass(frozen=True)
class _Beside:
    """What was given beside the responses."""

    noise_ceilings: npt.ArrayLike | None
    features: Floats | None
    roi: npt.ArrayLike | None


def _shuffle(y: Doubles, _: _Beside, random: np.random.Generator) -> Doubles:
    return y[random.permutation(len(y))]


def _gaussian(y: Doubles, _: _Beside, random: np.random.Generator) -> Doubles:
    return y.mean(0) + y.std(0) * random.standard_normal(y.shape)


def _matched(y: Doubles, _: _Beside, random: np.random.Generator) -> Doubles:
    # a root of the covariance from QR, never the covariance itself: there may be far more neuroids than images
    root = np.linalg.qr(y - y.mean(0), mode="r") / np.sqrt(len(y))
    return y.mean(0) + random.standard_normal((len(y), len(root))) @ root


def _phase(y: Doubles, beside: _Beside, random: np.random.Generator) -> Doubles:
    labels = np.asarray(beside.roi)
    if labels.shape != y.shape[1:]:
        raise RequestError(f"roi: shape {labels.shape} is not ({y.shape[1]} neuroids,)")
    shifted = np.empty_like(y)
    for label in np.unique(labels):
        columns = np.flatnonzero(labels == label)
        if len(columns) < 2:
            raise RequestError(f"roi {label}: 1 neuroid cannot be shifted; leave it out of control 'phase'")
        shifted[:, columns] = y[:, np.roll(columns, random.integers(1, len(columns)))]
    return shifted


def _other_roi(y: Doubles, beside: _Beside, random: np.random.Generator) -> Doubles:
    others = _features(beside, n_images=len(y))
    if others.shape[1] < y.shape[1]:
        raise RequestError(f"the other ROI has {others.shape[1]} neuroids, fewer than {y.shape[1]}; take a larger one")
    return others[:, random.choice(others.shape[1], y.shape[1], replace=False)].astype(np.float64)


def _components(y: Doubles, beside: _Beside, random: np.random.Generator) -> Doubles:
    ceilings = np.asarray(beside.noise_ceilings, np.float64)
    if ceilings.shape != y.shape[1:] or not ((ceilings >= 0) & (ceilings <= 1)).all():
        raise RequestError(f"noise_ceilings: needs {y.shape[1]} numbers from 0 to 1, not shape {ceilings.shape}")
    signal = _principal_components(_features(beside, n_images=len(y)), count=y.shape[1])
    noise = random.standard_normal(y.shape)
    return y.mean(0) + y.std(0) * (ceilings * signal + np.sqrt(1 - ceilings**2) * noise)


_TARGETS: Mapping[str, Callable[[Doubles, _Beside, np.random.Generator], Doubles]] = {
    "shuffle": _shuffle,
    "gaussian": _gaussian,
    "matched": _matched,
    "phase": _phase,
    "other_roi": _other_roi,
    "pixel": _components,
    "other_net": _components,
}


def _principal_components(features: Floats, *, count: int) -> Doubles:
    """Scores `(image, component)` of mean 0 and variance 1, largest component first, their largest value above 0."""
    import torch

    from alignment.encoding.axes import principal_axes
    from alignment.encoding.features import TensorFeatures

    # torch refuses some layouts, and warns of arrays it could write to but must not
    source = TensorFeatures(torch.from_numpy(np.require(features, requirements=("C", "W"))))
    axes = principal_axes(source, scale="none", feature_chunk=None, device=torch.device("cpu"))
    if axes.scores.shape[1] < count:
        raise RequestError(
            f"features span {axes.scores.shape[1]} directions of {len(features)} images, fewer than {count} neuroids; "
            "give finer features or fewer neuroids"
        )
    scores = axes.scores[:, :count] * (len(features) / axes.eigenvalues[:count]).sqrt()
    peak = scores.gather(0, scores.abs().argmax(0, keepdim=True))
    return (scores * peak.sign()).numpy()


def _features(beside: _Beside, *, n_images: int) -> Floats:
    features = np.asarray(beside.features)
    _check(features, name="features")
    if len(features) != n_images:
        raise RequestError(f"features of {len(features)} images and responses to {n_images}: give the same images")
    return features


def _check(values: Floats, *, name: str) -> None:
    if values.ndim != 2 or len(values) < 2 or values.shape[1] < 1 or not np.issubdtype(values.dtype, np.floating):
        raise RequestError(f"{name}: {values.dtype} {values.shape} is no float matrix of at least 2 images")
    if not np.isfinite(values).all():
        raise DataError(f"{name}: values that are not finite; drop these columns or images first")
