"""How images, responses and labels are divided: nothing that judges is ever seen by what tunes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from alignment.errors import RequestError
from alignment.models import TorchModel
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.datasets.presented import presented
from benchmarks.tuning.choices import Choices
from benchmarks.tuning.material import Sources, identity, retargeted

N, NEUROIDS = 60, 9


def responses(seed: int = 0, *, repeated: int = 1) -> DataSet:
    rng = np.random.default_rng(seed)
    images = {f"i{place:02d}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for place in range(N)}
    stimulus = [name for name in images for _ in range(repeated)]
    signal = np.repeat(rng.normal(size=(N, NEUROIDS)), repeated, axis=0)
    values = 5 + 3 * (signal + rng.normal(0, 0.5, size=signal.shape))
    return presented("mine", images, responses=values, stimulus=stimulus)


def task(n: int = 24) -> LabelledImages:
    rng = np.random.default_rng(1)
    images = {f"t{place:02d}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for place in range(n)}
    return labelled("task", images, ["x", "y", "z"] * (n // 3))


def choices(**changes: object) -> Choices:
    return Choices.model_validate({"data": "mine", "task": "task", "layers": "1", **changes})


@pytest.fixture
def model() -> TorchModel:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return TorchModel(net, name="net", image_size=(8, 8), layers=["1"], classes=("x", "y", "z"))


def test_stimuli_that_tune_choose_and_judge_are_apart_and_all_there():
    sources = Sources(responses(), task(), choices())
    given, (split,) = sources.responses("subject1"), sources.fitted.splits("subject1")
    assert set(given.train) | set(given.validation) == set(split.train)
    assert not set(given.train) & set(given.validation)
    assert not (set(given.train) | set(given.validation)) & set(split.test)
    assert len(given.validation) == round(0.2 * len(split.train))
    other = Sources(responses(), task(), choices(split="fold3"))
    assert other.split == "fold3" and set(other.fitted.splits("subject1")[0].test) != set(split.test)


def test_responses_to_test_images_and_held_out_neuroids_change_nothing(model: TorchModel):
    class Poisoned:
        """The same data with what judges replaced by nonsense."""

        def __init__(self, data: DataSet, *, test: Sequence[str], neuroids: np.ndarray) -> None:
            self.data, self.test, self.neuroids = data, list(test), neuroids

        def __getattr__(self, name: str) -> object:
            return getattr(self.data, name)

        def responses(self, subject: str) -> xr.DataArray:
            changed = self.data.responses(subject).copy()
            changed.loc[{"stimulus": self.test}] = np.nan
            changed[{"neuroid": np.flatnonzero(self.neuroids)}] = np.nan
            return changed

    clean = Sources(responses(), task(), choices(held_out_neuroids=1 / 3))
    assert clean.held_out_neuroids is not None and clean.held_out_neuroids.kept is not None
    held_out = clean.held_out_neuroids.kept["subject1"]
    poisoned = Poisoned(responses(), test=clean.fitted.splits("subject1")[0].test, neuroids=held_out)
    again = Sources(poisoned, clean.task, clean.choices)  # type: ignore[arg-type]
    assert np.isnan(poisoned.responses("subject1").values).any()
    np.testing.assert_array_equal(again.responses("subject1").y, clean.responses("subject1").y)
    assert identity(again.material(model)) == identity(clean.material(model))


def test_neuroids_are_fitted_or_held_out():
    sources = Sources(responses(), task(), choices(held_out_neuroids=1 / 3))
    assert sources.held_out_neuroids is not None
    assert sources.fitted.responses("subject1").sizes["neuroid"] == 6
    assert sources.held_out_neuroids.responses("subject1").sizes["neuroid"] == 3
    both = [part.responses("subject1").values[:, :, 0].T for part in (sources.fitted, sources.held_out_neuroids)]
    whole = responses().responses("subject1").values[:, :, 0].T
    assert {tuple(row) for row in np.concatenate(both)} == {tuple(row) for row in whole}
    assert sources.fitted.marks == ("split=fold0", "neuroids=fitted-0.333")


def test_responses_are_standardised_over_the_images_that_tune():
    given = Sources(responses(), task(), choices()).responses("subject1")
    tuned = given.y[: len(given.train)]
    np.testing.assert_allclose(tuned.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(tuned.std(0), 1, atol=1e-6)
    raw = responses().responses("subject1").isel(time_bin=0).sel(stimulus=list(given.validation)).values
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(raw.T, given.y[len(given.train) :].T, strict=True)]
    np.testing.assert_allclose(expected, 1, atol=1e-6)


def test_ceilings_are_those_of_the_images_that_tune():
    assert Sources(responses(), task(), choices()).responses("subject1").ceilings is None
    found = Sources(responses(repeated=4), task(), choices()).responses("subject1").ceilings
    # the signal has variance 1, the noise of a mean over 4 has 0.25 / 4
    assert found is not None
    assert np.median(found) == pytest.approx(np.sqrt(1 / (1 + 0.25 / 4)), abs=0.02)
    assumed = Sources(responses(), task(), choices(noise_ceiling=0.8)).responses("subject1").ceilings
    np.testing.assert_array_equal(assumed, np.full(NEUROIDS, 0.8))


@pytest.mark.parametrize("how", ["first", "spread"])
def test_the_tasks_images_are_halved(how: str):
    sources = Sources(responses(), task(), choices(task_split=how))
    chosen, judged = sources.task_validation, sources.task_test
    assert not set(chosen.stimuli.ids) & set(judged.stimuli.ids)
    assert {*chosen.stimuli.ids, *judged.stimuli.ids} == set(task().stimuli.ids)
    if how == "first":
        assert chosen.stimuli.ids == task().stimuli.ids[:12]
    else:
        assert np.bincount(chosen.targets()).tolist() == [4, 4, 4]
    assert chosen.marks != judged.marks


def test_material_is_what_was_divided(model: TorchModel):
    sources = Sources(responses(), task(), choices(noise_ceiling=0.5))
    material = sources.material(model)
    given = sources.responses("subject1")
    tuned = material.train["subject1"]
    assert tuned.pixels.shape == (len(given.train), 3, 8, 8) and 0 <= tuned.pixels.min() <= tuned.pixels.max() <= 1
    first = torch.from_numpy(sources.data.stimuli.image(given.train[0])).permute(2, 0, 1) / 255
    torch.testing.assert_close(tuned.pixels[0], first)
    assert material.task is None, "this task has no training images"
    assert tuned.weights is not None and float(tuned.weights.mean()) == pytest.approx(1)
    targets = {"subject1": np.zeros_like(given.y[: len(given.train)])}
    other = retargeted(material, targets)
    assert not other.train["subject1"].responses.any()
    assert other.validation["subject1"].responses is material.validation["subject1"].responses
    assert identity(other) != identity(material) == identity(sources.material(model))


def test_too_little_is_refused():
    with pytest.raises(RequestError, match="fewer than 3"):
        Sources(responses(), task(), choices(validation=0.99)).check()
    with pytest.raises(RequestError, match="cannot be halved"):
        Sources(responses(), task(3), choices()).check()


def test_digits_are_replayed(tmp_path: Path):
    from alignment.models import load_model
    from benchmarks.datasets.base import DataSettings
    from benchmarks.datasets.digits import build

    toy = load_model("toy", weights="none", cache=tmp_path)
    assert isinstance(toy, TorchModel)
    replayed = Sources(responses(), build(DataSettings(), None), choices(task="digits")).replayed(toy)
    assert replayed is not None and replayed.labels is not None
    assert replayed.pixels.shape == (1437, 3, 32, 32) and replayed.labels.shape == (1437,)
