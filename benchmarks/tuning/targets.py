"""What the loop is given in the place of responses, control by control."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from alignment.errors import DataError, RequestError
from alignment.models import check_layers
from alignment.models.base import Model
from alignment.models.baselines import gabor, pixels
from alignment.record import RecordSettings, record
from alignment.tuning.controls import CONTROLS, targets
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.sources import HasTrainingImages
from benchmarks.tuning.material import Responses, Sources, standardised

PIXEL_FEATURES = {"gabor": gabor, "pixels": pixels}
OTHER_NET, OTHER_ROI = "other_net", "other_roi"
POOL = 4


@dataclass(frozen=True)
class Given:
    """What there is to tune toward.

    Attributes
    ----------
    sources : responses and task images, and how they are divided
    other : of the control `other_net`: another network, whose last usual layer is meant
    other_data : of the control `other_roi`: other responses to the same images
    """

    sources: Sources
    other: Model | None = None
    other_data: DataSet | None = None


def check_control(name: str, given: Given) -> None:
    """Whether there is what a control needs.

    Raises
    ------
    RequestError
        What is missing, and how to give it.
    """
    needs, sources = CONTROLS[name].needs, given.sources
    unknown_ceilings = [each for each in sources.subjects if sources.responses(each).ceilings is None]
    if "noise_ceilings" in needs and unknown_ceilings:
        raise RequestError(
            f"control {name}: {sources.data.name} gives no noise ceilings (no repetitions); say what to assume, such "
            "as tuning.noise_ceiling=0.8"
        )
    if "labels" in needs and not isinstance(sources.task, HasTrainingImages):
        raise RequestError(f"control {name}: {sources.task.name} has no training images with labels; leave it out")
    if name == OTHER_NET and given.other is None:
        raise RequestError(f"control {name}: name the other network, such as tuning.other_model=resnet18")
    if name == OTHER_ROI and given.other_data is None:
        raise RequestError(f"control {name}: name other responses to these images, such as tuning.other_data=nsd.V1")


def targets_of(name: str, subject: str, given: Given, *, seed: int) -> np.ndarray:
    """(train stimulus, neuroid) float32 for one subject under a control; the responses where it changes none.

    Parameters
    ----------
    name : of `alignment.tuning.controls.CONTROLS`, or "lwf" for tuning itself
    subject : one that is tuned toward
    given : what there is
    seed : of what is drawn
    """
    own = given.sources.responses(subject)
    y = own.y[: len(own.train)]
    if name not in CONTROLS:
        return y
    make = _FEATURES.get(name)
    features = None if make is None else make(given, subject)
    found = targets(name, y, seed=seed, noise_ceilings=own.ceilings, features=features, roi=own.roi)
    return np.asarray(found, np.float32)


def _of_pixels(given: Given, subject: str) -> np.ndarray:
    network = PIXEL_FEATURES[given.sources.choices.pixel_features]()
    return _recorded(network, given.sources, given.sources.responses(subject))


def _of_other_network(given: Given, subject: str) -> np.ndarray:
    assert given.other is not None
    return _recorded(given.other, given.sources, given.sources.responses(subject))


def _recorded(model: Model, sources: Sources, own: Responses) -> np.ndarray:
    """(train stimulus, unit) of the last usual layer at its last time_bin."""
    check_layers(model)
    layer = model.layers[-1]
    blocks = record(
        model,
        sources.shown,
        [layer],
        settings=RecordSettings(pool=POOL),
        ids=own.train,
        time_bins=model.time_bins[layer][-1:],
    )
    found = [block[layer].isel(time_bin=0) for block in blocks]
    names = [str(name) for block in found for name in block["stimulus"].values]
    values = np.concatenate([block.values for block in found])
    place = {name: row for row, name in enumerate(names)}
    return values[[place[name] for name in own.train]]


def _of_other_data(given: Given, subject: str) -> np.ndarray:
    """(train stimulus, neuroid) of mean 0 and sd 1."""
    assert given.other_data is not None
    measured = given.other_data.responses(subject).isel(time_bin=0)
    train = list(given.sources.responses(subject).train)
    missing = sorted(set(train) - set(measured["stimulus"].values.astype(str).tolist()))
    if missing:
        raise DataError(
            f"tuning.other_data={given.other_data.name}: no response to {missing[0]!r} ({len(missing)} such images)"
        )
    return standardised(measured.sel(stimulus=train).transpose("stimulus", "neuroid").values, n_train=len(train))


_FEATURES: Mapping[str, Callable[[Given, str], np.ndarray]] = {
    "pixel": _of_pixels,
    OTHER_NET: _of_other_network,
    OTHER_ROI: _of_other_data,
}
