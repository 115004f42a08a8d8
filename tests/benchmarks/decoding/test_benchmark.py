"""Decoding over layer x time_bin: it finds where a label is, and nothing where it is not."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import nn

from alignment.decoding import PUBLISHED, STANDARDISED, stratified_folds
from alignment.errors import DataError, RequestError
from alignment.models import TorchModel
from alignment.proportions import wilson
from benchmarks.choices import Inference
from benchmarks.datasets.labelled import LabelledImages, labelled
from benchmarks.decoding.benchmark import Decoding
from benchmarks.decoding.variables import PermutedLabels, variables_of
from benchmarks.recordings import Recording


def decoding(dataset, *, decoder=PUBLISHED, marks=()) -> Decoding:
    return Decoding(
        "late",
        dataset,
        decoder=decoder,
        recording=Recording(pool=None),
        inference=Inference(n_bootstrap=200),
        marks=marks,
    )


def test_it_finds_the_layer_and_the_time_bin_that_show_the_label(late, measured) -> None:
    benchmark = decoding(late.dataset)
    scored = benchmark.score(measured(benchmark, late.model))
    assert (scored.layer, scored.time_bin, scored.layer_share) == ("deep", 1.0, 1.0)
    assert scored.score.raw.value > 0.9
    assert scored.score.status == "ok" and scored.score.ceiling is None and scored.score.p_zero is None
    surface = {(row["layer"], row["time_bin"]): row["raw"] for row in scored.surface}
    assert len(surface) == 6 and surface["deep", 1.0] == scored.score.raw.value
    others = [value for cell, value in surface.items() if cell != ("deep", 1.0)]
    # one pixel that is alike for all labels, 90 images, folds that share training images
    assert max(others) < 1 / 3 + 4 * np.sqrt(2 / 9 / 90)
    assert scored.figures["chance"] == pytest.approx(1 / 3)
    assert scored.details["chosen"] == [{"layer": "deep", "time_bin": 1.0}] * 5


def test_numbers_are_those_of_scikit_learn_on_the_images_themselves(late, measured) -> None:
    benchmark, dataset = decoding(late.dataset), late.dataset
    scored = benchmark.score(measured(benchmark, late.model))
    x = dataset.stimuli.pixels(dataset.stimuli.ids).flatten(1).double().numpy()
    labels = dataset.targets()
    folds = stratified_folds(labels, dataset.stimuli.ids, n=5, name="late")
    right = np.empty(len(labels), bool)
    for fold in range(5):
        train, test = folds != fold, folds == fold
        machine = LinearSVC(dual=True, random_state=0).fit(x[train], labels[train])
        right[test] = machine.predict(x[test]) == labels[test]
        assert scored.by_split[f"fold {fold}"] == pytest.approx(right[test].mean())
    assert scored.score.raw == wilson(right, overlap=2.25)
    assert scored.raw.value == pytest.approx(right.mean())
    # n is divided by what folds share, so the interval is wider
    assert scored.score.raw.high - scored.score.raw.low > 1.3 * (wilson(right).high - wilson(right).low)


def test_permuted_labels_and_the_row_of_chance(late, measured) -> None:
    benchmark = decoding(late.dataset)
    control = benchmark.shuffled()
    scored = control.score(measured(control, late.model))
    assert scored.score.raw.value < 1 / 3 + 4 * np.sqrt(2 / 9 / 90)
    assert scored.raw.minus(benchmark.score(measured(benchmark, late.model)).raw).value < -0.4
    (reference,) = benchmark.references()
    assert benchmark.score(measured(benchmark, reference)).score.raw.value == pytest.approx(1 / 3)


def test_the_choice_looks_at_no_held_out_image(late, measured) -> None:
    """Where a cell is right on what a fold holds out and wrong in training, it is not chosen."""
    benchmark = decoding(late.dataset)
    parts = measured(benchmark, late.model)
    spoilt = {}
    for part, data in parts.items():
        correct = data["correct"].values.copy()
        correct[:] = part.layer == "shallow"
        spoilt[part] = data.assign(correct=(data["correct"].dims, correct))
    scored = benchmark.score(spoilt)
    assert scored.layer == "deep" and scored.score.raw.value == 0.0


def test_a_model_of_one_cell_has_nothing_to_choose(late, measured) -> None:
    model = TorchModel(nn.Sequential(nn.Flatten()), name="flat", image_size=(4, 4), layers=["0"])
    benchmark = decoding(late.dataset)
    parts = measured(benchmark, model)
    assert all(np.isnan(data["choice"]).all() for data in parts.values())
    assert benchmark.score(parts).score.raw.value > 0.9


class TwoSided(LabelledImages):
    """Images with two variables."""

    def variables(self) -> Mapping[str, np.ndarray]:
        return {"class": self.targets(), "odd": np.arange(len(self.stimuli)) % 2}


def test_of_several_variables_the_mean_counts(late, measured) -> None:
    dataset = TwoSided(late.dataset.name, late.dataset.stimuli, late.dataset.classes)
    benchmark = decoding(dataset)
    scored = benchmark.score(measured(benchmark, late.model))
    assert list(scored.details["variables"]) == ["class", "odd"]
    # nothing in the image says whether its number is odd
    assert scored.figures["class"] > 0.9 and 0.25 < scored.figures["odd"] < 0.75
    assert scored.score.raw.value == pytest.approx(np.mean([scored.figures["class"], scored.figures["odd"]]))
    assert scored.figures["chance"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    dealt = variables_of(PermutedLabels(dataset))
    assert dealt.names == ("class", "odd")
    # all of an image is dealt together
    pairs, before = (sorted(map(tuple, each.labels.tolist())) for each in (dealt, variables_of(dataset)))
    assert pairs == before and (dealt.labels != variables_of(dataset).labels).any()


def test_the_id_and_the_key_say_what_enters_the_number(late, session) -> None:
    plain, scaled = decoding(late.dataset), decoding(late.dataset, decoder=STANDARDISED, marks=("seed=1",))
    assert plain.id == "late-svm-maps"
    assert scaled.id == "late-svm-floored_sd-maps[seed=1]"
    kinds = [plain, scaled, plain.shuffled(), decoding(late.dataset, decoder=replace(PUBLISHED, c=2.0))]
    assert len({each.fit_fingerprint(session.digests) for each in kinds}) == 4
    assert set(plain.describe()) >= {"measure", "formula", "layer", "chance", "source", "known failure", "data: images"}


def test_what_cannot_be_read_is_refused_in_one_line(late) -> None:
    images = {f"i{n}": np.full((4, 4, 3), n, np.uint8) for n in range(12)}
    alike = labelled("alike", images, ["a"] * 12, classes=("a", "b"))
    with pytest.raises(DataError, match=r"^late: every image has the same class; give images of two or more$"):
        decoding(alike).check()
    rare = labelled("rare", images, ["a"] * 10 + ["b"] * 2)
    with pytest.raises(DataError, match=r"^late: class 'b' has 2 images; a read-out over 5 folds needs 5 of each"):
        decoding(rare).check()
    bare = TorchModel(Bare(), name="bare", image_size=(4, 4))
    with pytest.raises(RequestError, match=r"^bare: no layer to record at"):
        decoding(late.dataset).check_model(bare)
    decoding(late.dataset).check()


class Bare(nn.Module):
    """No named part."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x
