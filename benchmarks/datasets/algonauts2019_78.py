"""fMRI RDMs of 78 photographs in the early visual cortex and IT of 15 people (Algonauts 2019; Cichy et al. 2019).

From a folder in the layout of the upstream repository (`brain_data/`, `stimuli_data/`) or flat (the npz files beside
`images/`), or fetched from the commit named here. The people agree with each other at chance.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from alignment.errors import RequestError, unknown
from alignment.fetch import fetch
from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet
from benchmarks.datasets.algonauts2019_78_images import SHA256
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.given_rdms import GivenRDMs
from benchmarks.datasets.image_files import decode
from benchmarks.datasets.options import check_options
from benchmarks.datasets.places import published_folder

NAME = "algonauts2019_78"
VERSION = 1
COMMIT = "b59ed47dc88e3c120e43f5726ede126e902843e8"
SOURCE = f"https://raw.githubusercontent.com/cvai-roig-lab/Net2Brain/{COMMIT}/net2brain/tests/data"
CITATION = "Cichy, Roig, Andonian, Dwivedi, Lahner, Lascelles, Mohsenzadeh, Ramakrishnan, Oliva 2019, arXiv:1905.05675"
LICENCE = "research use; licence of the photographs not stated"
TRAP = "the people agree at chance: nothing can be divided by a lower ceiling"

# upstream folder of each kind of file, and where it lies in a flat folder
RDM_FOLDERS = ("brain_data", "")
IMAGE_FOLDERS = ("stimuli_data", "images")

RDM_SHA256: Mapping[str, str] = {
    "EVC": "c927ba9793234c4bf4845320ac66fbfbe85ec9afc4df9b12ca2a006dae753672",
    "IT": "b27cc1c7f87428516fabb4a67e0c1aafe3e6a7de4667e35b5b141e3582e53900",
}
IMAGE_SHA256: Mapping[str, str] = {f"image_{number:02d}": sha256 for number, sha256 in enumerate(SHA256, start=1)}


def build(settings: DataSettings, selection: str | None) -> GivenRDMs:
    """The data set named after the dot of `algonauts2019_78.<selection>`.

    Parameters
    ----------
    settings : `folder`, or `root`/algonauts2019_78, or `cache`/algonauts2019_78 holds the files or receives the
        downloads
    selection : EVC or IT

    Raises
    ------
    RequestError
        No or another selection, or an option was given.
    DataError
        A folder was named and is not there; a file has another checksum or cannot be fetched.
    """
    if selection is None:
        raise RequestError(f"{NAME} needs a selection: {', '.join(f'{NAME}.{each}' for each in RDM_SHA256)}")
    if selection not in RDM_SHA256:
        raise unknown(f"selection of {NAME}", selection, RDM_SHA256)
    name = f"{NAME}.{selection}"
    check_options(settings.options, accepted=(), name=name)
    folder = published_folder(settings, name=NAME)
    rdms = _file(folder, f"fmri_{selection}_RDMs.npz", RDM_FOLDERS, sha256=RDM_SHA256[selection])
    images = {
        stimulus: _file(folder, f"{stimulus}.jpg", IMAGE_FOLDERS, sha256=sha256)
        for stimulus, sha256 in IMAGE_SHA256.items()
    }
    return GivenRDMs(
        name,
        StimulusSet(name, tuple(images), partial(_read, images), sources=tuple(images.values())),
        _rdms(rdms, stimuli=tuple(images)),
        version=VERSION,
        said={
            "roi": selection,
            "traps": TRAP,
            "folder": str(folder),
            "source": SOURCE,
            "citation": CITATION,
            "licence": LICENCE,
        },
        files=(rdms, *images.values()),
    )


def _file(folder: Path, name: str, places: tuple[str, str], *, sha256: str) -> Path:
    """A file where it lies, in the flat layout or the upstream one; where it lies in neither, fetched into that."""
    upstream, flat = places
    here = folder / flat if (folder / flat / name).exists() else folder / upstream
    return fetch(f"{SOURCE}/{upstream}/{name}", sha256=sha256, folder=here)


def _rdms(path: Path, *, stimuli: tuple[str, ...]) -> RDMs:
    with np.load(path, allow_pickle=False) as archive:
        return RDMs.from_squares(archive["arr_0"], stimuli=stimuli)


def _read(images: Mapping[str, Path], stimulus: str) -> np.ndarray:
    return decode(images[stimulus], name=str(images[stimulus]))
