"""Metrics of the challenge, counted one composite at a time."""

import numpy as np
import pytest
import xarray as xr

from alignment.errors import RequestError
from alignment.proportions import wilson
from alignment.steering import answers, by_share, summarised

STRENGTHS, N, N_CLASSES = [np.nan, 0.0, 3.0], 40, 4
CUES = ["first", "second", "absent"]


def made(seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Random answers to random cues; where nothing is asked for, they are one answer."""
    rng = np.random.default_rng(seed)
    classes = np.stack([rng.permutation(N_CLASSES)[:3] for _ in range(N)], axis=1)
    chosen = rng.integers(0, N_CLASSES, (3, 3, N))
    chosen[0] = chosen[0, 0]
    top2 = np.stack([rng.permutation(N_CLASSES)[:2] for _ in range(N)], axis=1)
    logit, probability = rng.normal(size=(3, 3, N)), rng.random((3, 3, N))
    dims = ("strength", "cue", "composite")
    found = xr.Dataset(
        {
            "chosen": (dims, chosen),
            "logit": (dims, logit),
            "probability": (dims, probability),
            "top2": (("rank", "composite"), top2),
            "class": (dims[1:], classes),
        },
        {"strength": STRENGTHS, "cue": CUES},
    )
    images = ("image", "asked", "composite")
    asked = np.stack([classes[[0, 2]], classes[[1, 2]]])
    alone = xr.Dataset(
        {"chosen": (("strength", *images), rng.integers(0, N_CLASSES, (3, 2, 2, N))), "class": (images, asked)},
        {"strength": STRENGTHS},
    )
    return found, alone


def test_the_table_counted_by_hand() -> None:
    found, alone = made(0)
    table = summarised(found, alone)
    assert len(table) == 3 and np.isnan(table[0].strength) and [row.strength for row in table[1:]] == [0, 3]
    classes = found["class"].values
    for place, row in enumerate(table):
        cued, absent, held, own_alone, absent_alone, gains = [], [], [], [], [], []
        for each in range(N):
            first, second, other = classes[:, each]
            said = found["chosen"].values[place, :, each]
            cued.append(((said[0] == first) + 0.0 + (said[1] == second)) / 2)
            absent.append(said[2] == other)
            held.append(said[2] in (first, second))
            one, two = alone["chosen"].values[place, :, :, each]
            own_alone.append(((one[0] == first) + 0.0 + (two[0] == second)) / 2)
            absent_alone.append(((one[1] == other) + 0.0 + (two[1] == other)) / 2)
            for name in ("logit", "probability"):
                values = found[name].values[:, :2, each]
                gains.append((values[place] - values[0]).mean())
        assert (row.cued, row.hallucinated, row.held) == (wilson(cued), wilson(absent), wilson(held))
        assert (row.alone_cued, row.alone_hallucinated) == (wilson(own_alone), wilson(absent_alone))
        assert row.logit_gain == pytest.approx(np.mean(gains[::2])) and row.probability_gain == pytest.approx(
            np.mean(gains[1::2])
        )
    assert table[0].logit_gain == 0 and table[1].logit_gain != 0


def test_what_is_seen_without_a_cue() -> None:
    found, alone = made(1)
    pairs = [set(pair) for pair in found["class"].values[:2].T.tolist()]
    best = found["top2"].values.T.tolist()
    top1 = [ranked[0] in pair for ranked, pair in zip(best, pairs, strict=True)]
    top2 = [set(ranked) == pair for ranked, pair in zip(best, pairs, strict=True)]
    assert 0 < sum(top2) < sum(top1) < N
    for row in summarised(found, alone):
        assert (row.top1, row.top2) == (wilson(top1), wilson(top2))


def test_one_who_says_what_he_is_asked_hallucinates() -> None:
    found, _ = made(2)
    obedient = found.assign(chosen=found["class"].expand_dims(strength=found["strength"]))
    everything = answers(obedient)
    assert everything.cued.min() == 1 and everything.hallucinated.all() and not everything.held.any()
    # one who always says the first class answers half of the cues and never hallucinates
    constant = found.assign(chosen=(("strength", "cue", "composite"), np.tile(found["class"].values[0], (3, 3, 1))))
    half = answers(constant)
    assert (half.cued == 0.5).all() and not half.hallucinated.any() and half.held.all()


def test_shares_are_those_of_the_image_that_is_asked_for() -> None:
    sweep = xr.concat([made(seed)[0] for seed in (3, 4)], xr.IndexVariable("share", [0.3, 0.5]), data_vars="all")
    rows = by_share(sweep)
    assert [(row.share, row.strength) for row in rows if row.strength >= 0] == [
        (share, strength) for share in (0.3, 0.5, 0.7) for strength in (0.0, 3.0)
    ]
    for row in rows:
        place = 0 if np.isnan(row.strength) else STRENGTHS.index(row.strength)
        at = sweep.isel(share=1 if row.share == 0.5 else 0, strength=place)
        right = at["chosen"].values == at["class"].values
        expected = {0.3: right[0], 0.7: right[1], 0.5: right[:2].mean(axis=0)}[row.share]
        assert row.cued == wilson(expected) and row.hallucinated == wilson(right[2])


def test_what_does_not_belong_together_is_one_line() -> None:
    found, alone = made(5)
    for other in (alone.isel(strength=[0, 1]), alone.isel(composite=slice(3))):
        with pytest.raises(RequestError, match=r"^composites and images alone differ in strengths or number; give"):
            summarised(found, other)
