"""Write a simulated brain in the official tree of the Natural Scenes Dataset, with the truth beside it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alignment import ceiling, seeds
from alignment.errors import DataError
from benchmarks.datasets.nsd.betas import PER_PERCENT, z_score
from benchmarks.datasets.nsd.design import Design
from benchmarks.datasets.nsd.layout import BETAS, LAYOUT_FILE, Tree
from benchmarks.datasets.nsd.stimuli import DATASET
from benchmarks.datasets.nsd_simulator import brain
from benchmarks.datasets.nsd_simulator.design import make_design, write_behaviour, write_expdesign, write_stim_info
from benchmarks.datasets.nsd_simulator.images import picture
from benchmarks.datasets.nsd_simulator.settings import N_IMAGES, SimulatedNSD
from benchmarks.datasets.nsd_simulator.truth import features
from benchmarks.datasets.partials import partial_folder

BETA = BETAS["b3"]
VOXEL_MM, STIMULUS_SECONDS = 1.8, 4 / 3
LARGEST = 32767
INVALID_SHARE = 0.01


@dataclass(frozen=True)
class Subject:
    """One subject's brain, trials and truth; voxels with responses are those of the brain mask, in C order.

    Attributes
    ----------
    place : where its regions lie
    betas : (trial, X, Y, Z) int16
    truth : arrays for `ground_truth.npz`
    prf : (X, Y, Z) maps by name, NaN outside retinotopic cortex
    """

    place: brain.Anatomy
    betas: np.ndarray
    truth: dict[str, np.ndarray]
    prf: dict[str, np.ndarray]


def truth_path(folder: Path) -> Path:
    """The file of truths that belongs to a simulated tree: beside it, never inside."""
    return folder.with_name(f"{folder.name}.ground_truth.npz")


def simulate_nsd(folder: Path, *, settings: SimulatedNSD | None = None, seed: int = 0) -> Path:
    """Write a simulated data set; the folder appears only when it is whole.

    A trial's response is mean + sd (ncsnr s + e) / sqrt(1 + ncsnr^2) with s the voxel's standardised signal of the
    image and e standard normal, times the session's gain, plus its offset; stored as int16 of percent x 300. V1 follows
    the layer `V1` of `truth_model`, V2 and V3 `V2`, hV4 `hV4`, the ventral stream (and FFA-1) `ventral`; PPA is
    reliable but arbitrary, VWFA-1 is noise. One voxel in a hundred was not measured in its subject's last session, and
    one voxel of V1 never.

    Parameters
    ----------
    folder : must not exist yet, or be empty
    settings : sizes; a few seconds' worth when not given
    seed : of everything random

    Returns
    -------
    Path
        `folder`. The truth lies beside it, at `truth_path(folder)`: per subject `subjNN_voxels` (voxel, 3),
        `subjNN_ncsnr` (voxel,), `subjNN_signal` (image, voxel), `subjNN_nsd_id` (image,), `subjNN_territory` (voxel,).

    Raises
    ------
    DataError
        The folder exists and is not empty.
    """
    settings = settings or SimulatedNSD()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not empty; name a new folder")
    with partial_folder(folder) as making:
        truths: dict[str, Any] = {**_write_tree(making / "tree", settings, seed=seed)}
        with (making / "truth.npz").open("wb") as file:
            np.savez_compressed(file, **truths)
        (making / "truth.npz").replace(truth_path(folder))
        (making / "tree").replace(folder)
    return folder


def _write_tree(root: Path, settings: SimulatedNSD, *, seed: int) -> dict[str, np.ndarray]:
    root.mkdir()
    tree = Tree(root, settings.layout)
    design = make_design(settings, seed=seed)
    for path in (tree.design, tree.stimuli):
        path.parent.mkdir(parents=True)
    write_expdesign(tree.design, design, settings)
    write_stim_info(tree.stim_info, design)
    subjects = range(1, len(settings.sessions) + 1)
    seen = np.unique(design.images[: len(subjects)])
    images = {int(nsd_id): picture(nsd_id, size=settings.image_size, seed=seed) for nsd_id in seen}
    _write_images(tree.stimuli, images, size=settings.image_size)
    maps = features(images.__getitem__, seen, seed=seed)
    truths: dict[str, np.ndarray] = {"seed": np.array(seed)}
    for subject in subjects:
        rows = np.searchsorted(seen, design.images[subject - 1])
        made = make_subject(
            settings, design, subject=subject, features={name: each[rows] for name, each in maps.items()}, seed=seed
        )
        _write_subject(tree, design, settings, subject=subject, made=made)
        truths |= {f"subj{subject:02d}_{name}": array for name, array in made.truth.items()}
    (root / LAYOUT_FILE).write_text(settings.layout.text())
    return truths


def _write_images(path: Path, images: dict[int, np.ndarray], *, size: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        # sparse: a chunk that is never written takes no room
        rows = file.create_dataset(DATASET, (N_IMAGES, size, size, 3), np.uint8, chunks=(1, size, size, 3))
        for nsd_id, image in images.items():
            rows[nsd_id] = image


def make_subject(
    settings: SimulatedNSD, design: Design, *, subject: int, features: dict[str, np.ndarray], seed: int
) -> Subject:
    """Simulate one subject; `features` are those of the images of its list, in that order."""
    rng = seeds.generator(seed, "brain", subject)
    place = brain.anatomy(settings.volume(subject))
    x, y, size = brain.receptive_fields(place, rng)
    signal = brain.signals(place, brain.Drive(features, x, y, size, rng))
    snr = np.where(signal.any(axis=0), rng.uniform(*settings.ncsnr, signal.shape[1]), 0.0)
    in_territory = place.territory[place.brain] >= 0
    whole_signal = np.zeros((len(signal), in_territory.size))
    whole_signal[:, in_territory] = signal * snr / np.sqrt(1 + snr**2)
    noise_share = np.ones(in_territory.size)
    noise_share[in_territory] = 1 / np.sqrt(1 + snr**2)
    n_trials = settings.sessions[subject - 1] * sum(settings.trials_per_run)
    order = design.order[:n_trials]
    response = whole_signal[order] + noise_share * rng.standard_normal((n_trials, in_territory.size))
    betas = np.zeros((n_trials, *place.brain.shape), dtype=np.int16)
    betas[:, place.brain] = _stored(response, settings, n_sessions=settings.sessions[subject - 1], rng=rng)
    _invalidate(betas, place, n_last=sum(settings.trials_per_run), rng=rng)
    voxels = np.argwhere(place.territory >= 0)
    truth = {
        "voxels": voxels,
        "ncsnr": snr,
        "signal": signal.astype(np.float32),
        "nsd_id": design.images[subject - 1],
        "territory": place.territory[tuple(voxels.T)],
    }
    return Subject(place, betas, truth, _prf_maps(place, x, y, size))


def _stored(response: np.ndarray, settings: SimulatedNSD, *, n_sessions: int, rng: np.random.Generator) -> np.ndarray:
    """Percent signal change with each session's gain and offset, as rounded and saturated int16."""
    n_voxels = response.shape[1]
    gain = 1 + settings.drift * rng.standard_normal((n_sessions, 1))
    offset = settings.drift * rng.standard_normal((n_sessions, n_voxels))
    scale = settings.scale * rng.uniform(0.7, 1.3, n_voxels)
    mean = settings.offset * rng.uniform(0.5, 1.5, n_voxels)
    blocks = np.split(response, n_sessions)
    percent = np.concatenate([mean + scale * (g * block + o) for g, o, block in zip(gain, offset, blocks, strict=True)])
    return np.clip(np.round(percent * PER_PERCENT), -LARGEST, LARGEST).astype(np.int16)


def _invalidate(betas: np.ndarray, place: brain.Anatomy, *, n_last: int, rng: np.random.Generator) -> None:
    inside = np.argwhere(place.brain)
    some = inside[rng.random(len(inside)) < INVALID_SHARE]
    betas[(slice(-n_last, None), *some.T)] = 0
    never = np.argwhere(place.territory == 0)[-1]
    betas[(slice(None), *never)] = 0


def _prf_maps(place: brain.Anatomy, x: np.ndarray, y: np.ndarray, size: np.ndarray) -> dict[str, np.ndarray]:
    """Published conventions: angle counter-clockwise from the right meridian, all in degrees, R2 in percent."""
    index = place.territory[place.territory >= 0]
    retinotopic = np.array([brain.PRF_FAMILY in brain.TERRITORIES[number].labels for number in index])
    values = {
        "prf_angle": np.degrees(np.arctan2(y, x)) % 360,
        "prf_eccentricity": np.hypot(x, y),
        "prf_size": size,
        "prf_R2": np.full(len(x), 50.0),
    }
    maps = {}
    for name, column in values.items():
        maps[name] = np.full(place.brain.shape, np.nan, dtype=np.float32)
        maps[name][place.territory >= 0] = np.where(retinotopic, column, np.nan)
    return maps


def _write_subject(tree: Tree, design: Design, settings: SimulatedNSD, *, subject: int, made: Subject) -> None:
    behaviour = tree.behaviour(subject)
    behaviour.parent.mkdir(parents=True)
    write_behaviour(behaviour, design, settings, subject=subject)
    _write_regions(tree, subject=subject, made=made)
    folder = tree.betas_folder(subject, BETA)
    folder.mkdir(parents=True)
    per_session = sum(settings.trials_per_run)
    sessions = np.split(made.betas, settings.sessions[subject - 1])
    for session, block in enumerate(sessions, start=1):
        path = partial(tree.betas, subject, BETA, session=session)
        _write_hdf5(path(source="hdf5"), block)
        _write_nii(path(source="nii"), block.transpose(1, 2, 3, 0), seconds=STIMULUS_SECONDS)
    flat = [z_score(block.reshape(per_session, -1)) for block in sessions]
    shown = design.images[subject - 1, design.order[: len(made.betas)]]
    snr = ceiling.ncsnr(np.concatenate(flat), shown)
    _write_nii(tree.ncsnr(subject, BETA), snr.reshape(made.place.brain.shape).astype(np.float32))


def _write_regions(tree: Tree, *, subject: int, made: Subject) -> None:
    place, folder = made.place, tree.volumes(subject)
    (folder / "roi").mkdir(parents=True)
    tree.ctab(subject, "any").parent.mkdir(parents=True)
    _write_nii(folder / "brainmask.nii.gz", place.brain.astype(np.int16))
    for name, volume in made.prf.items():
        _write_nii(folder / f"{name}.nii.gz", volume)
    for family, names in brain.FAMILIES.items():
        both = brain.label_volume(place, family, made.prf["prf_eccentricity"])
        _write_nii(tree.roi(subject, family), both)
        for side, hemisphere in enumerate(("lh", "rh")):
            one = np.where(place.hemisphere == side, both, np.int16(-1))
            _write_nii(tree.roi(subject, family, hemisphere=hemisphere), one)
        lines = ["0 Unknown  ", *(f"{number} {name} \t" for number, name in names.items())]
        tree.ctab(subject, family).write_text("\n".join(lines) + "\n")


def _write_hdf5(path: Path, block: np.ndarray) -> None:
    """(trial, X, Y, Z) as MATLAB's X x Y x Z x trial: h5py's (trial, Z, Y, X), a chunk per voxel."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=block.transpose(0, 3, 2, 1), chunks=(len(block), 1, 1, 1))


def _write_nii(path: Path, volume: np.ndarray, *, seconds: float | None = None) -> None:
    """(X, Y, Z) or (X, Y, Z, trial), LPI, the world's origin at the centre of the slab."""
    import nibabel

    affine = np.diag([VOXEL_MM] * 3 + [1.0])
    affine[:3, 3] = -VOXEL_MM * ((1 + np.array(volume.shape[:3])) / 2 - 1)
    image: Any = nibabel.Nifti1Image(np.ascontiguousarray(volume), affine)
    image.header.set_xyzt_units("mm", "sec")
    if seconds is not None:
        image.header.set_zooms((VOXEL_MM,) * 3 + (seconds,))
    nibabel.save(image, path)
