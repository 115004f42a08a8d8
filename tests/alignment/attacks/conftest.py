"""Classifiers whose robustness is known in closed form, and a published network with its images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from alignment.attacks.threat import Norm
from alignment.models import load_model
from alignment.models.base import Model


@dataclass
class LinearClassifier:
    """Logits W x + b, and the distance of every image from the nearest boundary."""

    weight: Tensor
    bias: Tensor

    def __call__(self, pixels: Tensor, *, seeds: Sequence[int] | None = None) -> Tensor:
        return (pixels.flatten(1) @ self.weight.T + self.bias)[:, None]

    def distances(self, pixels: Tensor, labels: Tensor, norm: Norm) -> Tensor:
        """(image,) signed: below 0 where the image is misclassified, float64, away from the edges of [0, 1]."""
        weight, bias = self.weight.double(), self.bias.double()
        scores = pixels.flatten(1).double() @ weight.T + bias
        gaps = scores.gather(1, labels[:, None]) - scores
        normals = weight[labels][:, None] - weight
        sizes = normals.abs().sum(-1) if norm == "linf" else normals.norm(dim=-1)
        sizes.scatter_(1, labels[:, None], 1.0)
        gaps.scatter_(1, labels[:, None], float("inf"))
        return (gaps / sizes).amin(1)


class Problem(NamedTuple):
    """A linear classifier with images at least 0.25 inside [0, 1], a tenth of them misclassified."""

    logits: LinearClassifier
    pixels: Tensor
    labels: Tensor
    seeds: list[int]


def linear_problem(n_classes: int, *, n_images: int = 60, edge: int = 4, seed: int = 0) -> Problem:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(n_classes, 3 * edge**2, generator=draw)
    pixels = 0.25 + 0.5 * torch.rand(n_images, 3, edge, edge, generator=draw)
    logits = LinearClassifier(weight, -(pixels.flatten(1) @ weight.T).mean(0))
    labels = logits(pixels)[:, 0].argmax(1)
    labels[: n_images // 10] = (labels[: n_images // 10] + 1) % n_classes
    return Problem(logits, pixels, labels, list(range(n_images)))


@pytest.fixture
def linear() -> Callable[..., Problem]:
    return linear_problem


class Cifar(NamedTuple):
    model: Model
    pixels: Tensor
    labels: Tensor


@pytest.fixture(scope="session")
def cifar(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Cifar:
    """ResNet-20 with published weights, and 1,000 test images of CIFAR-10."""
    archive = np.load(shared_data / "cifar10_subset" / "cifar10_subset.npz")
    pixels = torch.from_numpy(archive["test_images"]).permute(0, 3, 1, 2).float().div(255).contiguous()
    model = load_model("cifar_resnet20", cache=tmp_path_factory.mktemp("cache"), data_root=shared_data)
    return Cifar(model, pixels, torch.from_numpy(archive["test_labels"]).long())
