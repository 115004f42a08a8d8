"""The published macaque V4 sessions, judged by what independent analyses of the same files found."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from alignment.correlation import pearson
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.cowley2023 import Cowley2023, sessions_at_hand

SHAPES = {"201025": (1200, 89, 1), "210325": (640, 50, 1)}
PIXELS = {"201025": (0.20, 0.27), "210325": (0.22, 0.28)}


@pytest.fixture(scope="module")
def settings(shared_data: Path) -> DataSettings:
    return DataSettings(root=shared_data)


def ridge(x: np.ndarray, y: np.ndarray) -> Ridge:
    """Ridge with one alpha per neuron, chosen on a quarter of the training stimuli."""
    alphas = np.logspace(-3, 3, 7) * np.square(x - x.mean(0)).sum() / len(x)
    fit, check = np.arange(len(x)) % 4 > 0, np.arange(len(x)) % 4 == 0
    errors = [np.square(Ridge(alpha).fit(x[fit], y[fit]).predict(x[check]) - y[check]).mean(0) for alpha in alphas]
    return Ridge(alphas[np.argmin(errors, axis=0)]).fit(x, y)


def held_out_r(dataset: Cowley2023, features: np.ndarray) -> float:
    """Median over neurons of r averaged over folds, ridge by scikit-learn."""
    responses = dataset.responses("PE")
    place = {stimulus: index for index, stimulus in enumerate(responses["stimulus"].values)}
    per_fold = []
    for split in dataset.splits("PE"):
        train, test = ([place[stimulus] for stimulus in part] for part in (split.train, split.test))
        fitted = ridge(features[train], responses.values[train, :, 0])
        per_fold.append(pearson(fitted.predict(features[test]), responses.values[test, :, 0]))
    return float(np.median(np.mean(per_fold, axis=0)))


@pytest.mark.parametrize("session", list(SHAPES))
def test_shapes(settings: DataSettings, session: str) -> None:
    assert session in sessions_at_hand(settings)
    dataset = Cowley2023(settings, session=session)
    assert dataset.responses("PE").shape == SHAPES[session]
    assert dataset.responses("PE").attrs["dropped"] == []
    assert dataset.stimuli.ids[0] == "image0001"
    assert dataset.stimuli.image(dataset.stimuli.ids[-1]).shape == (112, 112, 3)


@pytest.mark.parametrize("session", list(SHAPES))
def test_pixels_predict_a_little_and_shuffled_images_nothing(settings: DataSettings, session: str) -> None:
    dataset = Cowley2023(settings, session=session)
    images = np.stack([dataset.stimuli.image(stimulus) for stimulus in dataset.stimuli.ids])
    pixels = images.reshape(len(images), 8, 14, 8, 14, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    low, high = PIXELS[session]
    # products this small only wait for each other's threads
    with threadpool_limits(1):
        scores = held_out_r(dataset, pixels), held_out_r(dataset, np.random.default_rng(0).permutation(pixels))
    assert low <= scores[0] <= high
    assert abs(scores[1]) < 0.06


def test_split_half_and_ceiling(settings: DataSettings) -> None:
    ceiling = Cowley2023(settings, session="210325").ceiling("PE")
    assert ceiling is not None
    assert ceiling["split_half"].median().item() == pytest.approx(0.60, abs=0.03)
    assert ceiling["spearman_brown"].median().item() == pytest.approx(0.75, abs=0.03)
    assert ceiling["ceiling"].median().item() == pytest.approx(0.866, abs=0.02)
    assert ceiling["ceiling"].max().item() <= 1
    assert ceiling["p_value"].item() < 0.01


def test_repetitions(settings: DataSettings) -> None:
    repeated = Cowley2023(settings, session="210325").responses("PE")["repetitions"].values
    assert repeated.min() == 6
    assert repeated.max() == 10


def test_without_single_trials_there_is_no_ceiling(settings: DataSettings) -> None:
    assert Cowley2023(settings, session="201025").ceiling("PE") is None
