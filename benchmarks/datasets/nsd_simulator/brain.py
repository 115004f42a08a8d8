"""The simulated brain of one subject: where its regions lie and what drives each of their voxels."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

VISUAL_RADIUS = 4.2
CORTEX_RADIUS = 0.92
PRF_FAMILY = "prf-visualrois"
ECCENTRICITY_FAMILY = "prf-eccrois"
ECCENTRICITY_EDGES = (0.5, 1.0, 2.0, 4.0)


def _numbered(text: str) -> dict[int, str]:
    return dict(enumerate(text.split(), start=1))


# numbers and names as in the published colour tables; of HCP_MMP1's 180 only some
FAMILIES: Mapping[str, Mapping[int, str]] = {
    PRF_FAMILY: _numbered("V1v V1d V2v V2d V3v V3d hV4"),
    ECCENTRICITY_FAMILY: _numbered("ecc0pt5 ecc1 ecc2 ecc4 ecc4+"),
    "floc-faces": _numbered("OFA FFA-1 FFA-2 mTL-faces aTL-faces"),
    "floc-bodies": _numbered("EBA FBA-1 FBA-2 mTL-bodies"),
    "floc-places": _numbered("OPA PPA RSC"),
    "floc-words": _numbered("OWFA VWFA-1 VWFA-2 mfs-words mTL-words"),
    "streams": _numbered("early midventral midlateral midparietal ventral lateral parietal"),
    "nsdgeneral": _numbered("nsdgeneral"),
    "Kastner2015": _numbered(
        "V1v V1d V2v V2d V3v V3d hV4 VO1 VO2 PHC1 PHC2 TO2 TO1 LO2 LO1 V3B V3A IPS0 IPS1 IPS2 IPS3 IPS4 IPS5 SPL1 FEF"
    ),
    "HCP_MMP1": {1: "V1", 18: "FFC", 126: "PHA1", 127: "PHA3", 136: "TE2p", 154: "VMV3", 160: "VMV2", 163: "VVC"},
}


class Source(Protocol):
    """What drives the voxels of a territory."""

    def signal(self, brain: "Drive", voxels: np.ndarray) -> np.ndarray:
        """(image, voxel), mean 0 and sd 1 over images, or all zeros."""
        ...


@dataclass(frozen=True)
class Retinotopic:
    """Channels of a layer, weighed at random, seen through the voxel's population receptive field."""

    layer: str

    def signal(self, brain: "Drive", voxels: np.ndarray) -> np.ndarray:
        """(image, voxel), mean 0 and sd 1 over images."""
        maps = brain.features[self.layer]
        n_channels, n = maps.shape[1], maps.shape[2]
        centre = ((np.arange(n) + 0.5) / n * 2 - 1) * VISUAL_RADIUS
        dx, dy = centre[None] - brain.prf_x[voxels, None], -centre[None] - brain.prf_y[voxels, None]
        spread = 2 * brain.prf_size[voxels, None] ** 2
        field = np.exp(-(dy**2) / spread)[:, :, None] * np.exp(-(dx**2) / spread)[:, None, :]
        weights = brain.rng.standard_normal((len(voxels), n_channels))
        return _standard(np.einsum("ichw,vc,vhw->iv", maps - maps.mean(0), weights, field, optimize=True))


@dataclass(frozen=True)
class Whole:
    """All units of a layer, weighed at random."""

    layer: str

    def signal(self, brain: "Drive", voxels: np.ndarray) -> np.ndarray:
        """(image, voxel), mean 0 and sd 1 over images."""
        units = brain.features[self.layer].reshape(len(brain.features[self.layer]), -1)
        return _standard((units - units.mean(0)) @ brain.rng.standard_normal((units.shape[1], len(voxels))))


@dataclass(frozen=True)
class Arbitrary:
    """Reliable, but nothing in the picture predicts it: a random number per image and voxel."""

    def signal(self, brain: "Drive", voxels: np.ndarray) -> np.ndarray:
        """(image, voxel), mean 0 and sd 1 over images."""
        n_images = len(next(iter(brain.features.values())))
        return _standard(brain.rng.standard_normal((n_images, len(voxels))))


@dataclass(frozen=True)
class Silent:
    """No signal at all: the voxel is pure noise."""

    def signal(self, brain: "Drive", voxels: np.ndarray) -> np.ndarray:
        """(image, voxel) zeros."""
        return np.zeros((len(next(iter(brain.features.values()))), len(voxels)))


@dataclass(frozen=True)
class Territory:
    """A patch of cortex, the share of each hemisphere it takes, and its label in each family."""

    source: Source
    share: float
    labels: Mapping[str, str]


def _early(name: str, layer: str, share: float) -> Territory:
    labels = {PRF_FAMILY: name, "Kastner2015": name, "streams": "early"}
    return Territory(Retinotopic(layer), share, labels)


# in the order they follow each other along z; what is left over is cortex without a label
TERRITORIES: tuple[Territory, ...] = (
    _early("V1v", "V1", 0.11),
    _early("V1d", "V1", 0.11),
    _early("V2v", "V2", 0.08),
    _early("V2d", "V2", 0.08),
    _early("V3v", "V2", 0.05),
    _early("V3d", "V2", 0.05),
    Territory(Retinotopic("hV4"), 0.13, {PRF_FAMILY: "hV4", "Kastner2015": "hV4", "streams": "midventral"}),
    Territory(Whole("ventral"), 0.1, {"streams": "ventral", "HCP_MMP1": "VVC"}),
    Territory(Whole("ventral"), 0.06, {"streams": "ventral", "floc-faces": "FFA-1", "HCP_MMP1": "FFC"}),
    Territory(Arbitrary(), 0.08, {"streams": "parietal", "floc-places": "PPA", "HCP_MMP1": "PHA1"}),
    Territory(Silent(), 0.08, {"streams": "lateral", "floc-words": "VWFA-1"}),
)


@dataclass(frozen=True)
class Anatomy:
    """Volumes of one subject, (X, Y, Z).

    Attributes
    ----------
    brain : bool; larger than cortex
    hemisphere : int, -1 outside cortex, 0 left, 1 right
    territory : int, index into TERRITORIES, -1 elsewhere
    """

    brain: np.ndarray
    hemisphere: np.ndarray
    territory: np.ndarray


@dataclass(frozen=True)
class Drive:
    """What the sources draw on; the receptive fields are per territory voxel, in C order of (X, Y, Z).

    Attributes
    ----------
    features : layer -> (image, channel, row, column)
    prf_x, prf_y, prf_size : (voxel,) degrees right of, and above, fixation; standard deviation
    rng : the generator of weights
    """

    features: Mapping[str, np.ndarray]
    prf_x: np.ndarray
    prf_y: np.ndarray
    prf_size: np.ndarray
    rng: np.random.Generator


def anatomy(dims: tuple[int, int, int]) -> Anatomy:
    """An ellipsoid brain, left at x = 0; territories follow each other along z, so that a swap of axes leaves them."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n + 2)[1:-1] for n in dims], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    brain, cortex = radius < 1.15, radius < CORTEX_RADIUS
    hemisphere = np.where(cortex, (grid[0] >= 0).astype(int), -1)
    territory = np.full(dims, -1)
    edges = np.cumsum([0.0, *(each.share for each in TERRITORIES)])
    for side in (0, 1):
        voxels = np.argwhere(hemisphere == side)
        voxels = voxels[np.lexsort((voxels[:, 0], voxels[:, 1], voxels[:, 2]))]
        cuts = np.round(edges * len(voxels)).astype(int)
        for index, (start, stop) in enumerate(pairwise(cuts)):
            territory[tuple(voxels[start:stop].T)] = index
    return Anatomy(brain, hemisphere, territory)


def receptive_fields(place: Anatomy, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and size in degrees of each territory voxel's receptive field, in the contralateral visual field."""
    voxels = np.argwhere(place.territory >= 0)
    side = place.hemisphere[tuple(voxels.T)]
    eccentricity = rng.uniform(0.3, 4.3, len(voxels))
    angle = rng.uniform(-np.pi / 2, np.pi / 2, len(voxels))
    x = eccentricity * np.cos(angle) * np.where(side == 0, 1, -1)
    return x, eccentricity * np.sin(angle), 2.0 + 0.25 * eccentricity


def label_volume(place: Anatomy, family: str, eccentricity: np.ndarray) -> np.ndarray:
    """Labels of one family over both hemispheres: -1 outside cortex, 0 without a label, else the number."""
    labels = np.where(place.hemisphere >= 0, 0, -1).astype(np.int16)
    numbers = {name: number for number, name in FAMILIES[family].items()}
    for index, territory in enumerate(TERRITORIES):
        here = place.territory == index
        if family in territory.labels:
            labels[here] = numbers[territory.labels[family]]
    if family == "nsdgeneral":
        labels[place.territory >= 0] = 1
    if family == ECCENTRICITY_FAMILY:
        retinotopic = np.isfinite(eccentricity)
        labels[retinotopic] = 1 + np.digitize(eccentricity[retinotopic], ECCENTRICITY_EDGES)
    return labels


def signals(place: Anatomy, drive: Drive) -> np.ndarray:
    """(image, territory voxel) standardised signals, voxels in C order of (X, Y, Z)."""
    index = place.territory[place.territory >= 0]
    made = np.zeros((len(next(iter(drive.features.values()))), len(index)))
    for number, territory in enumerate(TERRITORIES):
        voxels = np.flatnonzero(index == number)
        made[:, voxels] = territory.source.signal(drive, voxels)
    return made


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(0)) / values.std(0)
