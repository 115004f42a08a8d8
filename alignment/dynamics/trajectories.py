"""What rates do over time: components, time to a steady state, return to rest, decisions, and what noise does."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alignment.dynamics.sequences import Phase, State, run_sequence, with_noise
from alignment.errors import RequestError
from alignment.models.cordsnet.equivalent import FoldedCNN
from alignment.models.cordsnet.network import CordsNet

STEADY = 0.9
# below this an image moved nothing, and there is nothing to come back from
LEAST_DISTANCE = 1e-12


class Components(NamedTuple):
    """Trajectories in the plane, or space, of their largest variance.

    Attributes
    ----------
    scores : (trajectory, step, component) float64
    axes : (component, unit) orthonormal
    explained : (component,) share of the variance
    """

    scores: np.ndarray
    axes: np.ndarray
    explained: np.ndarray


class Noise(NamedTuple):
    """What noise on the input does, per image.

    Attributes
    ----------
    error : (area, image) mean over units of the squared difference between noisy and clean activity
    relative : (area, image) the same divided by the mean square of the clean activity; NaN where that is 0
    logits : (image, class) under noise
    """

    error: np.ndarray
    relative: np.ndarray
    logits: np.ndarray


class Return(NamedTuple):
    """How far areas still are from rest after each blank step since images went off.

    Attributes
    ----------
    left : (area, image, blank step) ||r(off + blank) - r_0|| / ||r(off) - r_0||, r_0 the rates before the images: of
        how far these moved them, 0 where it came back; NaN where an image moves an area by nothing
    mean_square : (area, image, blank step) mean over units of (r(off + blank) - r_0)^2, what training penalises
    """

    left: np.ndarray
    mean_square: np.ndarray


class Decisions(NamedTuple):
    """What a network says at each step.

    Attributes
    ----------
    logits : (image, step, class)
    """

    logits: np.ndarray

    def accuracy(self, labels: np.ndarray) -> np.ndarray:
        """(step,) share of images whose highest logit is that of their class."""
        return (self.logits.argmax(-1) == np.asarray(labels)[:, None]).mean(0)

    @property
    def entropy(self) -> np.ndarray:
        """(image, step) of the softmax of the logits, in nats."""
        shifted = self.logits.astype(np.float64) - self.logits.max(-1, keepdims=True)
        log = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return -(np.exp(log) * log).sum(-1)


def components(trajectories: np.ndarray, n: int = 3) -> Components:
    """Principal components of trajectories, centred over all of their points.

    Parameters
    ----------
    trajectories : (trajectory, step, unit)
    n : how many components

    Raises
    ------
    RequestError
        There are fewer points, or units, than components.

    Examples
    --------
    >>> line = np.arange(4.0)[None, :, None] * np.array([3.0, 4.0])
    >>> components(line, 1).axes.round(2).tolist()
    [[0.6, 0.8]]
    """
    points = np.asarray(trajectories, dtype=np.float64).reshape(-1, np.shape(trajectories)[-1])
    if min(points.shape) < n:
        raise RequestError(f"trajectories: {n} components of {points.shape[0]} points with {points.shape[1]} units")
    centred = points - points.mean(0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    # the sign of an axis is free: its largest entry is made positive
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)[:, 0])
    scores = (left * sizes * signs)[:, :n].reshape(*np.shape(trajectories)[:2], n)
    variance = sizes**2
    total = variance.sum()
    explained = variance[:n] / total if total else np.zeros(n)
    return Components(scores, (axes * signs[:, None])[:n], explained)


def time_to_steady(distances: np.ndarray, *, share: float = STEADY) -> np.ndarray:
    """The first step from which on at most 1 - `share` of the way to the last state is left.

    Parameters
    ----------
    distances : (..., step), of the state at each step to the last one; the first is before any step
    share : of the way

    Returns
    -------
    (...) int, steps; 0 where nothing moves

    Examples
    --------
    >>> time_to_steady(np.array([8.0, 4.0, 2.0, 0.5, 0.0]))
    array(3)
    """
    left = np.asarray(distances, dtype=np.float64)
    above = left > (1 - share) * left[..., :1]
    # the step after the last one that is still too far
    last = above.shape[-1] - np.argmax(above[..., ::-1], axis=-1)
    return np.where(above.any(-1), last, 0)


@torch.no_grad()
def distances_to_last(network: CordsNet, images: Tensor, *, steps: int) -> np.ndarray:
    """How far each area is from its last state, at the onset of images and after each step.

    Two passes, so that no more than one state is held beside the last.

    Parameters
    ----------
    network, images : the images normalised
    steps : with the images on

    Returns
    -------
    (area, image, step + 1) Euclidean
    """
    weights = network.folded()
    start = network.spontaneous(weights, len(images))
    last = _last(run_sequence(network, [Phase(images, steps)], rates=start)).rates
    found = [_distances(start, last)]
    found += [_distances(state.rates, last) for state in run_sequence(network, [Phase(images, steps)], rates=start)]
    return np.stack(found, axis=-1)


@torch.no_grad()
def return_to_rest(network: CordsNet, images: Tensor, *, steps: int, blank_steps: int) -> Return:
    """What a blank leaves of images.

    Parameters
    ----------
    network, images : the images normalised
    steps, blank_steps : with the images on, and after them
    """
    before = network.spontaneous(network.folded(), len(images))
    moved, found = _distances(before, before), []
    for state in run_sequence(network, [Phase(images, steps), Phase(None, blank_steps)], rates=before):
        if (state.phase, state.step) == (0, steps):
            moved = _distances(state.rates, before)
        elif state.phase:
            found.append(_distances(state.rates, before))
    distances = np.stack(found, axis=-1)
    left = np.full_like(distances, np.nan)
    np.divide(distances, moved[..., None], out=left, where=moved[..., None] > LEAST_DISTANCE)
    sizes = np.array([rates[0].numel() for rates in before])
    return Return(left, distances**2 / sizes[:, None, None])


def return_error(network: CordsNet, images: Tensor, *, steps: int, blank_steps: int) -> np.ndarray:
    """What is left after the last blank step, of `return_to_rest`: (area, image)."""
    return return_to_rest(network, images, steps=steps, blank_steps=blank_steps).left[..., -1]


@torch.no_grad()
def decisions(network: CordsNet, phases: Sequence[Phase]) -> Decisions:
    """Logits at every step of a sequence, such as image A, a blank, image B."""
    return Decisions(torch.stack([state.logits for state in run_sequence(network, phases)], dim=1).cpu().numpy())


@torch.no_grad()
def noise_in_network(network: CordsNet, images: Tensor, *, noise: float, steps: int, seeds: Sequence[int]) -> Noise:
    """Activity at the last of some steps, each with noise of its own on the images, beside that without.

    Parameters
    ----------
    network, images : the images normalised
    noise : standard deviation, in units of the normalised images
    steps : with the images on
    seeds : of the noise, one per image
    """
    shown = [Phase(images, steps)]
    clean = _last(run_sequence(network, shown))
    noisy = _last(run_sequence(network, shown, noise=noise, noise_seeds=seeds))
    return _noise(clean.rates, noisy.rates, noisy.logits)


@torch.no_grad()
def noise_in_cnn(folded: FoldedCNN, images: Tensor, *, noise: float, seeds: Sequence[int]) -> Noise:
    """The same of the CNN that a network was made from: one image, one noise."""
    noisy = with_noise(images, noise, seeds)
    return _noise(folded.activity(images).after, folded.activity(noisy).after, folded(noisy))


def _last(states: Iterator[State]) -> State:
    state = next(states)
    for later in states:
        state = later
    return state


def _noise(clean: Sequence[Tensor], noisy: Sequence[Tensor], logits: Tensor) -> Noise:
    error = np.stack([_mean_square(other - one) for one, other in zip(clean, noisy, strict=True)])
    size = np.stack([_mean_square(one) for one in clean])
    relative = np.divide(error, size, out=np.full_like(error, np.nan), where=size > 0)
    return Noise(error, relative, logits.cpu().numpy())


def _mean_square(values: Tensor) -> np.ndarray:
    return values.double().square().flatten(1).mean(1).cpu().numpy()


def _distances(rates: Sequence[Tensor], others: Sequence[Tensor]) -> np.ndarray:
    """(area, image) Euclidean."""
    return np.stack(
        [
            (one.double() - other.double()).flatten(1).norm(dim=1).cpu().numpy()
            for one, other in zip(rates, others, strict=True)
        ]
    )
