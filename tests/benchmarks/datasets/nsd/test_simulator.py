"""The simulated brain against its truth: reliability, the generating features, and the two classic mistakes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from alignment.errors import DataError, RequestError
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD, Layout, Tree, check_nsd, dataset
from benchmarks.datasets.nsd import betas as betas_module
from benchmarks.datasets.nsd.check import recompute_ncsnr
from benchmarks.datasets.nsd.design import Design, read_design
from benchmarks.datasets.nsd_simulator import (
    LARGE,
    SMOKE,
    SimulatedNSD,
    build_smoke,
    simulate_nsd,
    simulated_tree,
    truth_model,
    truth_path,
)
from benchmarks.datasets.nsd_simulator.images import picture
from benchmarks.datasets.nsd_simulator.truth import LAYERS

BETA = "betas_fithrf_GLMdenoise_RR"
Load = Callable[..., NSD]
TINY = SimulatedNSD(
    sessions=(2,), planned_sessions=2, trials_per_run=(20, 10), shared=8, own=12, dims=(8, 10, 9), image_size=32
)


@pytest.fixture(scope="module")
def activations(tree: Tree) -> Callable[[str, tuple[str, ...]], np.ndarray]:
    """(layer, stimulus ids) -> units of the generating network, from the rows of the images' file."""
    model, found = truth_model(seed=0), {}
    for name in LAYERS:
        model.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: found.setdefault(name, []).append(output.flatten(1))
        )
    seen = np.unique(read_design(tree.design, tree.layout).images[:2])
    rows = np.arange(seen[0] - 1, seen[-1] + 2)
    with h5py.File(tree.stimuli) as file, torch.no_grad():
        for part in np.array_split(rows, 10):
            pixels = torch.from_numpy(file["imgBrick"][part[0] : part[-1] + 1])
            model(pixels.permute(0, 3, 1, 2).float() / 255)
    units = {name: torch.cat(parts).numpy() for name, parts in found.items()}
    return lambda layer, ids: units[layer][[int(name[3:]) - rows[0] for name in ids]]


def _median_r(activations: Callable, data: NSD, subject: str, layer: str) -> float:
    responses, (split,) = data.responses(subject).isel(time_bin=0), data.splits(subject)
    x, y = activations(layer, split.train), responses.sel(stimulus=list(split.train)).values
    mean = x.mean(0)
    alphas = np.logspace(-6, 2, 17) * ((x - mean) ** 2).sum() / len(x)
    fit = RidgeCV(alphas=alphas, alpha_per_target=True).fit(x - mean, y)
    predicted = fit.predict(activations(layer, split.test) - mean)
    truth = responses.sel(stimulus=list(split.test)).values
    return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, truth.T, strict=True)]))


@pytest.mark.parametrize("roi", LAYERS)
def test_generating_features_reach_the_ceiling_at_their_layer_only(activations, load: Load, roi: str) -> None:
    data = load(roi)
    normalised = {
        layer: np.mean([_median_r(activations, data, subject, layer) for subject in data.subjects])
        / np.mean([float(data.ceiling(subject)["ceiling"].median()) for subject in data.subjects])
        for layer in LAYERS
    }
    assert 0.95 <= normalised[roi] <= 1.05
    assert max(normalised, key=normalised.get) == roi
    assert sorted(normalised.values())[-2] < 0.8


@pytest.mark.parametrize("roi", ["VWFA-1", "PPA"])
def test_null_voxels_score_nothing(activations, load: Load, roi: str) -> None:
    data = load(roi)
    for layer in LAYERS:
        scores = [_median_r(activations, data, subject, layer) for subject in data.subjects]
        assert abs(np.mean(scores)) < 0.1


def test_swapped_axes_lose_the_score(activations, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("V1", subjects="1")
    right = _median_r(activations, data, "subj01", "V1")
    honest = betas_module.read_hdf5

    def swapped(path: Path, voxels: np.ndarray) -> np.ndarray:
        x, y, z, _ = betas_module.shape_hdf5(path)
        return honest(path, np.minimum(voxels[:, ::-1], [x - 1, y - 1, z - 1]))

    monkeypatch.setitem(betas_module.READERS, "hdf5", betas_module.Reader(betas_module.shape_hdf5, swapped))
    place = DataSettings(folder=data.tree.root, cache=tmp_path / "swapped", options={"subjects": "1"})
    wrong = _median_r(activations, NSD(place, roi="V1"), "subj01", "V1")
    assert right > 0.7
    assert abs(wrong) < 0.15


@pytest.mark.parametrize("shift", [1, -1])
def test_ids_off_by_one_lose_the_score(activations, load: Load, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    honest = dataset.read_design

    def shifted(path: Path, layout: Layout) -> Design:
        design = honest(path, layout)
        return replace(design, images=design.images + shift)

    monkeypatch.setattr(dataset, "read_design", shifted)
    data = load("V1")
    assert len(data.splits("subj01")[0].train) == 360
    scores = [_median_r(activations, data, subject, "V1") for subject in data.subjects]
    assert abs(np.mean(scores)) < 0.15


@pytest.mark.parametrize(("subject", "sessions"), [(1, 6), (2, 5)])
def test_ncsnr_file_is_the_official_recipe_of_the_betas(tree: Tree, subject: int, sessions: int) -> None:
    """By loops over NumPy arrays, following the recipe's text."""
    published = np.asanyarray(nibabel.load(tree.ncsnr(subject, BETA)).dataobj)
    design = read_design(tree.design, tree.layout)
    shown = design.images[subject - 1][design.order[: sessions * 210]]
    voxels = np.argwhere(np.isfinite(published))[::9]
    scored = []
    for session in range(1, sessions + 1):
        volume = np.asanyarray(nibabel.load(tree.betas(subject, BETA, session=session, source="nii")).dataobj)
        block = volume[tuple(voxels.T)].T / 300
        with np.errstate(invalid="ignore"):
            scored.append((block - block.mean(0)) / block.std(0, ddof=1))
    trials = np.concatenate(scored)
    variances = [trials[shown == image].var(0, ddof=1) for image in np.unique(shown) if (shown == image).sum() == 3]
    noise = np.nanmean(variances, axis=0)
    expected = np.sqrt(np.maximum(0, 1 - noise)) / np.sqrt(noise)
    assert np.abs(published[tuple(voxels.T)] - expected).max() < 1e-5
    again = recompute_ncsnr(tree, design, subject, beta=BETA, source="hdf5", voxels=voxels)
    assert np.abs(again - expected).max() < 1e-5


@pytest.mark.parametrize("subject", [1, 2])
def test_estimated_ncsnr_tracks_the_truth(tree: Tree, truth: dict[str, np.ndarray], subject: int) -> None:
    published = np.asanyarray(nibabel.load(tree.ncsnr(subject, BETA)).dataobj)
    true, voxels = truth[f"subj{subject:02d}_ncsnr"], truth[f"subj{subject:02d}_voxels"]
    estimated = published[tuple(voxels.T)]
    strong = (true > 0.3) & np.isfinite(estimated)
    assert np.corrcoef(true[strong], estimated[strong])[0, 1] > 0.9
    assert abs(np.median(estimated[strong] / true[strong]) - 1) < 0.1
    assert np.median(estimated[(true == 0) & np.isfinite(estimated)]) < 0.25


def test_responses_follow_the_true_signal(load: Load, truth: dict[str, np.ndarray]) -> None:
    responses = load("V1").responses("subj01").isel(time_bin=0)
    rows = {tuple(voxel): at for at, voxel in enumerate(truth["subj01_voxels"])}
    columns = [rows[tuple(int(responses[axis][n]) for axis in "xyz")] for n in range(responses.sizes["neuroid"])]
    images = {f"nsd{i:05d}": at for at, i in enumerate(truth["subj01_nsd_id"])}
    signal = truth["subj01_signal"][[images[name] for name in responses["stimulus"].values]][:, columns]
    snr = truth["subj01_ncsnr"][columns]
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(responses.values.T, signal.T, strict=True)]
    assert np.allclose(r, np.sqrt(snr**2 / (snr**2 + 1 / 3)), atol=0.08)


def test_brain_mask_is_larger_than_regions_and_zero_outside(tree: Tree) -> None:
    mask = np.asanyarray(nibabel.load(tree.volumes(1) / "brainmask.nii.gz").dataobj) > 0
    region = np.asanyarray(nibabel.load(tree.roi(1, "nsdgeneral")).dataobj) > 0
    betas = np.asanyarray(nibabel.load(tree.betas(1, BETA, session=6, source="nii")).dataobj)
    assert (region <= mask).all() and region.sum() < mask.sum() < mask.size
    assert not betas[~mask].any()
    assert (~betas[mask].any(axis=1)).sum() > 1
    angle = np.asanyarray(nibabel.load(tree.volumes(1) / "prf_angle.nii.gz").dataobj)
    left = np.asanyarray(nibabel.load(tree.roi(1, "prf-visualrois", hemisphere="lh")).dataobj) > 0
    assert (np.cos(np.radians(angle[left])) > 0).all()


def test_subjects_have_volumes_of_their_own(tree: Tree) -> None:
    shapes = [nibabel.load(tree.roi(subject, "streams")).shape for subject in (1, 2)]
    assert shapes == [(10, 12, 8), (11, 13, 9)]


def test_same_seed_same_files_and_another_seed_others(tmp_path: Path) -> None:
    trees = [
        Tree.at(simulate_nsd(tmp_path / name, settings=TINY, seed=seed))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    read = [np.asanyarray(nibabel.load(tree.betas(1, BETA, session=1, source="nii")).dataobj) for tree in trees]
    assert np.array_equal(read[0], read[1])
    assert not np.array_equal(read[0], read[2])
    assert all(finding.ok for finding in check_nsd(tmp_path / "a"))
    assert truth_path(tmp_path / "a").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a", "a.ground_truth.npz", "b", "b.ground_truth.npz", "c", "c.ground_truth.npz")
    ]


def test_a_folder_in_use_is_left_alone_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(DataError, match="exists and is not empty"):
        simulate_nsd(tmp_path / "mine", settings=TINY)
    from benchmarks.datasets.nsd_simulator import writer

    def failing(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writer, "write_behaviour", failing)
    with pytest.raises(OSError, match="disk full"):
        simulate_nsd(tmp_path / "new", settings=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_simulation_on_demand_is_made_once(tmp_path: Path) -> None:
    folder = simulated_tree(tmp_path, settings=TINY)
    stamp = folder.stat().st_mtime_ns
    assert simulated_tree(tmp_path, settings=TINY) == folder
    assert folder.stat().st_mtime_ns == stamp
    assert simulated_tree(tmp_path, settings=replace(TINY, ncsnr=(0.1, 0.2))) != folder


@pytest.mark.parametrize(
    ("roi", "options", "message"),
    [
        ("nope", {}, r"unknown roi of nsd-smoke 'nope'; known: V1, V2"),
        ("FFA1", {}, "did you mean FFA-1"),
        ("V1", {"subject": "1"}, r"takes no data\.subject; did you mean subjects"),
        ("V1", {"subjects": "3"}, "nsd-smoke has subjects 1 to 2, not 3"),
        ("V1", {"sessions": "6"}, "sessions 1 to 5 of these subjects, not 6"),
        ("V1", {"beta": "b2"}, "nsd-smoke holds betas_fithrf_GLMdenoise_RR alone"),
    ],
)
def test_what_is_not_simulated_is_refused_before_anything_is_made(
    tmp_path: Path, roi: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        build_smoke(DataSettings(cache=tmp_path, options=options), roi)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_tree_is_used_where_one_is_named(root: Path, tmp_path: Path) -> None:
    data = build_smoke(DataSettings(folder=root, cache=tmp_path), "V4")
    assert data.name == "nsd-smoke.V4"
    assert data.subjects == ("subj01", "subj02")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"own": 100}, {"sessions": (9,)}, {"sessions": ()}, {"dims": (8, 8, 9)}, {"shared": 5, "own": 15.5}]
)
def test_sizes_that_do_not_fit_are_refused(change: dict) -> None:
    with pytest.raises(RequestError):
        replace(SMOKE, **change)


def test_presets_have_all_three_numbers_of_repetitions() -> None:
    for settings in (SMOKE, LARGE):
        assert min(settings.sessions) < settings.planned_sessions
        assert len({*settings.dims}) == 3


def test_pictures_depend_on_id_size_and_seed_only() -> None:
    first = picture(17, size=48, seed=0)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, picture(17, size=48, seed=0))
    assert not np.array_equal(first, picture(18, size=48, seed=0))
    grey = np.stack([picture(n, size=64, seed=0).mean(2) for n in range(60)])
    power = (np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2).mean(0)
    low, high = power[0, 1:4].mean() + power[1:4, 0].mean(), power[0, 16:24].mean() + power[16:24, 0].mean()
    assert low > 20 * high


def test_truth_layers_have_stated_shapes_and_any_image_size_will_do() -> None:
    model, shapes = truth_model(), {}
    for name in LAYERS:
        model.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: shapes.__setitem__(name, tuple(output.shape))
        )
    with torch.no_grad():
        flat = model(torch.rand(2, 3, 96, 96))
    assert shapes == {"V1": (2, 8, 4, 4), "V2": (2, 6, 4, 4), "hV4": (2, 6, 4, 4), "ventral": (2, 24, 2, 2)}
    assert flat.shape == (2, 128 + 96 + 96 + 96)
