"""A network whose use of its flows is known in closed form, and a plain recount of what each flow comes to."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from alignment.errors import RequestError
from alignment.models import TorchModel
from alignment.proportions import wilson
from alignment.stimuli import StimulusSet
from benchmarks.choices import Inference
from benchmarks.contracts import Part, Unsuited
from benchmarks.datasets.labelled import labelled
from benchmarks.measures import build_measure
from benchmarks.perturbation.benchmark import HoldsPartners, Perturbation
from benchmarks.settings import parse
from tests.benchmarks.perturbation.coloured import CLASSES, N_IMAGES, Coloured, Hears, coloured

WRONG = 30
CELLS = [("deep", 0.0), ("deep", 1.0), ("idle", 0.0), ("idle", 1.0)]


def perturbation(dataset: Coloured, *, seed: int = 3, marks: tuple[str, ...] = ()) -> Perturbation:
    return Perturbation("colours", dataset, inference=Inference(500, seed=seed), batch_size=16, marks=marks)


def measured(benchmark: Perturbation, model: TorchModel, session) -> Mapping[Part, xr.Dataset]:
    benchmark.check()
    benchmark.check_model(model)
    return {part: benchmark.measure(model, part, session) for part in benchmark.parts(model)}


def test_importance_is_what_the_geometry_of_colours_says(shown, session) -> None:
    """Differences are -160 at an image's own colour and 140 at its partner's: dealt to three units, six ways.

    Its own colour stays the brightest in four of them, and each other becomes it in one. A partner of the next colour
    is right of the images whose label is of the next colour.
    """
    benchmark = perturbation(shown.dataset)
    scored = benchmark.score(measured(benchmark, shown.model, session))
    original = 1 - WRONG / N_IMAGES
    control = original * 4 / 6 + (1 - original) * 1 / 6
    perturbed = (1 - original) / 2
    deviation = np.sqrt(control * (1 - control) / (2 * N_IMAGES)) / original
    assert scored.score.raw.value == pytest.approx((control - perturbed) / original, abs=4 * deviation)
    assert scored.figures["accuracy, perturbed"] == pytest.approx(perturbed)
    assert scored.figures["accuracy, control"] == pytest.approx(control, abs=4 * deviation)
    assert (scored.layer, scored.time_bin, scored.layer_share) == ("deep", 1.0, 1.0)
    assert scored.clean == wilson(np.arange(N_IMAGES) >= WRONG) and not scored.flags
    surface = {(row["layer"], row["time_bin"]): row for row in scored.surface}
    assert sorted(surface) == CELLS
    for cell in CELLS:
        if cell != ("deep", 1.0):
            # a flow that nothing follows from
            assert [surface[cell][name] for name in ("raw", "raw_low", "raw_high")] == [0, 0, 0]


def test_numbers_are_those_of_a_plain_recount(shown, session) -> None:
    benchmark = perturbation(shown.dataset)
    parts = measured(benchmark, shown.model, session)
    assert len(parts) == 3
    lost, original, control = {}, {}, {}
    for data in parts.values():
        for place, name in enumerate(data["stimulus"].values):
            original[name] = float(data["original"].values[place])
            for number, cell in enumerate(CELLS):
                at = {"stimulus": place, "layer": number // 2, "time_bin": number % 2}
                both = [np.mean(data[kind].isel(at).values) for kind in ("control", "perturbed")]
                lost[name, cell], control[name, cell] = both[0] - both[1], both[0]
    assert list(original.values()) != sorted(original.values())
    scored = benchmark.score(parts)
    names = sorted(original)
    total = sum(lost[name, ("deep", 1.0)] for name in names) / sum(original.values())
    assert scored.score.raw.value == pytest.approx(total)
    for number, cell in enumerate(CELLS):
        said = scored.details["accuracy"]["control"][number]
        assert (said["layer"], said["time_bin"]) == cell
        assert said["accuracy"] == pytest.approx(np.mean([control[name, cell] for name in names]))
    for fold in range(2):
        rows = names[fold::2]
        value = sum(lost[name, ("deep", 1.0)] for name in rows) / sum(original[name] for name in rows)
        assert scored.by_split[f"fold {fold}"] == pytest.approx(value)
    # the interval: the delta method, written out
    values = np.array([lost[name, ("deep", 1.0)] for name in names])
    rights = np.array([original[name] for name in names])
    error = np.std(values - total * rights, ddof=1) / rights.mean() / np.sqrt(N_IMAGES)
    assert scored.score.raw.high - scored.score.raw.low == pytest.approx(2 * 1.968 * error, rel=0.1)


def test_the_flow_is_chosen_on_images_that_do_not_judge_it(shown, session) -> None:
    """Where one flow costs on even images alone and another on odd ones, each is judged where it costs nothing."""
    benchmark = perturbation(coloured(40))
    data = benchmark.measure(shown.model, benchmark.parts(shown.model)[0], session)
    odd = np.argsort(np.argsort(data["stimulus"].values)) % 2
    control = np.ones(data["control"].shape, bool)
    perturbed = np.ones(data["perturbed"].shape, bool)
    perturbed[odd == 0, :, 0, 0] = False
    perturbed[odd == 1, :, 1, 1] = False
    made = {"control": control, "perturbed": perturbed, "original": np.ones(40, bool)}
    spoilt = data.assign({name: (data[name].dims, values) for name, values in made.items()})
    scored = benchmark.score({Part("block 1 of 1", "0"): spoilt})
    assert scored.score.raw.value == 0 and scored.layer_share == 0.5
    assert scored.details["chosen"] == [{"layer": "idle", "time_bin": 1.0}, {"layer": "deep", "time_bin": 0.0}]
    assert {row["raw"] for row in scored.surface} == {0.0, 0.5}


def test_differences_of_two_models_are_paired(shown, session) -> None:
    benchmark = perturbation(shown.dataset)
    deaf = TorchModel(Deaf(), name="deaf", image_size=(4, 4), layers=["used"], classes=CLASSES)
    one, other = (benchmark.score(measured(benchmark, each, session)) for each in (shown.model, deaf))
    # what it is right about it is without its flows
    assert other.score.raw.value == 0 and other.clean.value == one.clean.value
    assert one.raw.minus(other.raw).p_value() < 1e-6 and one.score.p_zero < 1e-6
    assert one.raw.minus(one.raw).value == 0


class Deaf(Hears):
    """Its flows carry the same, and it looks for itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        super().forward(x)
        return x.mean((2, 3))


def test_a_network_that_is_right_by_chance_is_flagged_or_has_nothing_to_lose(shown, session) -> None:
    benchmark = perturbation(coloured(60, wrong=45))
    scored = benchmark.score(measured(benchmark, shown.model, session))
    assert scored.flags == ["accuracy 0.250 is not above chance (0.333333), so that there is little to lose"]
    nothing = perturbation(coloured(30, wrong=30))
    parts = measured(nothing, shown.model, session)
    with pytest.raises(RequestError, match=r"^colours: no image is classified rightly as it is; nothing can be lost$"):
        nothing.score(parts)


def test_the_id_and_the_key_say_what_enters_the_number(session) -> None:
    plain, seeded = perturbation(coloured()), perturbation(coloured(), seed=4, marks=("seed=4",))
    assert (plain.id, seeded.id) == ("colours-importance", "colours-importance[seed=4]")
    data = coloured()
    others = {**data.partners, "next": StimulusSet("next", data.stimuli.ids, data.partners["last"].read)}
    swapped = Coloured("colours", data.stimuli, CLASSES, partners=others)
    kinds = [plain, seeded, perturbation(swapped)]
    assert len({each.fit_fingerprint(session.digests) for each in kinds}) == 3
    assert plain.fit_fingerprint(session.digests) == perturbation(coloured()).fit_fingerprint(session.digests)
    assert [each.name for each in plain.stimuli()] == ["colours", "next", "last"]
    assert set(plain.describe()) >= {"measure", "formula", "layer", "clean", "source", "known failure", "data: images"}


def test_what_cannot_be_perturbed_is_refused_in_one_line(shown) -> None:
    benchmark = perturbation(shown.dataset)
    net = TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), name="net", image_size=(4, 4), classes=CLASSES)
    with pytest.raises(Unsuited, match=r"^net declares no flows between its layers .*; name one that does, such as"):
        benchmark.check_model(net)
    other = TorchModel(Hears(), name="other", image_size=(4, 4), layers=["used"], classes=("red", "blue", "green"))
    with pytest.raises(RequestError, match="class 'blue' is at another place"):
        benchmark.check_model(other)
    with pytest.raises(RequestError, match=r"^colours: 3 images; give at least 4, to choose a flow and to judge it$"):
        perturbation(coloured(3)).check()
    images = {f"i{n}": np.zeros((4, 4, 3), np.uint8) for n in range(4)}
    bare = labelled("bare", images, ["a", "b"] * 2)
    assert isinstance(shown.dataset, HoldsPartners) and not isinstance(bare, HoldsPartners)
    with pytest.raises(RequestError, match=r"^bare: its images have no partners that differ in one property; name"):
        build_measure("perturbation", "bare", bare, settings=parse([]), preferred={})
    # the model that was asked is as it was
    assert shown.model.layers == ("used",)
