"""A simulated brain, and networks of another task to tune toward it; everything is drawn from seeds.

The task is to name one of ten shapes. Scenes, which the brain saw, are other images: clutter of many sizes and colours
on a background whose spectrum falls as those of photographs do. Each neuroid weighs Gabor energies of one spot and its
colours, with noise. A network for shapes has most of the energies and little of the colours, and could have both.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment import seeds
from alignment.encoding import fit_ridge, predictivity
from alignment.models import TorchModel

EDGE, CLASSES, GRID = 32, 10, 8
TRAIN, VALIDATION, TEST = 1600, 200, 400
FITTED, HELD_OUT = 80, 40
LAYER = "10"
REPETITIONS = 10
# of the colours in what neuroids like, beside the energies: a network for shapes has little of them
CHROMA = 3.0


@dataclass(frozen=True)
class Brain:
    """Scenes and what the neuroids said of them.

    Attributes
    ----------
    pixels : (image, 3, row, column) float32 in [0, 1], of the training, the validation and the test scenes in turn
    responses : (image, neuroid) float32, mean over repetitions, of mean 0 and sd 1 over training scenes; the fitted
        neuroids, then those held out
    ncsnr : (neuroid,)
    """

    pixels: Tensor
    responses: Tensor
    ncsnr: np.ndarray


@cache
def brain(seed: int = 0) -> Brain:
    """Scenes and responses."""
    pixels, count = scenes(TRAIN + VALIDATION + TEST, seed=seed), FITTED + HELD_OUT
    random = seeds.generator(seed, "brain", "neuroids")
    features = energies_and_colours(pixels)
    features = (features - features.mean((0, 2, 3), keepdim=True)) / features.std((0, 2, 3), keepdim=True)
    ncsnr = random.uniform(0.3, 0.9, count)
    signal = features.flatten(1).double() @ torch.from_numpy(_preferences(features.shape[1], count, random=random))
    signal = (signal - signal.mean(0)) / signal.std(0)
    noise = random.standard_normal(tuple(signal.shape)) / (ncsnr * np.sqrt(REPETITIONS))
    responses = signal + torch.from_numpy(noise)
    responses = (responses - responses[:TRAIN].mean(0)) / responses[:TRAIN].std(0)
    return Brain(pixels, responses.float(), ncsnr)


def _preferences(n_features: int, count: int, *, random: np.random.Generator) -> np.ndarray:
    """`(feature x place, neuroid)`: a few features, at one spot of the grid."""
    rows, columns = np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij")
    centre = random.uniform(1, GRID - 2, (2, count, 1, 1))
    spot = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * 0.8**2))
    liked = random.standard_normal((count, n_features)) * (random.random((count, n_features)) < 0.3)
    liked[np.arange(count), random.integers(n_features, size=count)] += 1.5
    liked[:, -2:] *= CHROMA
    return (liked[:, :, None, None] * spot[:, None]).reshape(count, -1).T


def energies_and_colours(pixels: Tensor) -> Tensor:
    """`(image, feature, row, column)` on a coarse grid: energy at four orientations and two scales, three colours."""
    grey = pixels.mean(1, keepdim=True) - 0.5
    maps = []
    for wavelength in (4.0, 8.0):
        even, odd = _gabors(wavelength)
        edge = even.shape[-1] // 2
        padded = F.pad(grey, (edge,) * 4, mode="reflect")
        energy = F.conv2d(padded, even).square() + F.conv2d(padded, odd).square()
        maps.append(energy.sqrt())
    red, green, blue = pixels.split(1, dim=1)
    maps.append(torch.cat([pixels.mean(1, keepdim=True), red - green, blue - (red + green) / 2], dim=1))
    return F.adaptive_avg_pool2d(torch.cat(maps, dim=1), GRID)


def _gabors(wavelength: float) -> tuple[Tensor, Tensor]:
    """Even and odd, each `(4 orientations, 1, row, column)`."""
    half = int(wavelength)
    y, x = torch.meshgrid(*[torch.arange(-half, half + 1.0)] * 2, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * (0.4 * wavelength) ** 2))
    along = [x * np.cos(angle) + y * np.sin(angle) for angle in np.arange(4) * np.pi / 4]
    phases = [2 * np.pi / wavelength * each for each in along]
    even = torch.stack([envelope * torch.cos(each) for each in phases])
    even -= even.mean((1, 2), keepdim=True)
    odd = torch.stack([envelope * torch.sin(each) for each in phases])
    return even[:, None], odd[:, None]


def scenes(count: int, *, seed: int) -> Tensor:
    """Clutter: `(image, 3, row, column)`."""
    random = seeds.generator(seed, "brain", "scenes")
    images = 0.45 + 0.16 * _falling(count, random=random)
    x, y = _places()
    for _ in range(6):
        centre, angle = random.uniform(0, EDGE, (2, count, 1, 1)), random.uniform(0, np.pi, (count, 1, 1))
        sizes = random.uniform(2, 9, (2, count, 1, 1))
        along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
        across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
        inside = (along / sizes[0]) ** 2 + (across / sizes[1]) ** 2 < 1
        waves = 1 + 0.6 * np.sin(2 * np.pi * along / random.uniform(3, 9, (count, 1, 1)))
        colour = random.uniform(0, 1, (count, 3, 1, 1))
        shown = (inside & (random.random((count, 1, 1)) < 0.7))[:, None]
        images = np.where(shown, 0.25 + 0.5 * colour * waves[:, None], images)
    return torch.from_numpy(np.clip(images, 0, 1).astype(np.float32))


def _falling(count: int, *, random: np.random.Generator) -> np.ndarray:
    """Noise in colour of variance 1 whose amplitude falls with spatial frequency, mostly grey."""
    frequency = np.hypot(np.fft.fftfreq(EDGE)[:, None], np.fft.rfftfreq(EDGE)[None])
    frequency[0, 0] = np.inf
    grey, colour = (random.standard_normal((count, n, EDGE, EDGE)) for n in (1, 3))
    spectrum = np.fft.rfft2(grey + 0.5 * colour) / frequency
    field = np.fft.irfft2(spectrum, s=(EDGE, EDGE))
    return field / field.std((1, 2, 3), keepdims=True)


def shapes(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Images of the task and their classes: one of ten shapes somewhere, in noise."""
    random = seeds.generator(seed, "task", "shapes")
    labels = np.arange(count) % CLASSES
    x, y = _places()
    centre = random.uniform(12, EDGE - 12, (2, count, 1, 1))
    size = random.uniform(6, 10, (count, 1, 1))
    turn = random.uniform(-0.25, 0.25, (count, 1, 1))
    u = ((x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)) / size
    v = ((y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)) / size
    mask = np.choose(labels[:, None, None], _figures(u, v)).astype(float)
    background, ink = random.uniform(0.3, 0.5, (count, 3, 1, 1)), random.uniform(-0.1, 0.1, (count, 3, 1, 1))
    contrast = random.uniform(0.12, 0.3, (count, 1, 1, 1)) * random.choice([-1, 1], (count, 1, 1, 1))
    images = background + (contrast + ink) * mask[:, None] + 0.05 * _falling(count, random=random)
    images += 0.05 * random.standard_normal(images.shape)
    return torch.from_numpy(np.clip(images, 0, 1).astype(np.float32)), torch.from_numpy(labels)


def _figures(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """Whether a place is inside each of the ten shapes, which fill -1 to 1."""
    radius, edge = np.hypot(u, v), np.maximum(abs(u), abs(v))
    return [
        radius < 1,
        (radius < 1) & (radius > 0.6),
        edge < 0.85,
        (edge < 0.85) & (edge > 0.5),
        (v < 0.7) & (v > 2 * abs(u) - 0.9),
        (np.minimum(abs(u), abs(v)) < 0.25) & (edge < 1),
        (np.minimum(abs(u - v), abs(u + v)) < 0.35) & (edge < 0.85),
        (abs(abs(v) - 0.5) < 0.25) & (abs(u) < 0.9),
        (abs(abs(u) - 0.5) < 0.25) & (abs(v) < 0.9),
        (edge < 0.9) & ((u > 0) == (v > 0)),
    ]


def _places() -> tuple[np.ndarray, np.ndarray]:
    """Column and row of each pixel, `(1, row, column)`."""
    y, x = np.meshgrid(np.arange(EDGE) + 0.5, np.arange(EDGE) + 0.5, indexing="ij")
    return x[None], y[None]


def network() -> nn.Sequential:
    """Four convolutions with batch normalisation, 215,146 parameters; the third is read out."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 32, 2), (32, 64, 1), (64, 96, 1), (96, 160, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU()] if outputs in (32, 160) else [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, CLASSES))


def teacher(seed: int, *, images: int = 4000, epochs: int = 10) -> TorchModel:
    """A network that was trained on shapes."""
    pixels, labels = shapes(images, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(seeds.derive(seed, "teacher", "weights"))
        net = network()
    steps = epochs * -(-images // 64)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    net.train()
    for epoch in range(epochs):
        order = torch.from_numpy(seeds.generator(seed, "teacher", "epoch", epoch).permutation(images))
        for rows in order.split(64):
            optimiser.zero_grad()
            F.cross_entropy(net(pixels[rows]), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    names = [str(label) for label in range(CLASSES)]
    return TorchModel(net.eval(), name="teacher", image_size=(EDGE, EDGE), layers=[LAYER], classes=names)


@dataclass(frozen=True)
class Refit:
    """How well a ridge on frozen features predicts test images.

    Attributes
    ----------
    r : (neuroid,)
    largest_z : the largest deviation of a feature of a test image from its mean, in what it was divided by
    """

    r: np.ndarray
    largest_z: float


def refit(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> Refit:
    """Fit on training images, units divided by their sd, floored; judge on test images."""
    fit = fit_ridge(x, y, alphas=torch.logspace(-4, 4, 17), scale="floored_sd")
    centring = fit.axes.centring
    deviations = centring.apply(x_test.to(torch.float64, copy=True), 0, x_test.shape[1])
    return Refit(predictivity(fit, x_test, y_test).values, float(deviations.abs().max()))


@cache
def task_images() -> tuple[tuple[Tensor, Tensor], ...]:
    """Images of the task and classes: those that judge, those that choose, and those that are replayed."""
    return shapes(1000, seed=2), shapes(500, seed=3), shapes(TRAIN, seed=4)


@dataclass(frozen=True)
class Standing:
    """A network on images that tuned nothing.

    Attributes
    ----------
    accuracy : on 1,000 task images
    fitted, held_out : mean over neuroids of r on the test scenes, of a ridge on the layer as it is
    largest_z : of the layer on the test scenes
    """

    accuracy: float
    fitted: float
    held_out: float
    largest_z: float


@torch.no_grad()
def standing(model: TorchModel, responses: Tensor) -> Standing:
    """Judge a network.

    Parameters
    ----------
    model : TorchModel
    responses : (image, neuroid), to the scenes of `brain`
    """
    pixels, labels = task_images()[0]
    said = torch.cat([model.logits(part)[:, -1].argmax(1) for part in pixels.split(200)])
    parts = [model.record(part, [LAYER])[LAYER].flatten(1) for part in brain().pixels.split(200)]
    train, _, test = torch.cat(parts).split((TRAIN, VALIDATION, TEST))
    y, _, observed = responses.split((TRAIN, VALIDATION, TEST))
    found = refit(train, y, test, observed)
    right = float((said == labels).double().mean())
    return Standing(right, found.r[:FITTED].mean(), found.r[FITTED:].mean(), found.largest_z)
