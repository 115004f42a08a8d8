"""What a way of training offers, and which ways there are; importing this file imports none of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from alignment.models.base import with_settings
from alignment.models.builders import display_name
from alignment.registry import Builder, Registry
from benchmarks.settings import Settings
from benchmarks.training.presets import Preset, own_preset

SUPERVISED = "supervised"
# files of this stem hold what a training resumes from
STATE = "state"

TRAININGS = Registry(
    "training",
    {
        SUPERVISED: "benchmarks.training.supervised:build",
        "clutter": "benchmarks.training.clutter:build",
        "cordsnet": "benchmarks.training.cordsnet:build",
    },
    summaries={
        SUPERVISED: "cross-entropy on the training images of a labelled data set, SGD",
        "cordsnet": "a CNN, made a dynamical system in stages: linear recurrence, then rectified",
        "clutter": "cross-entropy on cluttered images that are made anew for every update, Adam",
    },
)

Notify = Callable[[str, int, int], None]


def training(name: str) -> Callable[[Builder], Builder]:
    """Decorator that names a function from a `TrainingRequest` to a `Training`; a preset's `kind` names it."""
    return TRAININGS.register(name)


@dataclass(frozen=True)
class TrainingRequest:
    """A network to be trained, as the user asked for it.

    Attributes
    ----------
    model : as the user typed it
    preset : the way it is trained
    changes : what the user set of it, as text, by the key below `training.`
    settings : of the command: where data lie, the seed, ...
    """

    model: str
    preset: Preset
    changes: Mapping[str, str]
    settings: Settings

    def name(self, changed: Mapping[str, object]) -> str:
        """How tables call what is made.

        Parameters
        ----------
        changed : settings that are not those of the preset, by name
        """
        seed = self.settings.seed
        base = with_settings(display_name(self.model), *([f"seed={seed}"] if seed else []))
        if self.makes_default(changed):
            return base
        words = (f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in changed.items())
        return "-".join([f"{base}+{self.preset.name}", *sorted(words)])

    def makes_default(self, changed: Mapping[str, object]) -> bool:
        """Whether the weights are those that `model=` takes by default: the model's own training, unchanged."""
        return self.preset.default_weights and not changed and self.preset == own_preset(self.model)


@dataclass(frozen=True)
class Made:
    """A network that is trained.

    Attributes
    ----------
    module : with its weights
    said : how it was made and what came of it, plain values, lists and mappings of them; `model=` shows it
    summary : the same in one line
    """

    module: nn.Module
    said: Mapping[str, object]
    summary: str


class Training(Protocol):
    """One network in the making.

    A builder takes a `TrainingRequest` and returns one of these, or raises all faults that can be found before a weight
    is changed, in one line (`benchmarks.plan.Faults` gathers them): an unknown model or key, a wrong value, no such
    data.
    """

    @property
    def name(self) -> str:
        """How tables call the network, with every setting that is not the default; see `TrainingRequest.name`."""
        ...

    @property
    def makes_default(self) -> bool:
        """Whether the model takes these weights where none are named."""
        ...

    def identity(self) -> Mapping[str, str]:
        """Hashes of all that determines the weights beside the hardware, by the names that messages use."""
        ...

    def run(self, folder: Path, *, device: str, stop: Callable[[], bool], report: Notify) -> Made | None:
        """Train, from where an earlier call in the same folder ended, however it ended.

        Parameters
        ----------
        folder : for what it resumes from, in files named `state.<suffix>`, which are removed once the network is
            written; and for `history.csv`, a row for each epoch or whatever the training counts, as it goes
        device : cpu | cuda | cuda:<number> | mps
        stop : asked between any two steps; where it says True the state is written, whole, and the call returns
        report : told (what, done, of how many)

        Returns
        -------
        What was made; None where it was stopped before its end
        """
        ...
