"""What every vision model offers, whoever wrote it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from alignment.errors import RequestError

STEP, MS = "step", "ms"
DEFAULT_VISUAL_DEGREES = 8.0


def with_settings(name: str, *settings: str) -> str:
    """A name with more settings in its brackets.

    Examples
    --------
    >>> with_settings("resnet18", "weights=none"), with_settings("resnet18[weights=none]", "untrained", "seed=1")
    ('resnet18[weights=none]', 'resnet18[weights=none,untrained,seed=1]')
    """
    if not settings:
        return name
    bare, already = (name[:-1], ",") if name.endswith("]") else (name, "[")
    return f"{bare}{already}{','.join(settings)}]"


@runtime_checkable
class Model(Protocol):
    """A vision network as the harness sees it: pixels in, activations by layer and time_bin out.

    Attributes
    ----------
    name : how rows of a table call it, with every non-default setting in brackets
    layers : recording sites, shallow to deep
    time_bins : per layer, the times at which it can be recorded; (0.0,) in a feed-forward network
    time_unit : "step" or "ms"
    image_size : (row, column) of the input; None when any size will do
    visual_degrees : width of the field of view
    classes : class names in the order of the logits; None when there are no logits
    stochastic : whether the same pixels can give different activations
    module : the network, for tuning and interventions; None when there is none
    fingerprint : hash of weights, structure, code, preprocessing and time settings
    """

    name: str
    layers: tuple[str, ...]
    time_bins: Mapping[str, tuple[float, ...]]
    time_unit: str
    image_size: tuple[int, int] | None
    visual_degrees: float
    classes: tuple[str, ...] | None
    stochastic: bool
    module: nn.Module | None

    @property
    def fingerprint(self) -> str:
        """Hash of everything in the model that can change a number."""
        ...

    def record(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        time_bins: Sequence[float] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Activations, each (batch, time_bin, *unit), for `pixels` (batch, 3, row, column) float32 in [0, 1]."""
        ...

    def logits(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        """Class scores (batch, time_bin, class), differentiable in `pixels`."""
        ...


@runtime_checkable
class TimesDecisions(Protocol):
    """A model whose decisions have times of their own."""

    @property
    def decision_times(self) -> tuple[float, ...]:
        """Of each time_bin of its logits, in its time_unit."""
        ...


def decision_times(model: Model, count: int) -> tuple[float, ...]:
    """Times of a model's decisions, time_bins of its logits: those it states, or else the numbers of its steps.

    Parameters
    ----------
    model : any
    count : how many decisions its logits have

    Raises
    ------
    RequestError
        It states another number of times.
    """
    stated = model.decision_times if isinstance(model, TimesDecisions) else tuple(map(float, range(count)))
    if len(stated) != count:
        raise RequestError(f"{model.name} states {len(stated)} times of decisions and makes {count}; let them agree")
    return stated
