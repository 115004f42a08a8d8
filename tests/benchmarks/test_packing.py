"""Samples of a score as a record keeps them."""

import json

import numpy as np
import pytest

from alignment.samples import Samples
from benchmarks.packing import packed, unpacked

RANDOM = np.random.default_rng(0)
FULL = Samples(
    RANDOM.standard_normal(3),
    RANDOM.standard_normal((3, 7)),
    n_stimuli=20,
    deviations=RANDOM.standard_normal((3, 5)),
    pseudo_values=RANDOM.standard_normal(3),
    subjects="resampled",
    overlap=2.25,
)
BARE = Samples(np.array([0.5]), np.array([[0.25, 0.75]]), n_stimuli=9)


@pytest.mark.parametrize("samples", [FULL, BARE], ids=["all there is", "what must be"])
def test_what_a_record_keeps_gives_the_same_intervals(samples):
    again = unpacked(json.loads(json.dumps(packed(samples))))
    for name in ("values", "resampled", "deviations", "pseudo_values"):
        before, after = getattr(samples, name), getattr(again, name)
        assert (before is None) == (after is None)
        if before is not None:
            np.testing.assert_allclose(after, before, rtol=1e-6)
    assert (again.n_stimuli, again.subjects, again.overlap) == (samples.n_stimuli, samples.subjects, samples.overlap)
    assert again.error() == pytest.approx(samples.error(), rel=1e-6)
