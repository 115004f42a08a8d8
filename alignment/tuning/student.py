"""The network that is tuned: its passes, on images of the brain or of the task, and its trained weights."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from alignment.models.hooks import evaluating
from alignment.models.torch_model import TorchModel
from alignment.tuning.batchnorm import Domain, drift, prepare
from alignment.tuning.recipe import Recipe
from alignment.tuning.teacher import in_precision, own_copy
from alignment.tuning.trainable import trainable


class Student:
    """A copy of a network, its batch normalisations as a recipe has them.

    Parameters
    ----------
    model : TorchModel
        Stays as it is.
    recipe : Recipe
    device : str

    Attributes
    ----------
    model : the copy
    norms : its batch normalisations
    backbone : trained parameters by name; readouts are no part of the network
    start : copies of them as they were
    """

    def __init__(self, model: TorchModel, recipe: Recipe, *, device: str) -> None:
        self.model, self.recipe, self.device = own_copy(model, device), recipe, device
        self.norms = prepare(self.model.module, recipe.batch_norm)
        names = trainable(self.model.module, recipe.trainable)
        self.backbone: dict[str, nn.Parameter] = {}
        for name, parameter in self.model.module.named_parameters():
            parameter.requires_grad_(name in names)
            if parameter.requires_grad:
                self.backbone[name] = parameter
        self.start = {name: value.detach().clone() for name, value in self.backbone.items()}

    def pass_on(self, pixels: Tensor, domain: Domain, *, training: bool = False) -> tuple[Tensor, Tensor]:
        """Logits and activations of the layer that is read out, both in float32.

        Parameters
        ----------
        pixels : (image, 3, row, column)
        domain : of the images, whose statistics normalise them
        training : whether normalisations are in training, where the recipe lets them; nothing else ever is

        Returns
        -------
        (image, time_bin, class), and (image, *unit) with several time_bins before the units
        """

        @contextmanager
        def mode(module: nn.Module) -> Iterator[None]:
            # dropout would make student and teacher differ for no reason
            with evaluating(module):
                for layer in self.norms.layers.values():
                    layer.training = training
                try:
                    with self.norms.on(domain):
                        yield
                finally:
                    for layer in self.norms.layers.values():
                        layer.training = False

        layer = self.recipe.layer
        bins = self.recipe.time_bins or (float(self.model.sites[layer].calls - 1),)
        with in_precision(self.device, self.recipe.precision):
            logits, kept = self.model.logits_and_activations(pixels.to(self.device), [layer], time_bins=bins, mode=mode)
        activations = kept[layer].float()
        return logits.float(), activations[:, 0] if activations.shape[1] == 1 else activations

    def passes(self, pixels: Tensor, domain: Domain) -> Iterator[tuple[Tensor, Tensor]]:
        """`pass_on` for one batch after another, without gradients."""
        with torch.no_grad():
            for part in pixels.split(self.recipe.batch_size):
                yield self.pass_on(part, domain)

    @torch.no_grad()
    def foreseen_drift(self, images: Mapping[str, Tensor]) -> float:
        """How far running means would go in one pass over neural images in training, as `batchnorm.drift`.

        Parameters
        ----------
        images : name -> (image, 3, row, column)
        """
        before = self.state()
        for pixels in images.values():
            # parts of about one size: of a single image left over there may be no statistics
            for part in torch.tensor_split(pixels, -(-len(pixels) // self.recipe.batch_size)):
                self.pass_on(part, "neural", training=True)
        found = drift(self.model.module, before["student"])
        self.put_back(before)
        return found

    def state(self) -> dict[str, Any]:
        """Copies of all that tuning changes here."""
        return copy.deepcopy({"student": self.model.module.state_dict(), "norms": self.norms.state_dict()})

    def put_back(self, state: Mapping[str, Any]) -> None:
        """What `state` gave."""
        self.model.module.load_state_dict(state["student"])
        self.norms.load_state_dict(state["norms"])
