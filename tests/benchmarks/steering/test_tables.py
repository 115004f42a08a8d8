"""What is chosen on one half of the composites and judged on the other, written out composite by composite."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.steering.tables import Cell, cells, choice, figures, flags, judged, surface, tried
from benchmarks.steering.templates import MEANS, ONE_HOT, RANDOM

STRENGTHS, N, N_CLASSES = [np.nan, 0.0, 1.0, 2.0], 60, 5
FOLDS = np.arange(N) % 2


def measured(seed: int, *, follows: dict[float, tuple[float, float]]) -> xr.Dataset:
    """Answers that follow a cue with some probability, for a class that is there and for one that is not."""
    rng = np.random.default_rng(seed)
    classes = np.stack([rng.permutation(N_CLASSES)[:3] for _ in range(N)], axis=1)
    other = np.stack([np.setdiff1d(range(N_CLASSES), classes[:, each])[0] for each in range(N)])
    chosen = np.empty((len(STRENGTHS), 3, N), dtype=int)
    for place, strength in enumerate(STRENGTHS):
        shares = follows.get(strength, (0.2, 0.0))
        for cue in range(3):
            right = rng.random(N) < shares[cue == 2]
            chosen[place, cue] = np.where(right, classes[cue], other)
    chosen[0] = chosen[0, 0]
    dims = ("strength", "cue", "composite")
    top2 = np.stack([rng.permutation(N_CLASSES)[:2] for _ in range(N)], axis=1)
    asked = np.stack([classes[[0, 2]], classes[[1, 2]]])
    images = ("image", "asked", "composite")
    return xr.Dataset(
        {
            "chosen": (dims, chosen),
            "logit": (dims, rng.normal(size=chosen.shape)),
            "probability": (dims, rng.random(chosen.shape)),
            "top2": (("rank", "composite"), top2),
            "class": (dims[1:], classes),
            "alone_chosen": (("strength", *images), rng.integers(0, N_CLASSES, (len(STRENGTHS), 2, 2, N))),
            "alone_class": (images, asked),
        },
        {"strength": STRENGTHS, "cue": ["first", "second", "absent"]},
    )


def test_the_other_half_chooses_and_random_templates_are_never_chosen() -> None:
    data = {
        # strongest where it hallucinates as much as it is right
        ONE_HOT: measured(0, follows={1.0: (0.7, 0.1), 2.0: (1.0, 0.9)}),
        MEANS: measured(1, follows={1.0: (0.5, 0.1)}),
        RANDOM: measured(2, follows={1.0: (1.0, 0.0), 2.0: (1.0, 0.0)}),
    }
    of_kind = {kind: tried(each) for kind, each in data.items()}
    chosen = choice(of_kind, FOLDS)
    assert chosen == [Cell(ONE_HOT, 1.0)] * 2
    at = judged(of_kind, chosen, FOLDS)
    said = data[ONE_HOT]["chosen"].sel(strength=1.0).values
    asked = data[ONE_HOT]["class"].values
    for each in range(N):
        assert at.cued[each] == np.mean(said[:2, each] == asked[:2, each])
        assert at.hallucinated[each] == (said[2, each] == asked[2, each])


def test_each_half_is_judged_where_the_other_was_best() -> None:
    data = {ONE_HOT: measured(0, follows={1.0: (0.0, 0.0), 2.0: (0.0, 0.0)})}
    found = data[ONE_HOT]
    # in the even half strength 1 follows every cue, in the odd half strength 2 does
    for strength, half in ((1.0, 0), (2.0, 1)):
        at = found["chosen"].sel(strength=strength)
        at[:2] = xr.where(xr.DataArray(half == FOLDS, dims="composite"), found["class"][:2], at[:2])
    of_kind = {ONE_HOT: tried(found)}
    chosen = choice(of_kind, FOLDS)
    assert chosen == [Cell(ONE_HOT, 2.0), Cell(ONE_HOT, 1.0)]
    # what was best in one half is worth nothing in the other, and that is what is reported
    assert judged(of_kind, chosen, FOLDS).cued.max() < 1


def test_hallucination_stands_beside_every_share_of_answers() -> None:
    of_kind = {kind: tried(measured(place, follows={})) for place, kind in enumerate((ONE_HOT, MEANS))}
    rows = cells(of_kind)
    assert [str(cell) for cell in rows][:3] == ["no cue", "one-hot @ strength 0", "one-hot @ strength 1"]
    listed = surface(rows, ())
    assert len(listed) == 2 * len(rows) == 2 * 7
    for own, beside in zip(listed[::2], listed[1::2], strict=True):
        assert beside["layer"] == f"{own['layer']}, hallucination"
    at = judged(of_kind, [Cell(ONE_HOT, 1.0)] * 2, FOLDS)
    names = list(figures(at, rows, Cell(ONE_HOT, 1.0)))
    assert names[0] == "hallucination"
    for place, name in enumerate(names):
        if name.endswith("P(cued)"):
            assert names[place + 1] == name.replace("P(cued)", "hallucination")


@pytest.mark.parametrize(("share", "told"), [(0.5, 0), (0.6, 1)])
def test_one_who_follows_most_cues_for_what_is_not_there_is_flagged(share, told) -> None:
    hallucinated = np.arange(10) < 10 * share
    found = flags(hallucinated)
    assert len(found) == told
    assert not told or found[0].startswith("hallucinates: 60% of cues for an absent class")
