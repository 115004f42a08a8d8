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
from alignment.tuning.images import Images, in_batches
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

    def pass_on(self, pixels: Tensor, domain: Domain, *, training: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits and activations of the layers that are read out, all in float32.

        Parameters
        ----------
        pixels : (image, 3, row, column)
        domain : of the images, whose statistics normalise them
        training : whether normalisations are in training, where the recipe lets them; nothing else ever is

        Returns
        -------
        (image, time_bin, class), and of each layer (image, *unit) with several time_bins before the units
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

        layers = self.recipe.layers
        bins = {layer: self.recipe.time_bins or self.model.bins_of(layer)[-1:] for layer in layers}
        with in_precision(self.device, self.recipe.precision):
            logits, kept = self.model.logits_and_activations(pixels.to(self.device), layers, time_bins=bins, mode=mode)
        activations = [kept[layer].float() for layer in layers]
        return logits.float(), tuple(each[:, 0] if each.shape[1] == 1 else each for each in activations)

    def passes(self, images: Images, domain: Domain) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """`pass_on` for one batch after another, without gradients."""
        with torch.no_grad():
            for part in in_batches(images, self.recipe.batch_size):
                yield self.pass_on(part, domain)

    def activations(self, images: Images) -> tuple[Tensor, ...]:
        """Of each layer that is read out, of all of a set of neural images, without gradients."""
        parts = [each for _, each in self.passes(images, "neural")]
        return tuple(torch.cat(layer) for layer in zip(*parts, strict=True))

    @torch.no_grad()
    def foreseen_drift(self, sets: Mapping[str, Images]) -> float:
        """How far running means would go in one pass over neural images in training, as `batchnorm.drift`.

        Parameters
        ----------
        sets : name -> neural images
        """
        before = self.state()
        for images in sets.values():
            # parts of about one size: of a single image left over there may be no statistics
            for rows in torch.arange(len(images)).tensor_split(-(-len(images) // self.recipe.batch_size)):
                self.pass_on(images[rows], "neural", training=True)
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
