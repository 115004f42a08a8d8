"""The settings of the pipeline, with the published values as defaults."""

from dataclasses import dataclass, fields

from alignment.errors import RequestError
from alignment.models.cordsnet.layout import Clock

CNN, INVERSE, LINEAR, ANNEAL, FINE_TUNE = "cnn", "inverse", "linear", "anneal", "fine_tune"
DIRECT = "direct"
STAGES = (CNN, INVERSE, LINEAR, ANNEAL, FINE_TUNE)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the trained weights, beside the data, the starting weights and the hardware.

    Stages: `cnn` trains the equivalent CNN, whose normalisation is then folded; `inverse` fits a linear recurrence to
    each of its areas; `linear` trains decisions of the linear network; `anneal` bends the activation, epoch by epoch,
    from linear to rectified; `fine_tune` goes on with the rectified network. `direct` in their place trains a rectified
    network from random weights, with as many updates as `linear`, `anneal` and `fine_tune` together: the control.

    Parameters
    ----------
    alpha, steps, blank_steps : of the network's clock
    <stage>_epochs : passes over the training images; of `cnn` in each of three phases, each with a tenth of the
        learning rate of the one before
    <stage>_batch : images in an update
    <stage>_rate : learning rate
    warm_up : updates at the beginning of a phase of `cnn`, in which its rate rises from a third
    inverse_penalty : weight of the last term of the truncated inverse
    inverse_clip, clip : largest norm of a gradient, in `inverse`, and in the stages after it
    decay : learning rate at the end of a stage with dynamics, as a share of that at its beginning; it falls in a line;
        1 as published, where rates are small and epochs many
    ramp_steps, ramp_decades : of the weights of decisions at the last steps
    penalty, penalty_steps : of the return to spontaneous rates, and how many last steps it is taken over
    epoch_images : images in an epoch of the stages with dynamics, drawn anew for each; all when not given
    padding : largest shift of an image, in pixels
    flip : whether half of the images are flipped, left to right
    validation : share of the training images that is held out to say how accurate each stage is
    direct : whether the control is trained
    seed : of the starting weights, the order of images, shifts and flips

    Raises
    ------
    RequestError
        A setting is out of its range.

    Examples
    --------
    >>> Recipe(anneal_epochs=4).slopes
    (0.75, 0.5, 0.25, 0.0)
    """

    alpha: float = 0.2
    steps: int = 100
    blank_steps: int = 100
    cnn_epochs: int = 100
    cnn_batch: int = 256
    cnn_rate: float = 0.1
    warm_up: int = 100
    inverse_epochs: int = 100
    inverse_batch: int = 128
    inverse_rate: float = 1e-4
    inverse_penalty: float = 10.0
    inverse_clip: float = 1e-3
    linear_epochs: int = 100
    linear_batch: int = 16
    linear_rate: float = 1e-5
    anneal_epochs: int = 20
    anneal_batch: int = 8
    anneal_rate: float = 1e-5
    fine_tune_epochs: int = 20
    fine_tune_batch: int = 8
    fine_tune_rate: float = 1e-5
    clip: float = 1e-4
    decay: float = 1.0
    ramp_steps: int = 30
    ramp_decades: float = 3.0
    penalty: float = 1e-3
    penalty_steps: int = 10
    epoch_images: int | None = None
    padding: int = 0
    flip: bool = False
    validation: float = 0.1
    direct: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.clock
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_batch", "_epochs")) or field.name == "epoch_images":
                _check(field.name, value, value is None or value >= 1, "1 or more")
            if field.name.endswith(("_rate", "clip")):
                _check(field.name, value, 0 < value < float("inf"), "above 0")
        for name in ("warm_up", "padding", "penalty", "inverse_penalty", "ramp_decades"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < float("inf"), "0 or more")
        _check("ramp_steps", self.ramp_steps, 1 <= self.ramp_steps <= self.steps, "1 to steps")
        _check("penalty_steps", self.penalty_steps, 1 <= self.penalty_steps <= self.blank_steps, "1 to blank_steps")
        _check("decay", self.decay, 0 < self.decay <= 1, "above 0 and at most 1")
        _check("validation", self.validation, 0 < self.validation < 1, "above 0 and below 1")

    @property
    def clock(self) -> Clock:
        """Of the network."""
        return Clock(alpha=self.alpha, steps=self.steps, blank_steps=self.blank_steps)

    @property
    def slopes(self) -> tuple[float, ...]:
        """Of the activation below 0, in each epoch of `anneal`: 0.95, 0.90, ... 0 of the published 20."""
        return tuple(1 - (epoch + 1) / self.anneal_epochs for epoch in range(self.anneal_epochs))

    @property
    def stages(self) -> tuple[str, ...]:
        """What is done, in order."""
        return (DIRECT,) if self.direct else STAGES


def _check(name: str, value: object, is_sound: bool, expected: str) -> None:
    if not is_sound:
        raise RequestError(f"training: {name} is {value}; give {expected}")
