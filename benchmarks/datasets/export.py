"""Data sets in the files of other tools: Brain-Score's assemblies, rsatoolbox's RDM files."""

from pathlib import Path

import numpy as np
import xarray as xr

from alignment.arrays import responses_array
from alignment.assemblies import write_assembly
from alignment.rsa import write_rdm_file
from benchmarks.datasets.base import DataSet, RDMDataSet, holds_rdms


def export(dataset: DataSet | RDMDataSet, folder: Path) -> tuple[Path, ...]:
    """Write what was measured: RDMs by subject and session, or mean responses, a file for each subject.

    Parameters
    ----------
    dataset : with responses or RDMs
    folder : made where it is missing

    Returns
    -------
    The files: `<name>.hdf5` (rsatoolbox), or `<name>.<subject>.nc` (Brain-Score)

    Raises
    ------
    DataError
        The folder cannot be written, or a name cannot be kept in the other tool's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if holds_rdms(dataset):
        sessions = dataset.sessions()
        return (write_rdm_file(folder / f"{dataset.name}.hdf5", dataset.rdms() if sessions is None else sessions),)
    return tuple(
        write_assembly(
            folder / f"{dataset.name}.{subject}.nc",
            _presentations(dataset.responses(subject), subject),
            identifier=f"{dataset.name}.{subject}",
            stimulus_set_identifier=dataset.stimuli.name,
        )
        for subject in dataset.subjects
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
