"""Accuracy, and what a network must have to be judged."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor, nn

from alignment.errors import RequestError
from alignment.models import TorchModel
from benchmarks.choices import Inference
from benchmarks.datasets.labelled import labelled
from benchmarks.robustness.accuracy import Accuracy
from benchmarks.robustness.images import at_work, blocks


def accuracy(dataset, **kwargs) -> Accuracy:
    return Accuracy(name="two", dataset=dataset, inference=Inference(n_bootstrap=200), batch_size=32, **kwargs)


def test_it_is_the_share_of_images_on_the_right_side(two, measured) -> None:
    benchmark = accuracy(two.dataset)
    scored = benchmark.score(measured(benchmark, two.model))
    assert scored.score.raw.value == pytest.approx((two.margins > 0).mean())
    assert scored.score.n_stimuli == len(two.margins)
    assert scored.score.n_subjects is None


def test_likelihood_and_calibration_stand_beside_it(two, measured) -> None:
    benchmark = accuracy(two.dataset)
    scored = benchmark.score(measured(benchmark, two.model))
    pixels = two.dataset.stimuli.pixels(two.dataset.stimuli.ids, size=(4, 4))
    with torch.no_grad():
        probabilities = two.model.logits(pixels)[:, 0].double().softmax(1).numpy()
    targets = two.dataset.targets()
    likelihood, error = scored.figures.values()
    assert likelihood == pytest.approx(log_loss(targets, probabilities), rel=1e-5)
    chosen, sure = probabilities.argmax(1) == targets, probabilities.max(1)
    bins = np.ceil(sure * 15)
    gaps = [abs((chosen[bins == each] - sure[bins == each]).sum()) for each in np.unique(bins)]
    assert error == pytest.approx(sum(gaps) / len(targets), rel=1e-5)
    assert 0.01 < error < 1


class Late(nn.Module):
    """Right from the second step on, and at the mean of steps wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        bright = self.cell(x).mean((1, 2, 3))
        right = torch.stack([bright, 1 - bright], dim=1)
        return [9 * right.flip(1), right, right]


def test_decisions_over_time_are_the_surface(measured) -> None:
    images = {f"i{n}": np.full((4, 4, 3), value, np.uint8) for n, value in enumerate([10, 60, 200, 250])}
    dataset = labelled("bright", images, ["dark", "dark", "light", "light"], classes=("light", "dark"))
    model = TorchModel(Late(), name="late", image_size=(4, 4), layers=["cell"], classes=("light", "dark"))
    last, mean = (accuracy(dataset, moment=moment) for moment in ("last", "mean"))
    scored = last.score(measured(last, model))
    assert [row["raw"] for row in scored.surface] == [0.0, 1.0, 1.0]
    assert scored.score.raw.value == 1.0 and scored.time_bin == 2.0
    assert mean.score(measured(mean, model)).score.raw.value == 0.0


def test_models_of_other_classes_are_refused(two) -> None:
    benchmark = accuracy(two.dataset)
    benchmark.check_model(two.model)
    body = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    three = TorchModel(body, name="three", image_size=(4, 4), layers=["1"], classes=("a", "b", "c"))
    with pytest.raises(
        RequestError, match=r"^three tells 3 classes apart, two has 2; take a model or data of the same"
    ):
        benchmark.check_model(three)
    mute = TorchModel(body, name="mute", image_size=(4, 4), layers=["1"])
    with pytest.raises(RequestError, match=r"^mute has no logits .*cannot be judged on two$"):
        benchmark.check_model(mute)


def test_names_in_another_order_or_of_other_things_are_refused(two) -> None:
    benchmark = accuracy(two.dataset)

    def named(*classes: str) -> TorchModel:
        return TorchModel(two.model.module, name="net", image_size=(4, 4), layers=["1"], classes=classes)

    with pytest.raises(RequestError, match=r"net: class 'b' is at another place than in two, whose order is a, b"):
        benchmark.check_model(named("b", "a"))
    with pytest.raises(RequestError, match=r"net tells 'cat', 'dog', ... apart, two has 'a', 'b', ...; take a model"):
        benchmark.check_model(named("cat", "dog"))
    # ids of ImageNet's classes agree with nobody's names
    ids = labelled("ids", {"i": np.zeros((4, 4, 3), np.uint8)}, ["n00000001"], classes=("n00000001", "n00000002"))
    accuracy(ids).check_model(named("cat", "dog"))


def test_logits_must_be_as_many_as_names(two) -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    model = TorchModel(body, name="four", image_size=(4, 4), layers=["1"], classes=("a", "b"))
    with pytest.raises(RequestError, match="four gives 4 logits and names 2 classes; name one for each"):
        accuracy(two.dataset).check_model(model)


def test_a_model_at_work_is_left_as_it_was(two) -> None:
    weight, bias = two.model.module[1].parameters()
    bias.requires_grad_(False)
    with at_work(two.model, device="cpu"):
        assert not weight.requires_grad
    assert weight.requires_grad and not bias.requires_grad


def test_blocks_hold_every_image_once_and_some_of_each_class(two) -> None:
    ids = two.dataset.stimuli.ids
    dealt = blocks(two.dataset, 40)
    assert [len(block.ids) for block in dealt] == [38, 38, 37, 37]
    assert sorted(name for block in dealt for name in block.ids) == sorted(ids)
    assert all(len(set(block.targets)) == 2 for block in dealt)
    assert dealt[1].seeds("x", root=0)[3] == blocks(two.dataset, 1000)[0].seeds("x", root=0)[ids.index(dealt[1].ids[3])]
