"""What decisions about composite images say, with cues and without: the cost always beside the gain.

A network that says whatever it is asked for answers every cue, so the share of answers counts for nothing without that
of hallucinations: answers with a class that is in neither image.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from alignment.errors import RequestError
from alignment.proportions import wilson
from alignment.samples import Estimate


class Answers(NamedTuple):
    """How composites were answered, at each strength, nothing asked for first.

    Attributes
    ----------
    cued : (strength, composite), of the cues for its two classes, the share that is answered with the class asked for
    hallucinated : (strength, composite), whether the cue for a third class is answered with that
    held : (strength, composite), whether it is answered with a class that is there
    """

    cued: np.ndarray
    hallucinated: np.ndarray
    held: np.ndarray


class WithCues(NamedTuple):
    """What asking for classes came to at one strength; intervals are Wilson's over composites.

    Attributes
    ----------
    strength : of the signal; NaN where nothing was asked for, and the class asked for is that which would be
    cued, hallucinated, held : means of `Answers`
    logit_gain, probability_gain : mean of what the class that is there and asked for has beyond what it has without a
        cue
    alone_cued, alone_hallucinated : as the first two, on the images that are composed, each by itself
    top1, top2 : of composites where nothing is asked for, those whose first choice is one of the two classes, and those
        whose first two choices are the two classes; the same in every row
    """

    strength: float
    cued: Estimate
    hallucinated: Estimate
    held: Estimate
    logit_gain: float
    probability_gain: float
    alone_cued: Estimate
    alone_hallucinated: Estimate
    top1: Estimate
    top2: Estimate


class AtShare(NamedTuple):
    """Answers where the class asked for has some share of the composite.

    Attributes
    ----------
    share : of the image of the class asked for
    strength : NaN where nothing was asked for
    cued, hallucinated : as of `WithCues`; the latter of the same composites
    """

    share: float
    strength: float
    cued: Estimate
    hallucinated: Estimate


def answers(found: xr.Dataset) -> Answers:
    """From what `challenge` found.

    Examples
    --------
    >>> dims = ("strength", "cue", "composite")
    >>> found = xr.Dataset({"chosen": (dims, [[[4], [4], [4]], [[4], [7], [9]]]), "class": (dims[1:], [[4], [7], [9]])})
    >>> answers(found).cued.tolist(), answers(found).hallucinated.tolist()
    ([[0.5], [1.0]], [[False], [True]])
    """
    chosen, asked = (found[name].transpose(..., "cue", "composite").values for name in ("chosen", "class"))
    right = chosen == asked
    for_absent = chosen[:, 2]
    held = (for_absent == asked[0]) | (for_absent == asked[1])
    return Answers(right[:, :2].mean(axis=1), right[:, 2], held)


def summarised(found: xr.Dataset, of_alone: xr.Dataset) -> tuple[WithCues, ...]:
    """The table of the challenge, a row for each strength, nothing asked for first.

    Parameters
    ----------
    found : of `challenge`
    of_alone : of `alone`, for the same images and cues

    Raises
    ------
    RequestError
        The two have other strengths or other images.
    """
    strengths = found["strength"].values
    same = np.array_equal(strengths, of_alone["strength"].values, equal_nan=True)
    if not same or found.sizes["composite"] != of_alone.sizes["composite"]:
        raise RequestError("composites and images alone differ in strengths or number; give those of the same cues")
    of_pairs = answers(found)
    right = (of_alone["chosen"] == of_alone["class"]).transpose("strength", "asked", "image", "composite").values
    gains = {
        name: (found[name] - found[name].isel(strength=0)).isel(cue=slice(2)).mean(("cue", "composite")).values
        for name in ("logit", "probability")
    }
    pair, best = found["class"].values[:2], found["top2"].values
    seen = np.stack([(best[rank] == pair[0]) | (best[rank] == pair[1]) for rank in range(2)])
    top1, top2 = wilson(seen[0]), wilson(seen.all(axis=0))
    return tuple(
        WithCues(
            float(strength),
            cued=wilson(of_pairs.cued[row]),
            hallucinated=wilson(of_pairs.hallucinated[row]),
            held=wilson(of_pairs.held[row]),
            logit_gain=float(gains["logit"][row]),
            probability_gain=float(gains["probability"][row]),
            # the two images of a composite count as one, as its two cues do
            alone_cued=wilson(right[row, 0].mean(axis=0)),
            alone_hallucinated=wilson(right[row, 1].mean(axis=0)),
            top1=top1,
            top2=top2,
        )
        for row, strength in enumerate(strengths)
    )


def by_share(found: xr.Dataset) -> tuple[AtShare, ...]:
    """From what `sweep_shares` found, by the share of the image that is asked for, rising, and strength.

    With a share p of the first image, the second has 1 - p; at 0.5 a composite's two cues count as one.
    """
    rows = []
    for place, share in enumerate(found["share"].values.tolist()):
        at = found.isel(share=place)
        right = (at["chosen"] == at["class"]).transpose("strength", "cue", "composite").values
        of_first, of_second, of_absent = right.transpose(1, 0, 2)
        even = {share: (of_first + of_second.astype(float)) / 2}
        of_cues = even if share == 0.5 else {share: of_first, round(1 - share, 9): of_second}
        rows += [
            AtShare(of_cue, float(strength), wilson(cued[row]), wilson(of_absent[row]))
            for of_cue, cued in of_cues.items()
            for row, strength in enumerate(found["strength"].values)
        ]
    return tuple(sorted(rows, key=lambda row: row.share))
