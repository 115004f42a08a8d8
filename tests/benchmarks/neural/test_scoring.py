import numpy as np
import pytest
import xarray as xr

from alignment.errors import DataError
from alignment.resampling import stimulus_counts
from benchmarks.contracts import Part
from benchmarks.datasets.base import Split
from benchmarks.neural.predicting import Predicting
from benchmarks.neural.regressions import Ridge
from benchmarks.neural.scoring import Cell, choose, evaluated, pick, resample_counts, resampled_medians_of, surface

IDS = [f"s{i}" for i in range(12)]
SPLITS = (Split("a", tuple(IDS[6:]), tuple(IDS[5::-1])), Split("b", tuple(IDS[:6]), tuple(IDS[6:])))


def measured(cv_score: np.ndarray, seed: int) -> xr.Dataset:
    """(fold, time_bin, neuroid) scores; predictions are random."""
    rng = np.random.default_rng(seed)
    n_neuroids = cv_score.shape[2]
    return xr.Dataset(
        {
            "cv_score": (("fold", "time_bin", "neuroid"), cv_score),
            "r": (("fold", "time_bin", "neuroid"), rng.normal(size=cv_score.shape)),
            "predicted": (("time_bin", "stimulus", "neuroid"), rng.normal(size=(cv_score.shape[1], 12, n_neuroids))),
            "held_out_in": (("stimulus",), [0] * 6 + [1] * 6),
        },
        coords={"time_bin": np.arange(cv_score.shape[1], dtype=float), "stimulus": IDS, "fold": ["a", "b"]},
    )


def test_each_fold_chooses_by_its_own_training_score():
    first = measured(np.array([[[0.1, 0.1, 0.1]], [[0.5, 0.5, 0.5]]]), 0)
    second = measured(np.array([[[0.2, 0.2, 0.2], [0.3, 0.3, 0.3]], [[0.4, 0.4, 0.4], [0.1, 0.1, 0.1]]]), 1)
    parts = {Part("m", "x"): first, Part("m", "y"): second}
    assert choose(parts, "m") == [Cell("y", 1.0), Cell("x", 0.0)]


def test_a_neuroid_without_a_score_does_not_decide():
    """A neuroid that is constant in a fold's training stimuli has a score of NaN there, in every layer."""
    worse, better = np.array([[[0.1, np.nan, 0.1]], [[0.1, 0.1, 0.1]]]), np.array([[[0.2, np.nan, 0.2]], [[0.2] * 3]])
    parts = {Part("m", "worse"): measured(worse, 0), Part("m", "better"): measured(better, 1)}
    assert choose(parts, "m") == [Cell("better", 0.0)] * 2


def test_predictions_and_responses_are_of_the_same_stimuli_whatever_the_order_of_a_split():
    responses = xr.DataArray(
        np.arange(36.0).reshape(12, 3), dims=("stimulus", "neuroid"), coords={"stimulus": IDS}, attrs={"dropped": []}
    )
    judged = evaluated(responses, SPLITS)
    data = measured(np.ones((2, 1, 3)), 0).assign(
        predicted=(("time_bin", "stimulus", "neuroid"), responses.values[None])
    )
    picked = pick({Part("m", "x"): data}, "m", [Cell("x", 0.0)] * 2)
    for of_fold, observed in zip(picked, judged.observed, strict=True):
        np.testing.assert_array_equal(of_fold["predicted"].values, observed)
    assert judged.ids[0] == tuple(IDS[:6])


def test_subjects_share_the_resamples_of_shared_stimuli():
    def seen(ids):
        values = np.zeros((len(ids), 2))
        array = xr.DataArray(values, dims=("stimulus", "neuroid"), coords={"stimulus": ids}, attrs={"dropped": []})
        return evaluated(array, (Split("test", (), tuple(ids)),))

    counts = resample_counts({"one": seen(IDS[:8]), "two": seen(IDS[4:])}, name="d", n_resamples=50, seed=0)
    np.testing.assert_array_equal(counts["one"][0][:, 4:8], counts["two"][0][:, :4])
    whole = stimulus_counts(12, "d", "test", n_resamples=50, seed=0)
    np.testing.assert_array_equal(counts["one"][0], whole[:, :8])


def test_the_surface_has_every_layer_and_time_bin_with_an_interval_around_it():
    rng = np.random.default_rng(0)
    responses = xr.DataArray(
        rng.normal(size=(12, 3)), dims=("stimulus", "neuroid"), coords={"stimulus": IDS}, attrs={"dropped": []}
    )
    subjects = {"m": evaluated(responses, SPLITS)}
    counts = resample_counts(subjects, name="d", n_resamples=100, seed=0)
    data = measured(np.ones((2, 2, 3)), 0)
    rows = surface({Part("m", "x"): data}, subjects, outcome=Predicting(Ridge()).outcome, counts=counts)
    assert [(row["layer"], row["time_bin"]) for row in rows] == [("x", 0.0), ("x", 1.0)]
    for number, row in enumerate(rows):
        assert row["raw"] == pytest.approx(float(np.median(data["r"].values[:, number].mean(0))))
        assert row["raw_low"] < row["raw"] < row["raw_high"]


def judged_on(ids):
    values = np.zeros((len(ids), 2))
    array = xr.DataArray(values, dims=("stimulus", "neuroid"), coords={"stimulus": ids}, attrs={"dropped": []})
    return evaluated(array, (Split("test", (), tuple(ids)),))


def test_a_resample_leaves_every_subject_and_ceiling_something_to_correlate():
    """Few stimuli of many: most draws would leave some subject, or the repeated stimuli, with next to nothing."""
    ids = [f"s{i:03}" for i in range(60)]
    subjects = {f"p{k}": judged_on(ids[6 * k : 6 * k + 6]) for k in range(10)}
    counts = resample_counts(subjects, name="d", n_resamples=200, seed=0, repeated={"p3": ids[18:22]})
    for subject, (drawn,) in counts.items():
        assert ((drawn > 0).sum(axis=1) >= 2).all(), subject
    assert ((counts["p3"][0][:, :4] > 0).sum(axis=1) >= 3).all()
    assert np.concatenate([drawn[0] for drawn in counts.values()], axis=1).sum(axis=1).tolist() == [60] * 200


def test_too_few_stimuli_to_resample_are_refused():
    with pytest.raises(DataError, match="too few test stimuli"):
        resample_counts({"a": judged_on(["x", "y"])}, name="d", n_resamples=50, seed=0, repeated={"a": ["x", "y"]})


def test_medians_over_folds_do_not_hang_on_how_many_resamples_are_made_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(6, 5)) for _ in range(2)]
    counts = [rng.multinomial(6, np.full(6, 1 / 6), size=11) for _ in range(2)]
    folds = [lambda drawn, each=each: drawn @ each for each in values]
    expected = np.median((counts[0] @ values[0] + counts[1] @ values[1]) / 2, axis=1)
    np.testing.assert_allclose(resampled_medians_of(folds, counts, n_columns=5), expected)
    monkeypatch.setattr("benchmarks.neural.scoring.VALUES_AT_ONCE", 20)
    np.testing.assert_allclose(resampled_medians_of(folds, counts, n_columns=5), expected)
