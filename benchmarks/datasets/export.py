"""Data sets in the files of other tools: Brain-Score's assemblies, rsatoolbox's RDM files, rep_align's folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import xarray as xr

from alignment.arrays import responses_array
from alignment.assemblies import write_assembly
from alignment.errors import DataError, RequestError
from alignment.rsa import write_rdm_file
from benchmarks.datasets.base import DataSet, LabelledDataSet, RDMDataSet, holds_labels, holds_rdms
from benchmarks.datasets.rep_align import export_rep_align


def export(dataset: DataSet | RDMDataSet | LabelledDataSet, folder: Path) -> tuple[Path, ...]:
    """Write what was measured: RDMs by subject and session, or mean responses, a file for each subject.

    Parameters
    ----------
    dataset : with responses or RDMs
    folder : made where it is missing

    Returns
    -------
    The files: `<name>.hdf5` (rsatoolbox), or `<name>.<subject>.nc` (Brain-Score). What is not one of A-Z a-z 0-9 . _ -
    in a name is written %XX there, as in an address, so that no name leads out of the folder

    Raises
    ------
    RequestError
        The data set holds labels: nothing was measured; a name cannot be kept in the other tool's file.
    DataError
        The folder cannot be written, two subjects differ in upper and lower case alone, or a name cannot be kept in the
        other tool's file.
    """
    if holds_labels(dataset):
        raise RequestError(f"{dataset.name} holds labelled images, and nothing measured; export responses or RDMs")
    if holds_rdms(dataset):
        sessions = dataset.sessions()
        return (
            write_rdm_file(folder / _file_name(dataset.name, "hdf5"), dataset.rdms() if sessions is None else sessions),
        )
    _check_distinct(dataset.subjects, name=dataset.name)
    return tuple(
        write_assembly(
            folder / _file_name(dataset.name, subject, "nc"),
            _presentations(dataset.responses(subject), subject),
            identifier=f"{dataset.name}.{subject}",
            stimulus_set_identifier=dataset.stimuli.name,
        )
        for subject in dataset.subjects
    )


def export_rep_align_folders(dataset: DataSet | RDMDataSet | LabelledDataSet, folder: Path) -> tuple[Path, ...]:
    """Write mean responses as rep_align reads them: its `train` fits and its `val` judges, of the first split.

    Parameters
    ----------
    dataset : with responses
    folder : made where it is missing; of several subjects, each has a folder in it

    Raises
    ------
    RequestError
        The data set holds no responses, or they cannot be kept so.
    DataError
        A file cannot be written.
    """
    if holds_labels(dataset) or holds_rdms(dataset):
        raise RequestError(f"{dataset.name} holds no responses, which layout=rep_align is for; leave it out")
    _check_distinct(dataset.subjects, name=dataset.name)
    several = len(dataset.subjects) > 1
    written: list[Path] = []
    for subject in dataset.subjects:
        place = folder / _file_name(subject) if several else folder
        written += export_rep_align(dataset, place, subject=subject, split=dataset.splits(subject)[0].name)
    return tuple(written)


LAYOUTS: Mapping[str, Callable[[DataSet | RDMDataSet | LabelledDataSet, Path], tuple[Path, ...]]] = {
    "usual": export,
    "rep_align": export_rep_align_folders,
}


def _file_name(*parts: str) -> str:
    return quote(".".join(parts), safe="")


def _check_distinct(subjects: Sequence[str], *, name: str) -> None:
    """Many file systems do not tell A from a: one subject's file would replace the other's."""
    known: dict[str, str] = {}
    for subject in subjects:
        other = known.setdefault(_file_name(subject).lower(), subject)
        if other != subject:
            raise DataError(
                f"{name}: subjects {other!r} and {subject!r} differ in case alone, as files may not; rename one"
            )


def _presentations(responses: xr.DataArray, subject: str) -> xr.DataArray:
    """Mean responses ("stimulus", "neuroid", "time_bin") as presentations, one to each stimulus."""
    coords = {str(name): coord.values for name, coord in responses.coords.items() if coord.dims == ("neuroid",)}
    known = {name: values for name, values in coords.items() if name != "neuroid"}
    known.setdefault("subject", np.array([subject] * responses.sizes["neuroid"]))
    known["neuroid_id"] = responses["neuroid"].values.astype(str)
    return responses_array(
        responses.values,
        stimulus=responses["stimulus"].values.tolist(),
        time_bins=responses["time_bin"].values.tolist(),
        neuroid=known,
    )
