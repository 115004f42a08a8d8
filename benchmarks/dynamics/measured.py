"""What is measured of a network's dynamics: on a block of images, and of the spectrum of an area."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.attacks.base import draw_seeds
from alignment.dynamics.recurrence import Recurrence
from alignment.dynamics.sequences import Phase, linearisation, run_sequence
from alignment.dynamics.spectrum import leading_spectrum, stability
from alignment.dynamics.trajectories import (
    Components,
    components,
    decisions,
    distances_to_last,
    noise_in_cnn,
    noise_in_network,
    return_to_rest,
    time_to_steady,
)
from alignment.models.cordsnet.layout import TIME_CONSTANT
from alignment.models.cordsnet.model import CordsNetModel
from alignment.models.cordsnet.network import CordsNet
from alignment.projection import project

# standard deviations of the noise, in units of the normalised images
NOISE = (0.5, 1.0)
EIGENVALUES = 20
# eigenvalues crowd at the rim of their disk, where further digits take long and say nothing
TOLERANCE, BASIS = 1e-3, 80
DRAWN, COMPONENTS = 4, 2
# trajectories of more units are projected before their components are taken
MOST_UNITS = 2048


def blank_steps(network: CordsNet) -> int:
    """Steps without an image after it: as many as with it, and no fewer than in the blank phase before."""
    return max(network.clock.steps, network.clock.blank_steps)


def on_images(model: CordsNetModel, pixels: Tensor, labels: np.ndarray, *, seeds: Sequence[int]) -> xr.Dataset:
    """Return, speed, noise and decisions of a batch.

    Parameters
    ----------
    model : with its own clock
    pixels : (image, 3, row, column) in [0, 1]
    labels : (image,) positions among the classes
    seeds : of the noise, one per image

    Returns
    -------
    Dataset `left` and `mean_square` (area, image, blank), `steady` (area, image) in ms, `change` (image,) of all rates
    in the last step relative to their size, `correct` and `entropy` (image, step), and for network and, where it is
    known, CNN: `noise`, `noise_relative` (system, sd, area, image), `noise_correct` (system, sd, image)
    """
    network, images = model.module, model.prepare(pixels)
    steps, alpha = network.clock.steps, network.clock.alpha
    decided = decisions(network, [Phase(images, steps)])
    back = return_to_rest(network, images, steps=steps, blank_steps=blank_steps(network))
    systems = ["network"] if model.folded is None else ["network", "cnn"]
    noisy = []
    for system in systems:
        for place, size in enumerate(NOISE):
            drawn = draw_seeds(tuple(seeds), "noise", place)
            if system == "network":
                noisy.append(noise_in_network(network, images, noise=size, steps=steps, seeds=drawn))
            else:
                assert model.folded is not None
                noisy.append(noise_in_cnn(model.folded, images, noise=size, seeds=drawn))
    shape = (len(systems), len(NOISE))
    right = np.stack([each.logits.argmax(1) == labels for each in noisy])
    return xr.Dataset(
        {
            "left": (("area", "image", "blank"), back.left),
            "mean_square": (("area", "image", "blank"), back.mean_square),
            "steady": (
                ("area", "image"),
                time_to_steady(distances_to_last(network, images, steps=steps)) * alpha * TIME_CONSTANT,
            ),
            "change": ("image", _last_change(network, images)),
            "correct": (("image", "step"), decided.logits.argmax(-1) == labels[:, None]),
            "entropy": (("image", "step"), decided.entropy),
            "noise": (("system", "sd", "area", "image"), _folded_in([each.error for each in noisy], shape)),
            "noise_relative": (("system", "sd", "area", "image"), _folded_in([each.relative for each in noisy], shape)),
            "noise_correct": (("system", "sd", "image"), right.reshape(*shape, -1)),
        },
        {"system": systems, "sd": list(NOISE), "area": list(model.layers)},
    )


def of_area(model: CordsNetModel, layer: str, pixels: Tensor) -> xr.Dataset:
    """The spectrum of an area's recurrence, its stability at rest and with images on, and some trajectories.

    Parameters
    ----------
    model : with its own clock
    layer : of the area
    pixels : (image, 3, row, column); the linearisation is at the first, trajectories are of the first few

    Returns
    -------
    Dataset `real`, `imaginary` (eigenvalue,), `growth` and `step_radius` (state,) of "linear" W, and of D W at "rest"
    and "image"; `trajectory` (shown, step, component) with `explained` (component,)
    """
    network, area = model.module, list(model.layers).index(layer)
    with torch.no_grad():
        weights = network.folded()
        images = model.prepare(pixels[:DRAWN])
        whole = Recurrence(weights.recurrent[area], network.layout.maps[area])
        found = leading_spectrum(
            whole, min(EIGENVALUES, whole.size), tolerance=TOLERANCE, n_basis=min(BASIS, whole.size)
        )
        phases = [Phase(images, network.clock.steps), Phase(None, blank_steps(network))]
        states = [state.rates[area] for state in run_sequence(network, phases)]
        rest = network.spontaneous(weights, 1)
        on = _at_the_end(network, images[:1])
        slopes = {
            "rest": linearisation(network, rest, weights.bias, weights)[area][0],
            "image": linearisation(network, on, network.drive(images[:1], weights), weights)[area][0],
        }
    judged = {"linear": whole, **{state: whole.scaled(slope.cpu()) for state, slope in slopes.items()}}
    stable = [
        stability(each, alpha=network.clock.alpha, tolerance=TOLERANCE, n_basis=min(BASIS, whole.size))
        for each in judged.values()
    ]
    drawn = _components(states)
    return xr.Dataset(
        {
            "real": ("eigenvalue", found.values.real),
            "imaginary": ("eigenvalue", found.values.imag),
            "growth": ("state", [each.growth for each in stable]),
            "step_radius": ("state", [each.step_radius for each in stable]),
            "trajectory": (("shown", "step", "component"), drawn.scores),
            "explained": ("component", drawn.explained),
        },
        {"state": list(judged)},
    )


def _components(states: Sequence[Tensor]) -> Components:
    """Of the trajectories (image, step, unit) through some states."""
    whole = torch.stack([_fewer(state.flatten(1)) for state in states], dim=1).cpu().numpy()
    return components(whole, min(COMPONENTS, whole.shape[0] * whole.shape[1], whole.shape[2]))


def _fewer(values: Tensor) -> Tensor:
    return values if values.shape[1] <= MOST_UNITS else project(values, MOST_UNITS, seed=0)


def _at_the_end(network: CordsNet, images: Tensor) -> list[Tensor]:
    rates: list[Tensor] = []
    for state in run_sequence(network, [Phase(images, network.clock.steps)]):
        rates = state.rates
    return rates


@torch.no_grad()
def _last_change(network: CordsNet, images: Tensor) -> np.ndarray:
    """||r(T) - r(T - 1)|| / ||r(T)|| of all areas together: (image,)."""
    before: list[Tensor] = []
    now: list[Tensor] = []
    for state in run_sequence(network, [Phase(images, network.clock.steps)]):
        before, now = now, state.rates
    flat = torch.cat([rate.flatten(1) for rate in now], 1)
    earlier = torch.cat([rate.flatten(1) for rate in before], 1) if before else torch.zeros_like(flat)
    return ((flat - earlier).norm(dim=1) / flat.norm(dim=1).clamp(min=1e-30)).cpu().numpy()


def _folded_in(values: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    stacked = np.stack(values)
    return stacked.reshape(*shape, *stacked.shape[1:])
