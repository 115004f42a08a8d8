"""RDMs of which some pairs were not measured: scored on the others, or refused before anything is recorded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import compare as toolbox_compare
from scipy import stats
from scipy.spatial.distance import squareform

from alignment.errors import DataError, RequestError
from alignment.rsa import COMPARATORS, Comparison, RDMs
from benchmarks.choices import Inference
from benchmarks.contracts import Part
from benchmarks.datasets.given_rdms import rdm_dataset
from benchmarks.recordings import Recording
from benchmarks.similarity import ByRDM, Similarity
from benchmarks.similarity.judged import Fold, Group, fold_counts
from benchmarks.similarity.references import Reference

BENCH = Path(sys.executable).parent / "bench"
COUNT = 20
ROWS, COLUMNS = np.triu_indices(COUNT, k=1)
IMAGES = {
    f"image{i:02}": image
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8))
}
NAMES = tuple(IMAGES)
# two pairs, and all pairs of the first three with the last two
MISSING = ((ROWS == 0) & (COLUMNS == 1)) | ((ROWS == 7) & (COLUMNS == 9)) | ((ROWS < 3) & (COLUMNS >= COUNT - 2))


def vectors(n_subjects: int, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Of a model, whole, and of subjects who share its geometry, with NaN."""
    random = np.random.default_rng(seed)
    model = random.random((1, len(ROWS)))
    subjects = model + 0.5 * random.random((n_subjects, len(ROWS)))
    subjects[:, MISSING] = np.nan
    return model, subjects


def benchmark(
    rdms: np.ndarray, comparison: Comparison, *, n_bootstrap: int = 20, count: int = COUNT, **changes
) -> Similarity:
    images = {name: IMAGES[name] for name in NAMES[:count]}
    data = rdm_dataset("given", images, rdms=RDMs(rdms, NAMES[:count]))
    inference = Inference(n_bootstrap=n_bootstrap, **changes)
    return Similarity("given", data, strategy=ByRDM(comparison=comparison), recording=Recording(), inference=inference)


def scored(bench: Similarity, model: np.ndarray):
    reference = Reference("whole", RDMs(model, NAMES))
    return bench.score({part: bench.measure(reference, part, None) for part in bench.parts(reference)})  # type: ignore[arg-type]


TOOLBOX = {
    "pearson": "corr",
    "spearman": "spearman",
    "kendall-tau-a": "tau-a",
    "rho-a": "rho-a",
    "cosine": "cosine",
    "whitened-cosine": "cosine_cov",
    "whitened-pearson": "corr_cov",
}


@pytest.mark.parametrize("comparator", COMPARATORS)
def test_every_comparator_judges_on_the_measured_pairs(comparator: str) -> None:
    model, subjects = vectors(3)
    bench = benchmark(subjects, Comparison(comparator))
    bench.check()
    found = scored(bench, model)
    masked = np.where(MISSING, np.nan, model)
    expected = toolbox_compare(ToolboxRDMs(masked), ToolboxRDMs(subjects), method=TOOLBOX[comparator])
    np.testing.assert_allclose(found.raw.values, expected[0], atol=1e-6)
    lower, raw, upper = found.score.lower, found.score.raw, found.score.ceiling
    assert raw.low < raw.value < raw.high
    assert lower.low < lower.value < lower.high
    assert lower.value < upper.value
    assert found.raw.resampled.shape == (3, 20)


def test_resamples_jackknife_and_bounds_are_those_of_the_measured_pairs_written_out() -> None:
    model, subjects = vectors(3, seed=2)
    bench = benchmark(subjects, Comparison("spearman"))
    bench.check()
    found = scored(bench, model)
    ((counts,),) = bench._drawn()
    kept = ~MISSING

    def similarity(a: np.ndarray, b: np.ndarray, times: np.ndarray) -> float:
        weights = np.where(kept, times[ROWS] * times[COLUMNS], 0)
        return stats.spearmanr(np.repeat(a, weights), np.repeat(b, weights)).statistic

    for subject, own in enumerate(subjects):
        expected = [similarity(model[0], own, times) for times in counts]
        np.testing.assert_allclose(found.raw.resampled[subject], expected, atol=1e-9)
    left_out = np.array(
        [[similarity(model[0], own, 1 - np.eye(COUNT, dtype=int)[i]) for i in range(COUNT)] for own in subjects]
    )
    deviations = np.sqrt((COUNT - 1) / COUNT) * (left_out - left_out.mean(1, keepdims=True))
    np.testing.assert_allclose(found.raw.deviations, deviations, atol=1e-9)
    ranks = stats.rankdata(subjects[:, kept], axis=1)
    upper = [stats.spearmanr(ranks.mean(0), own).statistic for own in ranks]
    lower = [stats.spearmanr(np.delete(ranks, row, axis=0).mean(0), own).statistic for row, own in enumerate(ranks)]
    assert found.score.ceiling.value == pytest.approx(np.mean(upper), abs=1e-9)
    assert found.score.lower.value == pytest.approx(np.mean(lower), abs=1e-9)


def test_what_a_model_says_of_other_pairs_does_not_matter() -> None:
    model, subjects = vectors(2)
    other = np.where(MISSING, 1000.0, model)
    for comparison in (Comparison("pearson"), Comparison("whitened-cosine")):
        bench = benchmark(subjects, comparison)
        assert scored(bench, model).score == scored(bench, other).score
    unmeasured = RDMs(np.where(MISSING, np.nan, model), NAMES)
    assert scored(bench, unmeasured.dissimilarities).score == scored(bench, model).score


def test_layers_are_chosen_and_put_together_without_these_pairs() -> None:
    """Several layers: blocks of pairs from the best layer of each, some pairs missing in all."""
    model, subjects = vectors(2, seed=3)
    random = np.random.default_rng(4)
    layers = {"true": model, "noise": random.random(model.shape), "half": model + random.random(model.shape)}
    bench = benchmark(subjects, Comparison("spearman"))
    measured = {
        Part("all", name): xr.Dataset({"summary_0_0": (("time_bin", "entry"), rows)}, coords={"time_bin": [0.0]})
        for name, rows in layers.items()
    }
    found = bench.score(measured)
    assert found.layer == "true"
    kept = ~MISSING
    expected = {
        name: np.mean([stats.spearmanr(rows[0, kept], own[kept]).statistic for own in subjects])
        for name, rows in layers.items()
    }
    assert {row["layer"]: row["raw"] for row in found.surface} == pytest.approx(expected, abs=1e-9)
    null = bench.shuffled()
    assert not np.array_equal(null.brain.measured, bench.brain.measured)
    assert abs(null.score(measured).score.raw.value) < 0.4


@pytest.mark.parametrize("count", [3, 4, 14])
def test_so_few_stimuli_that_no_layer_can_be_chosen_are_refused_for_every_model(count: int) -> None:
    random = np.random.default_rng(0)
    bench = benchmark(random.random((2, count * (count - 1) // 2)), Comparison(), count=count)
    with pytest.raises(DataError, match=rf"^given: {count} stimuli are too few for 5 folds; at least 15 are needed$"):
        bench.check()


def test_fifteen_are_enough_for_several_layers() -> None:
    random = np.random.default_rng(0)
    bench = benchmark(random.random((2, 105)), Comparison(), count=15)
    bench.check()
    entries = {
        name: xr.Dataset({"summary_0_0": (("time_bin", "entry"), random.random((1, 105)))}, coords={"time_bin": [0.0]})
        for name in ("a", "b")
    }
    found = bench.score({Part("all", name): each for name, each in entries.items()})
    assert np.isfinite(found.score.raw.value)


def test_one_subject_is_not_resampled() -> None:
    with pytest.raises(RequestError, match=r"^given: benchmark.subjects=resampled: one subject cannot be resampled"):
        benchmark(vectors(1)[1], Comparison(), subjects="resampled").check()


def test_two_subjects_are_not_resampled_where_they_bound_each_other() -> None:
    with pytest.raises(RequestError, match=r"^given: benchmark.subjects=resampled: without one of two subjects"):
        benchmark(vectors(2)[1], Comparison(), subjects="resampled").check()
    model, subjects = vectors(3)
    bench = benchmark(subjects, Comparison(), subjects="resampled")
    bench.check()
    assert scored(bench, model).score.subjects_resampled


def test_a_stimulus_of_which_no_pair_was_measured_is_refused() -> None:
    _, subjects = vectors(2)
    subjects[:, (ROWS == 4) | (COLUMNS == 4)] = np.nan
    with pytest.raises(DataError, match=r"^given: no pair with 'image04' was measured \(1 such\); leave"):
        benchmark(subjects, Comparison()).check()


def test_pairs_too_sparse_to_choose_a_layer_on_are_refused() -> None:
    subjects = np.random.default_rng(1).random((2, len(ROWS)))
    # each stimulus was measured with one other
    subjects[:, ~((COLUMNS == ROWS + 1) & (ROWS % 2 == 0))] = np.nan
    with pytest.raises(DataError, match=r"^given: fewer than 3 measured pairs are left to choose a layer on"):
        benchmark(subjects, Comparison()).check()


def test_resamples_hold_three_measured_pairs_at_least() -> None:
    names = tuple("abcdefgh")
    fold = Fold("all", (Group((0,), names),))
    measured = np.zeros(28, bool)
    measured[:4] = True
    square = squareform(measured)
    ((drawn,),) = fold_counts([fold], name="few", n_resamples=400, seed=0, least_stimuli=1, measured=measured)
    ((whole,),) = fold_counts([fold], name="few", n_resamples=400, seed=0, least_stimuli=1)

    def pairs(counts: np.ndarray) -> int:
        there = np.flatnonzero(counts)
        return int(sum(square[a, b] for a in there for b in there if a < b))

    enough = np.array([pairs(counts) >= 3 for counts in whole])
    assert 0.1 < enough.mean() < 0.9
    np.testing.assert_array_equal(drawn[enough], whole[enough])
    assert min(map(pairs, drawn)) == 3


def test_from_the_folder_to_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    for name, image in IMAGES.items():
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
    pixels = np.stack([image.reshape(-1) for image in IMAGES.values()]).astype(float)
    distances = 1 - np.corrcoef(pixels)
    noise = 0.1 * np.random.default_rng(5).random((2, COUNT, COUNT))
    squares = distances + noise + noise.transpose(0, 2, 1)
    squares[:, 0, 1] = squares[:, 1, 0] = np.nan
    np.save(folder / "rdms.npy", squares)
    words = ("run", "model=pixels", "benchmark=folder", f"data.folder={folder}", "n_bootstrap=100", "nulls=shuffled")
    done = subprocess.run([str(BENCH), *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scores computed" in done.stdout
    np.save(folder / "rdms.npy", squares[:, :14, :14])
    (folder / "stimuli.csv").write_text("stimulus\n" + "\n".join(NAMES[:14]) + "\n")
    few = subprocess.run(
        [str(BENCH), *words, "results=nowhere"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert few.returncode == 3, few.stdout + few.stderr
    assert "at least 15 are needed" in few.stderr
    assert len(few.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "nowhere").rglob("*.nc"))
