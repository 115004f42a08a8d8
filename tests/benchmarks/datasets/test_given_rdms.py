"""RDMs given as arrays: means over sessions, order, fingerprint, and what does not fit."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from alignment.errors import DataError
from alignment.rsa.rdms import RDMs
from benchmarks.datasets.base import Fetches
from benchmarks.datasets.given_rdms import GivenRDMs, rdm_dataset

NAMES = tuple(f"image{number}" for number in range(6))
PAIRS = 15


def images(names=NAMES):
    random = np.random.default_rng(0)
    return {name: random.integers(0, 256, (4, 4, 3), dtype=np.uint8) for name in names}


def values(count, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, PAIRS))


def measured(**changes):
    """Two subjects in two sessions each, session by session."""
    given = RDMs(values(4), NAMES, "1-pearson", subjects=("bob", "ann", "bob", "ann"), sessions=("1", "1", "2", "2"))
    return replace(given, **changes)


def made(rdms=None, **given) -> GivenRDMs:
    rdms = measured() if rdms is None else rdms
    return rdm_dataset("mine", images(), rdms=rdms, **given)


def one(seed=7, **changes):
    return replace(RDMs(values(1, seed), NAMES), **changes)


def test_a_subject_is_the_mean_of_its_sessions():
    mine = made()
    squares = [squareform(row) for row in values(4)]
    assert mine.subjects == mine.rdms().subjects == ("bob", "ann")
    np.testing.assert_allclose(mine.rdms().squares(), [(squares[0] + squares[2]) / 2, (squares[1] + squares[3]) / 2])
    assert mine.rdms().stimuli == mine.stimuli.ids == NAMES
    assert mine.rdms().distance == "1-pearson"
    assert mine.rdms().sessions == ()


def test_sessions_are_kept_apart():
    sessions = made().sessions()
    assert sessions is not None
    assert (sessions.subjects, sessions.sessions) == (("bob", "ann", "bob", "ann"), ("1", "1", "2", "2"))
    np.testing.assert_array_equal(sessions.dissimilarities, values(4))


@pytest.mark.parametrize("sessions", [(), ("1", "1", "1", "1")])
def test_one_session_each_is_no_several_sessions(sessions):
    mine = made(measured(subjects=("a", "b", "c", "d"), sessions=sessions))
    assert mine.sessions() is None
    np.testing.assert_array_equal(mine.rdms().dissimilarities, values(4))


def test_the_mean_is_taken_in_double_precision():
    single = measured(dissimilarities=values(4).astype(np.float32))
    mean = made(single).rdms().dissimilarities
    assert mean.dtype == np.float64
    np.testing.assert_array_equal(mean[0], (single.dissimilarities[[0, 2]].astype(float)).mean(axis=0))


def test_pairs_that_were_not_measured_stay_so():
    holed = values(4)
    holed[:, 3] = np.nan
    mine = made(measured(dissimilarities=holed))
    assert np.flatnonzero(np.isnan(mine.rdms().dissimilarities[0])).tolist() == [3]
    assert mine.describe()["pairs"] == PAIRS - 1


def test_rdms_and_references_follow_the_order_of_the_stimuli():
    order = tuple(reversed(NAMES))
    mine = GivenRDMs("mine", made().stimuli.select(order), measured(), models={"model": one()})
    square = squareform(values(1, 7)[0])
    assert mine.rdms().stimuli == mine.references()["model"].stimuli == order
    np.testing.assert_array_equal(mine.references()["model"].squares()[0], square[::-1, ::-1])
    np.testing.assert_allclose(mine.rdms().squares(), made().rdms().squares()[:, ::-1, ::-1])


def test_images_are_those_given():
    mine = made(visual_degrees=5.0)
    np.testing.assert_array_equal(mine.stimuli.image("image3"), images()["image3"])
    assert mine.stimuli.visual_degrees == 5.0
    assert mine.marks == ()
    assert isinstance(mine, Fetches)
    assert mine.fetch() == ()


def test_it_says_what_it_is():
    said = made(references={"model": one()}).describe()
    assert said["subjects"] == ["bob", "ann"]
    assert (said["stimuli"], said["pairs"], said["sessions"]) == (6, PAIRS, [2, 2])
    assert (said["distance"], said["reference models"]) == ("1-pearson", ["model"])
    assert made(measured(distance="")).describe()["distance"] == "not stated"


def test_the_fingerprint_covers_what_enters_a_number():
    changed = values(4)
    changed[2, 5] += 1e-9
    seen = [
        made(),
        made(measured(dissimilarities=changed)),
        made(measured(subjects=("ann", "bob", "ann", "bob"))),
        made(measured(sessions=("2", "2", "1", "1"))),
        made(measured(distance="euclidean")),
        made(references={"model": one()}),
        made(references={"other": one()}),
        made(references={"model": one(8)}),
        made(references={"model": one(), "other": one(8)}),
        GivenRDMs("mine", made().stimuli.select(NAMES[::-1]), measured()),
        replace(made(), version=2),
    ]
    assert len({each.fingerprint for each in seen}) == len(seen)
    assert (
        made(references={"b": one(), "a": one(8)}).fingerprint == made(references={"a": one(8), "b": one()}).fingerprint
    )
    assert replace(made(), name="other").fingerprint == made().fingerprint


def test_it_travels_to_another_process():
    mine = made(references={"model": one()})
    before = mine.fingerprint
    copy = pickle.loads(pickle.dumps(mine))
    assert copy.fingerprint == before
    np.testing.assert_array_equal(copy.stimuli.image("image1"), mine.stimuli.image("image1"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"sessions": ()}, r"^mine: subject 'bob' has 2 RDMs and no session is named; name a session for each$"),
        ({"sessions": ("1", "1", "1", "2")}, r"^mine: subject 'bob' has 2 RDMs in session '1'"),
        ({"stimuli": (*NAMES[:5], "image9")}, r"^mine: 'image5' has an image or an RDM but not both \(2 such\)"),
    ],
)
def test_rdms_that_do_not_fit(change, fault):
    with pytest.raises(DataError, match=fault):
        made(measured(**change))


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (RDMs(values(2), NAMES), "^mine, model m: 2 RDMs, expected one"),
        (one(stimuli=(*NAMES[:5], "image9")), r"^mine, model m: the RDMs have no stimulus 'image5' \(2 such\)"),
        (RDMs(values(1)[:, :10], NAMES[:5]), r"^mine, model m: the RDMs have no stimulus 'image5' \(1 such\)"),
        (
            RDMs(np.append(values(1), values(1)[:, :6], axis=1), (*NAMES, "image9")),
            r"^mine, model m: the data set has no stimulus 'image9' \(1 such\)",
        ),
        (one(dissimilarities=np.array([[np.nan] * 2 + [1.0] * 13])), "^mine, model m: 2 pairs that were measured"),
    ],
)
def test_references_that_do_not_fit(model, fault):
    with pytest.raises(DataError, match=fault) as raised:
        made(references={"m": model})
    assert "\n" not in str(raised.value)


def test_a_reference_may_lack_what_was_not_measured():
    holed, reference = values(4), values(1, 7)
    holed[:, 3] = reference[:, 3] = np.nan
    mine = made(measured(dissimilarities=holed), references={"m": one(dissimilarities=reference)})
    np.testing.assert_array_equal(mine.references()["m"].dissimilarities, reference)
