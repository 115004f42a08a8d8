"""Everything that determines a tuning run beside its data, and the learning rate at every step."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alignment.errors import RequestError, unknown
from alignment.tuning.batchnorm import MODES
from alignment.tuning.losses import LEAST_IMAGES, MEANS_OVER_IMAGES, NEURAL

FLOOR = 0.1
_WORDS: Mapping[str, Collection[str]] = {
    "loss": NEURAL,
    "batch_norm": MODES,
    "judged_by": ("readout", "refit"),
    "precision": ("float32", "bfloat16"),
    "schedule": ("cosine", "constant"),
    "optimiser": ("adamw", "adam"),
}


@dataclass(frozen=True)
class Recipe:
    r"""How a network is tuned toward responses without forgetting its task.

    $L = \lambda_n L_{neural} + \lambda_o KD(\text{neural images}) + \lambda_r KD(\text{task images}) +
    \lambda_j CE(\text{task images}) + \lambda_w \lVert \theta - \theta_0 \rVert^2$, with decoupled weight decay on the
    readout alone.

    Parameters
    ----------
    layers : recording sites whose activations are read out, together where there are several
    time_bins : of every layer; the last of each when not given
    readout : of `alignment.tuning.readouts`
    loss : of `alignment.tuning.losses.NEURAL`
    neural, distil, replay, joint, anchor : the weights above, in this order
    temperature : of distillation, whose loss is scaled by its square
    batch_norm : freeze (running statistics stay) | train | dual (statistics per domain) | recalibrate (on task images)
    allow_drift : train anyhow where statistics that follow the neural images leave those of the task
    trainable : all | readout | bn_affine | last:<n>
    learning_rate : falls along a cosine to a tenth
    schedule : cosine | constant, of the learning rate
    weight_decay : of the readout; of all trained weights with optimiser=adam
    optimiser : adamw (decay is decoupled, and of the readout alone) | adam (decay is added to the gradient)
    epochs, batch_size : of neural images
    accumulate : into how many parts a step is cut, whose gradients add up to that of the step, so that less memory is
        needed; statistics of batch normalisation that are not frozen are those of a part
    precision : of passes through the network, float32 | bfloat16; weights, readouts and losses are float32
    jitter : largest shift of neural images, as a share of their width
    warm_up : whether the readout starts from a closed-form ridge
    judged_by : what predictivity on validation images is: that of the readout that is trained along, or of a ridge that
        is fitted anew ("refit"), as benchmarks of predictivity fit one
    patience : epochs without a better choice before the run ends
    tolerance : how far task accuracy on validation images may fall below the teacher's for an epoch to be chosen
    seed : of readout, order and jitter
    """

    layers: tuple[str, ...]
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
    allow_drift: bool = False
    trainable: str = "all"
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    weight_decay: float = 0.01
    optimiser: str = "adamw"
    epochs: int = 15
    batch_size: int = 128
    accumulate: int = 1
    precision: str = "float32"
    jitter: float = 0.0
    warm_up: bool = True
    judged_by: str = "readout"
    patience: int = 3
    tolerance: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.layers, tuple) or not self.layers or len(set(self.layers)) < len(self.layers):
            raise RequestError(f"layers are {self.layers!r}; give a tuple of names, each once")
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("neural", "distil", "replay", "joint", "anchor", "weight_decay", "tolerance"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RequestError(f"{name} is {getattr(self, name)}; give a number of 0 or above")
        for name in ("temperature", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise RequestError(f"{name} is {getattr(self, name)}; give a number above 0")
        for name in ("epochs", "batch_size", "accumulate", "patience"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} is {getattr(self, name)}; give a whole number above 0")
        if not 0 <= self.jitter <= 1 / 16:
            raise RequestError(f"jitter is {self.jitter}; give a share of the width from 0 to 1/16")
        if self.neural:
            self._check_batches()

    def _check_batches(self) -> None:
        """Whether the neural loss can be had from such batches."""
        least = LEAST_IMAGES[self.loss]
        if self.batch_size < least:
            raise RequestError(f"batch_size is {self.batch_size}; loss={self.loss} needs {least} images in a batch")
        if self.accumulate > 1 and self.loss not in MEANS_OVER_IMAGES:
            raise RequestError(
                f"accumulate is {self.accumulate}; loss={self.loss} needs the whole batch at once, so leave it at 1 or "
                f"take {' or '.join(MEANS_OVER_IMAGES)}"
            )

    def rate(self, step: int, *, steps: int) -> float:
        """Learning rate of a step of so many."""
        if self.schedule == "constant":
            return self.learning_rate
        return cosine(step, steps, peak=self.learning_rate)

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
