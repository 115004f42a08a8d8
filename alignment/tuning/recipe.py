"""Everything that determines a tuning run beside its data, and the learning rate at every step."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from alignment.errors import RequestError, unknown
from alignment.tuning.batchnorm import MODES
from alignment.tuning.losses import NEURAL

FLOOR = 0.1


@dataclass(frozen=True)
class Recipe:
    r"""How a network is tuned toward responses without forgetting its task.

    $L = \lambda_n L_{neural} + \lambda_o KD(\text{neural images}) + \lambda_r KD(\text{task images}) +
    \lambda_j CE(\text{task images}) + \lambda_w \lVert \theta - \theta_0 \rVert^2$, with decoupled weight decay on the
    readout alone.

    Parameters
    ----------
    layer : recording site whose activations are read out
    time_bins : of the layer; the last when not given
    readout : of `alignment.tuning.readouts`
    loss : of `alignment.tuning.losses.NEURAL`
    neural, distil, replay, joint, anchor : the weights above, in this order
    temperature : of distillation, whose loss is scaled by its square
    batch_norm : freeze (running statistics stay) | train | dual (statistics per domain) | recalibrate (on task images)
    trainable : all | readout | bn_affine | last:<n>
    learning_rate : falls along a cosine to a tenth
    weight_decay : of the readout
    epochs, batch_size : of neural images
    jitter : largest shift of neural images, as a share of their width
    warm_up : whether the readout starts from a closed-form ridge
    patience : epochs without a better choice before the run ends
    tolerance : how far task accuracy on validation images may fall below the teacher's for an epoch to be chosen
    seed : of readout, order and jitter
    """

    layer: str
    time_bins: tuple[float, ...] | None = None
    readout: str = "linear"
    loss: str = "mse"
    neural: float = 1.0
    distil: float = 1.0
    replay: float = 0.0
    joint: float = 0.0
    anchor: float = 0.0
    temperature: float = 2.0
    batch_norm: str = "freeze"
    trainable: str = "all"
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    epochs: int = 15
    batch_size: int = 128
    jitter: float = 0.0
    warm_up: bool = True
    patience: int = 3
    tolerance: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in NEURAL:
            raise unknown("loss", self.loss, NEURAL)
        if self.batch_norm not in MODES:
            raise unknown("batch_norm", self.batch_norm, MODES)
        for name in ("neural", "distil", "replay", "joint", "anchor", "weight_decay", "tolerance"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RequestError(f"{name} is {getattr(self, name)}; give a number of 0 or above")
        for name in ("temperature", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise RequestError(f"{name} is {getattr(self, name)}; give a number above 0")
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} is {getattr(self, name)}; give a whole number above 0")
        if not 0 <= self.jitter <= 1 / 16:
            raise RequestError(f"jitter is {self.jitter}; give a share of the width from 0 to 1/16")

    def settings(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def cosine(step: int, steps: int, *, peak: float, floor: float = FLOOR) -> float:
    """Learning rate at a step of so many: from `peak` along half a cosine to `floor` times that.

    Examples
    --------
    >>> [round(cosine(step, 5, peak=1.0), 3) for step in range(5)]
    [1.0, 0.868, 0.55, 0.232, 0.1]
    """
    along = step / max(steps - 1, 1)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * along)))
