import importlib

import numpy as np
import pytest

from alignment.errors import RequestError
from benchmarks.datasets.presented import Presented, presented
from benchmarks.measures import MEASURES, build_measure, check_means_something, check_measure
from benchmarks.settings import BenchmarkSettings, parse

PREDICTIVITY = {
    "ridge": "mine-ridge-loo-avg4x4",
    "pls": "mine-pls-25-avg4x4",
    "pcr": "mine-pcr-25-avg4x4",
    "one-to-one": "mine-one-to-one-avg4x4",
    "best-unit": "mine-best-unit-avg4x4",
    "soft-matching": "mine-soft-matching-avg4x4-units1000",
    "reverse": "mine-reverse-ridge-loo-avg4x4-units1000",
    "unique": "mine-unique-over-pixels-ridge-loo-avg4x4",
    "fragility": "mine-fragility-linf-1/255-20steps-ridge-loo-avg4x4",
}


@pytest.fixture(scope="module")
def data() -> Presented:
    rng = np.random.default_rng(0)
    images = {f"i{number:02}": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for number in range(40)}
    return presented("mine", images, responses=rng.normal(size=(40, 3)), stimulus=list(images))


def built(measure: str, data: Presented, *words: str):
    words = (*words, "benchmark.against=pixels") if measure == "unique" else words
    return build_measure(measure, "mine", data, settings=parse(list(words)), preferred={})


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_can_be_found_and_heeds_settings_that_exist(measure):
    module, _, function = MEASURES[measure].builder.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert set(MEASURES[measure].settings) <= set(BenchmarkSettings.model_fields)


@pytest.mark.parametrize(("measure", "name"), PREDICTIVITY.items())
def test_an_id_names_the_variant_and_a_card_says_what_it_is(measure, name, data):
    made = built(measure, data)
    assert made.id == name
    card = made.describe()
    assert {"measure", "formula", "layer", "invariances", "source", "known failure", "intervals"} <= card.keys()
    assert all(card.values())
    assert "\n" not in "".join(map(str, card.values()))
    assert ("ceiling" in card["measure"]) != ("ceiling" in card)


@pytest.mark.parametrize("measure", [*PREDICTIVITY, "rsa", "cka-linear"])
def test_the_only_subject_is_not_resampled(measure, data):
    words = ["benchmark.subjects=resampled", *(["benchmark.components=5"] if measure in ("pls", "pcr") else [])]
    with pytest.raises(RequestError, match=r"^mine: benchmark\.subjects=resampled: one subject cannot be resampled"):
        built(measure, data, *words).check()


@pytest.mark.parametrize(
    ("measure", "words", "name"),
    [
        ("pls", ["benchmark.components=7", "benchmark.pool=none"], "mine-pls-7-maps"),
        ("pcr", ["benchmark.components=40", "seed=1"], "mine-pcr-40-avg4x4[seed=1]"),
        ("one-to-one", ["benchmark.units=50"], "mine-one-to-one-avg4x4-units50"),
        ("best-unit", ["benchmark.units=none"], "mine-best-unit-avg4x4"),
        ("soft-matching", ["benchmark.units=none"], "mine-soft-matching-avg4x4-allunits"),
        (
            "reverse",
            ["benchmark.selection=gcv", "benchmark.scale=floored_sd", "benchmark.units=20"],
            "mine-reverse-ridge-gcv-floored_sd-avg4x4-units20",
        ),
        ("unique", ["benchmark.selection=kfold"], "mine-unique-over-pixels-ridge-kfold-avg4x4"),
    ],
)
def test_every_setting_that_enters_the_number_is_in_the_id(measure, words, name, data):
    assert built(measure, data, *words).id == name


def test_settings_that_change_a_fit_change_its_key_and_others_do_not(data, tmp_path):
    from benchmarks.fingerprint import PixelDigests
    from benchmarks.store import Store

    digests = PixelDigests(Store(tmp_path))
    keys = {}
    for measure, words in (
        ("pls", []),
        ("pls", ["benchmark.components=7"]),
        ("pcr", []),
        ("one-to-one", []),
        ("one-to-one", ["benchmark.units=50"]),
        ("best-unit", []),
        ("soft-matching", []),
        ("soft-matching", ["benchmark.units=50"]),
        ("reverse", []),
        ("reverse", ["benchmark.selection=gcv"]),
        ("ridge", []),
        ("unique", []),
    ):
        made, resampled = built(measure, data, *words), built(measure, data, *words, "n_bootstrap=200")
        key = made.fit_fingerprint(digests)
        assert resampled.fit_fingerprint(digests) == key
        assert resampled.fingerprint(digests) != made.fingerprint(digests)
        keys[measure, *words] = key
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize(
    ("measure", "words", "part"),
    [
        ("ridge", ["benchmark.components=5"], "benchmark.components means nothing to ridge; .* pls, pcr"),
        ("pls", ["benchmark.selection=gcv"], "benchmark.selection means nothing to pls"),
        ("pcr", ["benchmark.units=5"], "it is a setting of .*reverse"),
        ("reverse", ["benchmark.against=pixels"], "it is a setting of unique"),
    ],
)
def test_a_setting_that_a_measure_does_not_heed_is_refused(measure, words, part):
    with pytest.raises(RequestError, match=part):
        check_means_something(parse(words), (measure,))


def test_a_name_that_is_nearly_a_measure_s_is_corrected():
    with pytest.raises(RequestError, match="did you mean one-to-one"):
        check_measure("one_to_one")


def test_no_components_are_refused(data):
    with pytest.raises(RequestError, match=r"benchmark\.components=none: give a whole number"):
        built("pls", data, "benchmark.components=none")


def test_more_components_than_stimuli_allow_are_refused_before_anything_is_computed(data):
    """40 stimuli in 5 folds: 32 to train on, of which 25 in the smallest inner fold."""
    built("pls", data, "benchmark.components=24").check()
    with pytest.raises(RequestError, match=r"components=25, but the 25 stimuli .* at most 24 directions"):
        built("pls", data).check()
