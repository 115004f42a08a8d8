"""RDMs through rsatoolbox and its files and back: the same numbers, ids and names."""

import pickle
import string
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rsatoolbox.data import Dataset, TemporalDataset
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import calc_rdm, load_rdm
from rsatoolbox.rdm.calc import calc_rdm_movie

from alignment.errors import DataError, RequestError
from alignment.rsa import RDMs
from alignment.rsa.crossnobis import CROSSNOBIS
from alignment.rsa.distances import DISTANCES
from alignment.rsa.interchange import TOOLBOX_MEASURES, from_rsatoolbox, read_rdm_file, to_rsatoolbox, write_rdm_file

NAMES = st.text(string.ascii_letters + string.digits + string.punctuation + " \n", min_size=0, max_size=8)


@st.composite
def any_rdms(draw: st.DrawFn) -> RDMs:
    stimuli = draw(st.lists(NAMES, min_size=3, max_size=8, unique=True))
    count, pairs = draw(st.integers(1, 3)), len(stimuli) * (len(stimuli) - 1) // 2
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
    values = draw(arrays(dtype, (count, pairs), elements=finite))
    values[:, draw(st.lists(st.integers(1, pairs - 1), max_size=2))] = np.nan
    labels = st.lists(NAMES, min_size=count, max_size=count)
    return RDMs(
        values,
        tuple(stimuli),
        draw(st.sampled_from(["", CROSSNOBIS, "a measure of my own", *DISTANCES])),
        tuple(draw(labels)),
        tuple(draw(st.one_of(st.just([]), labels))),
    )


def assert_same(found: RDMs, given: RDMs) -> None:
    np.testing.assert_array_equal(found.dissimilarities, given.dissimilarities)
    assert found.dissimilarities.dtype == given.dissimilarities.dtype
    assert (found.stimuli, found.distance) == (given.stimuli, given.distance)
    assert (found.subjects, found.sessions) == (given.subjects, given.sessions)


@settings(max_examples=50, deadline=None)
@given(any_rdms())
def test_objects_there_and_back(rdms: RDMs) -> None:
    assert_same(from_rsatoolbox(to_rsatoolbox(rdms)), rdms)


@settings(max_examples=50, deadline=None)
@given(any_rdms())
def test_files_there_and_back(rdms: RDMs) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_rdm_file(Path(folder) / "rdms.h5", rdms)
        assert_same(read_rdm_file(path), rdms)
        assert [entry.name for entry in Path(folder).iterdir()] == ["rdms.h5"]


def test_rsatoolbox_reads_our_files(tmp_path: Path) -> None:
    rdms = RDMs(np.array([[0.1, np.nan, 0.3]]), ("a", "b", "c"), "1-pearson", ("BE",), ("1",))
    theirs = load_rdm(str(write_rdm_file(tmp_path / "new" / "rdms.hdf5", rdms)))
    np.testing.assert_array_equal(theirs.dissimilarities, rdms.dissimilarities)
    assert theirs.dissimilarity_measure == "correlation"
    assert list(theirs.pattern_descriptors["stimulus"]) == ["a", "b", "c"]
    assert list(theirs.rdm_descriptors["subject"]) == ["BE"]
    assert list(theirs.rdm_descriptors["session"]) == ["1"]


def test_we_read_the_files_of_rsatoolbox(tmp_path: Path) -> None:
    theirs = ToolboxRDMs(
        np.array([[1, 2, 3], [4, 5, 6]]),
        dissimilarity_measure="number of errors",
        rdm_descriptors={"person": ["x", "y"]},
        pattern_descriptors={"conds": ["a", "b", "c"]},
    )
    theirs.save(str(tmp_path / "rdms.h5"))
    rdms = read_rdm_file(tmp_path / "rdms.h5", stimuli="conds", subjects="person")
    np.testing.assert_array_equal(rdms.dissimilarities, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert (rdms.stimuli, rdms.subjects, rdms.sessions) == (("a", "b", "c"), ("x", "y"), ())
    assert rdms.distance == "number of errors"
    assert read_rdm_file(tmp_path / "rdms.h5", stimuli="index").stimuli == ("0", "1", "2")


def test_an_older_file_is_replaced_whole(tmp_path: Path) -> None:
    first = RDMs(np.array([[0.1, 0.2, 0.3]]), ("a", "b", "c"), subjects=("x",), sessions=("1",))
    second = RDMs(np.array([[0.4, 0.5, 0.6]]), ("d", "e", "f"), subjects=("y",))
    for rdms in (first, second):
        write_rdm_file(tmp_path / "rdms.h5", rdms)
    assert_same(read_rdm_file(tmp_path / "rdms.h5"), second)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_distances_of_rsatoolbox_get_their_formula() -> None:
    random = np.random.default_rng(0)
    data = Dataset(
        random.standard_normal((6, 4)), obs_descriptors={"stimulus": list("abcabc"), "fold": [0, 0, 0, 1, 1, 1]}
    )
    measured = {
        from_rsatoolbox(calc_rdm(data, method=method, descriptor="stimulus", noise=np.eye(4), **options)).distance
        for method, options in {
            "correlation": {},
            "euclidean": {},
            "mahalanobis": {},
            "crossnobis": {"cv_descriptor": "fold"},
        }.items()
    }
    assert measured == set(TOOLBOX_MEASURES) - {"euclidean"}
    values = random.standard_normal((3, 4, 2))
    movie = calc_rdm_movie(
        TemporalDataset(values, obs_descriptors={"stimulus": list("abc")}), method="euclidean", descriptor="stimulus"
    )
    rdms = from_rsatoolbox(movie)
    assert rdms.distance == "squared-euclidean/units"
    expected = np.square(values[0, :, 1] - values[2, :, 1]).mean()
    assert rdms.dissimilarities[1, 1] == pytest.approx(expected)


def test_what_is_no_rdm_file_is_named_in_one_line(tmp_path: Path) -> None:
    rdms = RDMs(np.array([[0.1, 0.2, 0.3]]), ("a", "b", "c"))
    pickled = tmp_path / "rdms.pkl"
    pickled.write_bytes(pickle.dumps({"dissimilarities": 1}))
    hidden = tmp_path / "rdms.h5"
    hidden.write_bytes(pickled.read_bytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["volume"] = np.zeros(3)
    with h5py.File(write_rdm_file(tmp_path / "cut.h5", rdms), "a") as cut:
        del cut["pattern_descriptors"]["stimulus"]
        cut["pattern_descriptors"]["stimulus"] = np.zeros(2)
    for path, kind, message in [
        (pickled, RequestError, "a pickle can run any code"),
        (hidden, DataError, "is not an HDF5 file"),
        (tmp_path / "other.h5", DataError, "is not an RDM file of rsatoolbox"),
        (tmp_path / "cut.h5", DataError, "is not an RDM file of rsatoolbox"),
        (tmp_path / "none.h5", DataError, "no such RDM file"),
    ]:
        with pytest.raises(kind, match=message) as caught:
            read_rdm_file(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(RequestError, match=r"whole.h5: unknown pattern descriptor 'conds'; known: index, stimulus"):
        read_rdm_file(write_rdm_file(tmp_path / "whole.h5", rdms), stimuli="conds")
    with pytest.raises(RequestError, match="unknown pattern descriptor 'conds'; known: index, stimulus"):
        from_rsatoolbox(to_rsatoolbox(rdms), stimuli="conds")
    with pytest.raises(RequestError, match="unknown RDM descriptor 'person'"):
        from_rsatoolbox(to_rsatoolbox(rdms), subjects="person")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    rdms = RDMs(np.array([[0.1, 0.2, 0.3]]), ("a", "b", "c"))
    with pytest.raises(RequestError, match="a pickle can run any code"):
        write_rdm_file(tmp_path / "rdms.pkl", rdms)
    for name in ("Müller", "a\0"):
        with pytest.raises(RequestError, match="is not ASCII"):
            write_rdm_file(tmp_path / "rdms.h5", RDMs(rdms.dissimilarities, ("a", "b", name)))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_rdm_file(tmp_path / "file" / "rdms.h5", rdms)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
