"""What every stage of the pipeline has: networks it changes, epochs and batches, a loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alignment.models.cordsnet.equivalent import EquivalentCNN, FoldedCNN
from alignment.models.cordsnet.layout import Layout
from alignment.models.cordsnet.network import CordsNet
from alignment.models.initialise import seeded
from alignment.training.cordsnet.losses import Outcome
from alignment.training.cordsnet.recipe import Recipe


class Networks(NamedTuple):
    """The networks that the stages hand on.

    Attributes
    ----------
    cnn : with batch normalisation
    folded : without
    network : the dynamical one
    """

    cnn: EquivalentCNN
    folded: FoldedCNN
    network: CordsNet


class Plan(NamedTuple):
    """How far a stage goes.

    Attributes
    ----------
    epochs : of the stage
    per_epoch : updates in each
    batch : images in each but the last of an epoch
    images : in an epoch
    """

    epochs: int
    per_epoch: int
    batch: int
    images: int


class Stage(ABC):
    """One stage; it changes networks in place.

    Parameters
    ----------
    networks : of all stages
    recipe : settings
    n : training images
    """

    name: str
    clip: float | None
    # whether an optimiser lasts for one epoch only
    renews = False

    def __init__(self, networks: Networks, recipe: Recipe, n: int) -> None:
        self.networks, self.recipe, self.n = networks, recipe, n
        self.clip = recipe.clip

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The network that learns."""

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """Epochs and batches."""

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """A new one."""

    @abstractmethod
    def outcome(self, images: Tensor, targets: Tensor) -> Outcome:
        """Loss of a batch of normalised images (batch, channel, row, column), differentiable."""

    def begin(self) -> None:  # noqa: B027 - most stages take the networks as the stage before left them
        """Make the network that is trained ready, once."""

    def begin_epoch(self, epoch: int) -> None:
        """Set what an epoch has of its own; also where one is taken up again."""
        self.networks.network.slope = 0.0

    @abstractmethod
    def rate(self, step: int) -> float:
        """Learning rate of an update of the stage."""

    def logits(self, images: Tensor) -> Tensor:
        """Decisions (batch, class) after this stage, in evaluation mode."""
        return self.networks.network(images)[:, -1]

    def _falling(self, peak: float, step: int) -> float:
        """A learning rate on its way in a line from `peak` to its share at the end of the stage."""
        total = self.plan.epochs * self.plan.per_epoch
        return peak * (1 - (1 - self.recipe.decay) * step / max(total - 1, 1))

    def _dynamics_plan(self, epochs: int, batch: int) -> Plan:
        return planned(epochs, batch, min(self.recipe.epoch_images or self.n, self.n))


def new_networks(layout: Layout, recipe: Recipe) -> Networks:
    """Random weights, drawn from the recipe's seed."""
    with seeded(recipe.seed, "cordsnet", "cnn"):
        cnn = EquivalentCNN(layout)
    with seeded(recipe.seed, "cordsnet", "network"):
        network = CordsNet(layout, recipe.clock)
    return Networks(cnn, FoldedCNN(layout), network)


def planned(epochs: int, batch: int, images: int) -> Plan:
    """Updates in which each image is seen once an epoch."""
    return Plan(epochs, -(-images // batch), batch, images)


def clip(parameters: Iterable[nn.Parameter], largest: float | None) -> None:
    """Shorten the gradient of all parameters together to a norm."""
    if largest is not None:
        nn.utils.clip_grad_norm_(parameters, largest)
