"""RDMs to and from rsatoolbox, as objects and as its HDF5 files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.errors import AlignmentError, DataError, RequestError, unknown
from alignment.rsa.rdms import RDMs
from alignment.whole_files import whole_file

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs as ToolboxRDMs

STIMULUS, SUBJECT, SESSION = "stimulus", "subject", "session"
PICKLES = (".pkl", ".pickle")
# by formula, where its own name for the same leaves room for doubt
TOOLBOX_MEASURES = {
    "1-pearson": "correlation",
    "euclidean": "Euclidean",
    "squared-euclidean/units": "squared euclidean",
    "squared-mahalanobis/units": "squared mahalanobis",
    "crossnobis/units": "crossnobis",
}
# `calc_rdm_movie` writes the name of the method instead
_FORMULAS = {measure: formula for formula, measure in TOOLBOX_MEASURES.items()} | {
    "euclidean": "squared-euclidean/units",
    "mahalanobis": "squared-mahalanobis/units",
}


def to_rsatoolbox(rdms: RDMs) -> "ToolboxRDMs":
    """The same RDMs for rsatoolbox.

    Stimulus ids become the pattern descriptor `stimulus`, subjects and sessions the RDM descriptors `subject` and
    `session`; the distance is named as rsatoolbox names it, where it has it (`TOOLBOX_MEASURES`).

    Examples
    --------
    >>> theirs = to_rsatoolbox(RDMs(np.array([[0.1, 0.2, 0.3]]), stimuli=("a", "b", "c"), distance="1-pearson"))
    >>> theirs.n_cond, theirs.dissimilarity_measure, theirs.pattern_descriptors["stimulus"]
    (3, 'correlation', ['a', 'b', 'c'])
    """
    from rsatoolbox.rdm import RDMs as ToolboxRDMs

    of_rdms = {SUBJECT: list(rdms.subjects)} | ({SESSION: list(rdms.sessions)} if rdms.sessions else {})
    return ToolboxRDMs(
        rdms.dissimilarities.copy(),
        dissimilarity_measure=TOOLBOX_MEASURES.get(rdms.distance, rdms.distance) or None,
        rdm_descriptors=of_rdms,
        pattern_descriptors={STIMULUS: list(rdms.stimuli)},
    )


def from_rsatoolbox(
    theirs: "ToolboxRDMs", *, stimuli: str = STIMULUS, subjects: str | None = None, sessions: str | None = None
) -> RDMs:
    """RDMs of rsatoolbox as ours.

    Parameters
    ----------
    theirs : rsatoolbox.rdm.RDMs
    stimuli : str
        The pattern descriptor that holds the stimulus ids; `index` numbers them.
    subjects, sessions : str, optional
        RDM descriptors; `subject` and `session` where they are there, unless given.

    Returns
    -------
    RDMs

    Raises
    ------
    RequestError
        A descriptor that is not there; the message lists those that are.
    DataError
        As `RDMs`: for example stimulus ids that are there twice.

    Examples
    --------
    >>> import rsatoolbox
    >>> theirs = rsatoolbox.rdm.RDMs(np.array([[0.1, 0.2, 0.3]]), pattern_descriptors={"conds": ["a", "b", "c"]})
    >>> from_rsatoolbox(theirs, stimuli="conds").stimuli
    ('a', 'b', 'c')
    """
    of_patterns, of_rdms = theirs.pattern_descriptors, theirs.rdm_descriptors
    values = np.asarray(theirs.dissimilarities)
    measure = theirs.dissimilarity_measure or ""
    return RDMs(
        values if values.dtype.kind == "f" else values.astype(np.float64),
        _labels(of_patterns, stimuli, kind="pattern"),
        distance=_FORMULAS.get(measure, measure),
        subjects=_labels(of_rdms, subjects or SUBJECT, kind="RDM") if subjects or SUBJECT in of_rdms else (),
        sessions=_labels(of_rdms, sessions or SESSION, kind="RDM") if sessions or SESSION in of_rdms else (),
    )


def write_rdm_file(path: Path, rdms: RDMs) -> Path:
    """Write an RDM file of rsatoolbox (HDF5), whole or not at all; an older one of that name is replaced.

    `rsatoolbox.rdm.load_rdm` reads it when its name ends in `.h5` or `.hdf5`.

    Returns
    -------
    Path

    Raises
    ------
    RequestError
        The name ends in `.pkl`; or a stimulus id, subject, session or distance is not plain ASCII, which is all that
        these files hold.
    DataError
        The file cannot be written.
    """
    _refuse_pickle(path)
    for text in (*rdms.stimuli, *rdms.subjects, *rdms.sessions, rdms.distance):
        if not text.isascii() or "\0" in text:
            raise RequestError(f"{path}: {text!r} is not ASCII, which is all that RDM files hold; rename it first")
    with whole_file(path) as partial:
        to_rsatoolbox(rdms).save(str(partial), file_type="hdf5")
    return path


def read_rdm_file(
    path: Path, *, stimuli: str = STIMULUS, subjects: str | None = None, sessions: str | None = None
) -> RDMs:
    """Read an RDM file of rsatoolbox (HDF5), such as `RDMs.save` and `write_rdm_file` write; never a pickle.

    Parameters
    ----------
    path : Path
    stimuli, subjects, sessions
        As in `from_rsatoolbox`.

    Returns
    -------
    RDMs

    Raises
    ------
    RequestError
        The name ends in `.pkl`, or a descriptor is not there.
    DataError
        No such file, or not an RDM file; or as `RDMs`.

    Examples
    --------
    >>> import tempfile
    >>> rdms = RDMs(np.array([[0.1, 0.2, 0.3]]), stimuli=("a", "b", "c"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_rdm_file(Path(folder) / "rdms.h5", rdms)
    ...     read_rdm_file(path).stimuli
    ('a', 'b', 'c')
    """
    from rsatoolbox.rdm import load_rdm

    _refuse_pickle(path)
    if not path.is_file():
        raise DataError(f"{path}: no such RDM file")
    try:
        theirs = load_rdm(str(path), file_type="hdf5")
    except OSError:
        raise DataError(f"{path} is not an HDF5 file; save it with rsatoolbox's save(..., file_type='hdf5')") from None
    # what a file of another layout, or with descriptors that do not fit, runs into
    except (KeyError, AttributeError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not an RDM file of rsatoolbox ({reason}); write it anew") from None
    try:
        return from_rsatoolbox(theirs, stimuli=stimuli, subjects=subjects, sessions=sessions)
    except AlignmentError as error:
        raise type(error)(f"{path}: {error}") from None


def _refuse_pickle(path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise RequestError(f"{path}: a pickle can run any code when it is read; use HDF5, a name that ends in .h5")


def _labels(descriptors: Mapping[str, Sequence[Any]], name: str, *, kind: str) -> tuple[str, ...]:
    if name not in descriptors:
        raise unknown(f"{kind} descriptor", name, descriptors)
    return tuple(str(label) for label in descriptors[name])
