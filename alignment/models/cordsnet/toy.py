"""A small CordsNet that anyone can train: scikit-learn's digits through every stage of the pipeline, once."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from alignment.errors import DataError
from alignment.models.checkpoints import weights_file
from alignment.models.cordsnet.layout import Layout
from alignment.models.cordsnet.model import CordsNetModel, cordsnet
from alignment.models.cordsnet.network import CordsNet
from alignment.models.cordsnet.weights import Described, described
from alignment.models.toy import CLASSES, digits, made_once, one_thread, split
from alignment.models.toy import Recipe as Digits
from alignment.training.cordsnet.pipeline import run_pipeline
from alignment.training.cordsnet.recipe import Recipe as Stages

NAME = "toy_cordsnet"
DEPTH = 2
GREY = ((0.5,) * 3, (0.5,) * 3)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the trained weights on given hardware; its hash names their file."""

    stages: Stages
    version: int = 1
    edge: int = 8
    held_out: int = Digits.held_out

    @property
    def layout(self) -> Layout:
        """Two areas of 2x2 maps, for grey images."""
        return Layout(DEPTH, image_size=(self.edge, self.edge), n_classes=len(CLASSES), n_channels=1)


def build(*, weights: str, cache: Path, seed: int) -> CordsNetModel:
    """The network; "default" weights are trained where `cache` does not hold them yet."""
    recipe = recipe_of(seed)
    if weights == "none":
        layout, clock = recipe.layout, recipe.stages.clock
        return cordsnet(
            DEPTH,
            name=NAME,
            image_size=layout.image_size,
            classes=CLASSES,
            n_channels=layout.n_channels,
            normalise=GREY,
            clock=clock,
            seed=seed,
        )
    if weights != "default":
        return cordsnet(DEPTH, name=NAME, weights=weights_file(weights))
    path = made_once(NAME, asdict(recipe), cache=cache, make=lambda: train(recipe))
    try:
        return cordsnet(DEPTH, name=NAME, weights=path)
    except DataError as error:
        raise DataError(f"{error}; delete it to train it again") from None


def recipe_of(seed: int) -> Recipe:
    """How it is trained: steps, epochs and rates at which digits stay learned from stage to stage."""
    return Recipe(
        Stages(
            alpha=0.4,
            steps=10,
            blank_steps=10,
            cnn_epochs=2,
            cnn_batch=64,
            warm_up=10,
            inverse_epochs=6,
            inverse_batch=32,
            inverse_rate=2e-3,
            inverse_clip=1.0,
            linear_epochs=2,
            linear_batch=32,
            linear_rate=3e-4,
            anneal_epochs=4,
            anneal_batch=32,
            anneal_rate=3e-4,
            fine_tune_epochs=2,
            fine_tune_batch=32,
            fine_tune_rate=2e-4,
            clip=1.0,
            decay=0.2,
            ramp_steps=4,
            penalty=0.01,
            penalty_steps=3,
            epoch_images=600,
            seed=seed,
        )
    )


def train(recipe: Recipe) -> CordsNet:
    """The network, with the CNN it is made from, trained on the digits that `toy` is trained on."""
    pixels, labels = digits(recipe.edge)
    chosen, _ = split(Digits(held_out=recipe.held_out), len(labels))
    images = (pixels[chosen] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    with one_thread():
        result = run_pipeline(recipe.layout, images, labels[chosen].numpy(), recipe=recipe.stages, normalise=GREY)
    said = Described(recipe.layout.image_size, CLASSES, GREY, recipe.stages.clock)
    return described(result.networks.network, said, folded=result.networks.folded)
