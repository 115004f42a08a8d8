"""A network with a task and a simulated brain, small enough to be tuned in a second and checked by hand."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.models import TorchModel
from alignment.tuning.loop import Material, Neural, Task, Tuner
from alignment.tuning.recipe import Recipe

EDGE, CLASSES = 16, 4


def images(count: int, *, seed: int) -> Tensor:
    """Smooth textures tinted by one of four colours; the colour is the class."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=draw)
    texture = F.interpolate(coarse, size=(EDGE, EDGE), mode="bilinear", align_corners=False)
    pixels = 0.5 + 0.12 * texture + 0.03 * torch.randn(count, 3, EDGE, EDGE, generator=draw)
    tints = torch.tensor([[0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3], [0.2, 0.2, 0]])
    return (pixels + tints[torch.arange(count) % CLASSES][:, :, None, None]).clamp(0, 1)


def trained_model() -> TorchModel:
    """A network with batch normalisation, trained on the colours in a second."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, CLASSES),
    )  # fmt: skip
    pixels, labels = images(400, seed=1), torch.arange(400) % CLASSES
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        F.cross_entropy(net(pixels), labels).backward()
        optimiser.step()
    return TorchModel(net.eval(), name="net", image_size=(EDGE, EDGE), layers=["4"], classes=tuple("abcd"))


def brain(pixels: Tensor, *, seed: int, noise: float = 0.5) -> Tensor:
    """Twelve neuroids that see oriented contrast at places of their own, which the task does not ask for."""
    draw = torch.Generator().manual_seed(7)
    filters = torch.randn(12, 3, 5, 5, generator=draw)
    filters -= filters.mean((2, 3), keepdim=True)
    maps = F.relu(F.conv2d(pixels, filters, stride=3)).flatten(2)
    signal = maps[:, torch.arange(12), torch.arange(12) % maps.shape[2]]
    signal = (signal - signal.mean(0)) / signal.std(0)
    return signal + noise * torch.randn(signal.shape, generator=torch.Generator().manual_seed(seed))


def small_material() -> Material:
    """Two subjects who saw other numbers of darker images, of classes in the other order."""

    def neural(count: int, seed: int) -> Neural:
        pixels = images(count, seed=seed).flip(0) * 0.7 + 0.1
        return Neural(pixels, brain(pixels, seed=seed))

    labels = torch.arange(200) % CLASSES
    return Material(
        train={"s1": neural(240, 2), "s2": neural(130, 3)},
        validation={"s1": neural(80, 4), "s2": neural(80, 5)},
        task_validation=Task(images(200, seed=6), labels),
        task=Task(images(200, seed=8), labels),
    )


def recipe(**changes) -> Recipe:
    """Three short epochs, unless changed."""
    return Recipe(**{"layers": ("4",), "epochs": 3, "batch_size": 64, "learning_rate": 1e-3, "patience": 9, **changes})


def weights(tuner: Tuner) -> dict[str, Tensor]:
    """Copies of weights and statistics of the student."""
    return {name: value.clone() for name, value in tuner.student.module.state_dict().items()}
