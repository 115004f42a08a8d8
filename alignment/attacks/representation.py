"""An attack on what a layer represents, to ask how much of an alignment score survives invisible changes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.attacks.checks import check_pixels
from alignment.attacks.gradient import TRAVEL, check_counts, climb, random_start
from alignment.attacks.objective import gradient
from alignment.attacks.threat import Threat
from alignment.models.base import Model


@dataclass(frozen=True)
class RepresentationAttack:
    r"""Move the activations $a$ of a layer away from those of the clean image $x_0$, within the ball.

    $\max_x \lVert a(x) - a(x_0) \rVert^2 / \lVert a(x_0) \rVert^2$ over units and time bins, by projected gradient
    ascent from a random start (at $x_0$ itself the gradient is 0). No label enters.

    Parameters
    ----------
    layer : name of a recording site
    steps : of the ascent, each of 2.5 epsilon / steps
    time_bins : of the layer; all when not given

    Examples
    --------
    >>> from torch import nn
    >>> from alignment.models import TorchModel
    >>> model = TorchModel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), name="tiny", image_size=(8, 8))
    >>> grey, threat = torch.full((1, 3, 8, 8), 0.5), Threat("linf", 0.1)
    >>> attack = RepresentationAttack("1", steps=5)
    >>> moved = attack.perturb(model, grey, threat, seeds=[0])
    >>> bool(attack.shift(model, moved, grey, seeds=[0]) > 0)
    True
    """

    layer: str
    steps: int = 20
    time_bins: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_counts(steps=self.steps)

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"representation[{self.layer}]"

    def settings(self) -> dict[str, object]:
        """Every field."""
        return asdict(self)

    def perturb(self, model: Model, pixels: Tensor, threat: Threat, *, seeds: Sequence[int]) -> Tensor:
        """Perturbed images within the threat.

        Parameters
        ----------
        model : records the layer
        pixels : (batch, 3, row, column) float32 in [0, 1]
        threat : its norm and epsilon count
        seeds : one per image; a stochastic model makes the same draw for an image in every step, clean or not

        Returns
        -------
        (batch, 3, row, column) float32

        Raises
        ------
        RequestError, DataError
            Pixels that are not what attacks take, or a layer or time_bin that the model does not have.
        """
        check_pixels(pixels, seeds)
        clean = self._activations(model, pixels, seeds)

        def gradients(at: Tensor, _step: int) -> Tensor:
            with torch.inference_mode(False), torch.enable_grad():
                leaf = at.detach().clone().requires_grad_()
                return gradient(_relative(self._record(model, leaf, seeds), clean), leaf)

        start = random_start(pixels, threat, seeds=draw_seeds(seeds, "representation", "start"))
        relative_step = TRAVEL / self.steps
        return climb(gradients, start, pixels=pixels, threat=threat, steps=self.steps, relative_step=relative_step)

    def shift(self, model: Model, perturbed: Tensor, pixels: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """(batch,) the relative squared distance that `perturb` raises."""
        return _relative(self._activations(model, perturbed, seeds), self._activations(model, pixels, seeds))

    def _activations(self, model: Model, pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return self._record(model, pixels, seeds)

    def _record(self, model: Model, pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        named = draw_seeds(seeds, "representation", "draw")
        return model.record(pixels, [self.layer], time_bins=self.time_bins, seeds=named)[self.layer].flatten(1)


def _relative(activations: Tensor, clean: Tensor) -> Tensor:
    # of a layer that is silent on the clean image only the direction of the distance counts
    size = clean.square().sum(1)
    return (activations - clean).square().sum(1) / size.where(size > 0, 1.0)
