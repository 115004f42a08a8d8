"""Ways of training with their settings: YAML files that a user can read and add to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import preset_files
from benchmarks.preset_files import as_typed

KIND = "training"
OWN = ("summary", "kind", "models", "default_weights")


@dataclass(frozen=True)
class Preset:
    """What a file of a training says.

    Attributes
    ----------
    name : the file's stem
    kind : which registered training it is
    summary : one line
    models : whose own training it is, where the user names none
    default_weights : whether those models take what it makes by default
    values : settings by their keys below `training.`, as text
    """

    name: str
    kind: str
    summary: str = ""
    models: tuple[str, ...] = ()
    default_weights: bool = False
    values: Mapping[str, str] = field(default_factory=dict)


def preset_names() -> list[str]:
    """Every shipped one."""
    return preset_files.preset_names(KIND)


def own_preset(model: str) -> Preset | None:
    """The training that a model has of its own.

    Examples
    --------
    >>> own_preset("resnet18_cifar10").name, own_preset("alexnet")
    ('rep_align', None)
    """
    presets = map(load_preset, preset_names())
    return next((preset for preset in presets if model in preset.models), None)


def load_preset(name: str) -> Preset:
    """A shipped one by name, or a user's own as `./mine.yaml`; raises as `benchmarks.preset_files.load_preset`."""
    return preset_files.load_preset(name, kind=KIND, read=_preset)


def _preset(name: str, content: Mapping[str, Any]) -> Preset:
    if not isinstance(content.get("kind"), str):
        raise TypeError("kind must name a registered way of training")
    models, is_default = content.get("models", []), content.get("default_weights", False)
    if not isinstance(models, list) or not all(isinstance(each, str) for each in models):
        raise TypeError("models must be a list of names")
    if not isinstance(is_default, bool):
        raise TypeError("default_weights must be true or false")
    values = {str(key): as_typed(value) for key, value in content.items() if key not in OWN}
    return Preset(name, content["kind"], content["summary"], tuple(models), is_default, values)
