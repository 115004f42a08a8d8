"""Each stage of the pipeline: what it trains, how fast, and the loss of a batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.models.cordsnet.equivalent import fold, from_folded
from alignment.models.cordsnet.network import CordsNet
from alignment.training.cordsnet.losses import Outcome, decision_loss, inverse_loss, returning_loss
from alignment.training.cordsnet.recipe import ANNEAL, CNN, DIRECT, FINE_TUNE, INVERSE, LINEAR, Recipe
from alignment.training.cordsnet.stage import Networks, Plan, Stage, planned

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
PHASES = 3


class CnnStage(Stage):
    """1a: the equivalent CNN, by stochastic gradient descent in three phases."""

    name = CNN

    def __init__(self, networks: Networks, recipe: Recipe, n: int) -> None:
        super().__init__(networks, recipe, n)
        self.clip = None

    @property
    def trained(self) -> nn.Module:
        """The CNN."""
        return self.networks.cnn

    @property
    def plan(self) -> Plan:
        """Three phases over all images."""
        return planned(PHASES * self.recipe.cnn_epochs, self.recipe.cnn_batch, self.n)

    def optimiser(self) -> torch.optim.Optimizer:
        """Gradient descent with momentum."""
        return torch.optim.SGD(
            self.trained.parameters(), lr=self.recipe.cnn_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )

    def rate(self, step: int) -> float:
        """A tenth in each phase of that in the one before, after a rise from a third."""
        phase, place = divmod(step, self.recipe.cnn_epochs * self.plan.per_epoch)
        peak = self.recipe.cnn_rate / 10**phase
        return peak * (1 + 2 * min(place / max(self.recipe.warm_up, 1), 1)) / 3

    def outcome(self, images: Tensor, targets: Tensor) -> Outcome:
        """Cross-entropy."""
        logits = self.networks.cnn(images)
        return Outcome(F.cross_entropy(logits, targets), logits.detach())

    def logits(self, images: Tensor) -> Tensor:
        """Of the CNN."""
        return self.networks.cnn(images)


class InverseStage(Stage):
    """1b and 2a: fold the CNN, copy what is shared, and fit W_l and b_l to its activity before rectification."""

    name = INVERSE

    def __init__(self, networks: Networks, recipe: Recipe, n: int) -> None:
        super().__init__(networks, recipe, n)
        self.clip = recipe.inverse_clip

    @property
    def trained(self) -> nn.Module:
        """The dynamical network."""
        return self.networks.network

    @property
    def plan(self) -> Plan:
        """Over all images."""
        return planned(self.recipe.inverse_epochs, self.recipe.inverse_batch, self.n)

    def begin(self) -> None:
        """Fold and copy."""
        self.networks.folded.load_state_dict(fold(self.networks.cnn).state_dict())
        from_folded(self.networks.folded, self.networks.network)

    def begin_epoch(self, epoch: int) -> None:
        """A linear network."""
        self.networks.network.slope = 1.0

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW on recurrence and bias maps alone."""
        network = self.networks.network
        return torch.optim.AdamW(
            [*network.area_conv.parameters(), *network.conv_bias.parameters()], lr=self.recipe.inverse_rate
        )

    def rate(self, step: int) -> float:
        """The same throughout."""
        return self.recipe.inverse_rate

    def outcome(self, images: Tensor, targets: Tensor) -> Outcome:
        """Squared error of the truncated inverse, with its penalty; no decision is made."""
        with torch.no_grad():
            teacher = self.networks.folded.activity(images)
        weights = self.networks.network.folded()
        inputs = [bias + arriving for bias, arriving in zip(weights.bias, teacher.arriving, strict=True)]
        loss = inverse_loss(weights.recurrent, inputs, teacher.before, penalty=self.recipe.inverse_penalty)
        with torch.no_grad():
            logits = self.networks.folded(images)
        return Outcome(loss, logits)

    def logits(self, images: Tensor) -> Tensor:
        """Of the linear network from rates of 0."""
        return _from_rest(self.networks.network, images)


class LinearStage(Stage):
    """2b: decisions of the linear network at the last steps; all weights learn."""

    name = LINEAR

    @property
    def trained(self) -> nn.Module:
        """The dynamical network."""
        return self.networks.network

    @property
    def plan(self) -> Plan:
        """Of the stages with dynamics."""
        return self._dynamics_plan(self.recipe.linear_epochs, self.recipe.linear_batch)

    def begin_epoch(self, epoch: int) -> None:
        """A linear network."""
        self.networks.network.slope = 1.0

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.trained.parameters(), lr=self.recipe.linear_rate)

    def rate(self, step: int) -> float:
        """Falls, where it does."""
        return self._falling(self.recipe.linear_rate, step)

    def outcome(self, images: Tensor, targets: Tensor) -> Outcome:
        """Ramped cross-entropy from rates of 0."""
        recipe = self.recipe
        return decision_loss(
            self.networks.network, images, targets, ramp_steps=recipe.ramp_steps, decades=recipe.ramp_decades
        )

    def logits(self, images: Tensor) -> Tensor:
        """Of the linear network from rates of 0."""
        return _from_rest(self.networks.network, images)


class FineTuneStage(Stage):
    """3b: decisions and the return to spontaneous rates, rectified."""

    name = FINE_TUNE

    @property
    def trained(self) -> nn.Module:
        """The dynamical network."""
        return self.networks.network

    @property
    def plan(self) -> Plan:
        """Of the stages with dynamics."""
        return self._dynamics_plan(self.recipe.fine_tune_epochs, self.recipe.fine_tune_batch)

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.trained.parameters(), lr=self.recipe.fine_tune_rate)

    def rate(self, step: int) -> float:
        """Falls, where it does."""
        return self._falling(self.recipe.fine_tune_rate, step)

    def outcome(self, images: Tensor, targets: Tensor) -> Outcome:
        """Ramped cross-entropy with the penalty."""
        recipe = self.recipe
        return returning_loss(
            self.networks.network,
            images,
            targets,
            ramp_steps=recipe.ramp_steps,
            decades=recipe.ramp_decades,
            penalty=recipe.penalty,
            penalty_steps=recipe.penalty_steps,
        )


class AnnealStage(FineTuneStage):
    """3a: the same while the activation bends, with a new optimiser in each epoch."""

    name = ANNEAL
    renews = True

    @property
    def plan(self) -> Plan:
        """Of the stages with dynamics."""
        return self._dynamics_plan(self.recipe.anneal_epochs, self.recipe.anneal_batch)

    def begin_epoch(self, epoch: int) -> None:
        """The slope of this epoch."""
        self.networks.network.slope = self.recipe.slopes[epoch]

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.trained.parameters(), lr=self.recipe.anneal_rate)

    def rate(self, step: int) -> float:
        """Falls, where it does."""
        return self._falling(self.recipe.anneal_rate, step)


class DirectStage(FineTuneStage):
    """The control: 3b from random weights, with as many updates as the stages it does without."""

    name = DIRECT

    @property
    def plan(self) -> Plan:
        """As many updates as of `linear`, `anneal` and `fine_tune`, rounded up to whole epochs."""
        others = [stage(self.networks, self.recipe, self.n).plan for stage in (LinearStage, AnnealStage, FineTuneStage)]
        own = self._dynamics_plan(1, self.recipe.fine_tune_batch)
        updates = sum(plan.epochs * plan.per_epoch for plan in others)
        return own._replace(epochs=-(-updates // own.per_epoch))


KINDS: dict[str, type[Stage]] = {
    stage.name: stage for stage in (CnnStage, InverseStage, LinearStage, AnnealStage, FineTuneStage, DirectStage)
}


def stages_of(networks: Networks, recipe: Recipe, *, n: int) -> tuple[Stage, ...]:
    """The stages of a recipe, in order, on n training images."""
    return tuple(KINDS[name](networks, recipe, n) for name in recipe.stages)


def _from_rest(network: CordsNet, images: Tensor) -> Tensor:
    weights = network.folded()
    rates = network.rest(len(images), weights)
    for after in network.trajectory(rates, network.drive(images, weights), weights, steps=network.clock.steps):
        rates = after
    return network.readout(rates, weights)
