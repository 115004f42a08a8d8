"""Where each file of the Natural Scenes Dataset lies, and the sizes its loader may rely on.

The tree is the official one (NSD Data Manual; Allen et al. 2022, Nat. Neurosci. 25:116). A simulated brain of another
size states its sizes in `layout.json` at the root of the tree; without that file the sizes are the real ones.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from alignment.errors import DataError

LAYOUT_FILE = "layout.json"
SPACE = "func1pt8mm"
N_SUBJECTS = 8
BETAS = {
    "b1": "betas_assumehrf",
    "b2": "betas_fithrf",
    "b3": "betas_fithrf_GLMdenoise_RR",
}
SUFFIXES = {"hdf5": ".hdf5", "nii": ".nii.gz"}


@dataclass(frozen=True)
class Layout:
    """Sizes of the experiment; the defaults are those of the real one.

    Attributes
    ----------
    trials_per_run : stimulus trials of each run of a session (odd runs 63, even runs 62: 750 a session)
    sessions : sessions that each of the eight subjects completed
    images : number of rows of `nsd_stimuli.hdf5` and of `nsd_stim_info_merged.csv`; every nsdId is below it
    image_size : edge of the square images, pixels
    """

    trials_per_run: tuple[int, ...] = (63, 62) * 6
    sessions: tuple[int, ...] = (40, 40, 32, 30, 40, 32, 40, 30)
    images: int = 73_000
    image_size: int = 425

    @property
    def trials_per_session(self) -> int:
        """Stimulus trials of one session."""
        return sum(self.trials_per_run)

    def text(self) -> str:
        """The layout as `layout.json` holds it."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read_layout(root: Path) -> Layout:
    """The layout that `layout.json` states, or the real one where there is no such file.

    Raises
    ------
    DataError
        The file is not JSON, or a size is missing, unknown or not a positive whole number.
    """
    path = root / LAYOUT_FILE
    if not path.exists():
        return Layout()
    try:
        stated = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not JSON ({error}); write the simulation again") from None
    names = {entry.name for entry in fields(Layout)}
    if not isinstance(stated, Mapping) or set(stated) != names:
        raise DataError(f"{path}: expected exactly the keys {', '.join(sorted(names))}; write the simulation again")
    sizes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}
    for name, value in sizes.items():
        many = name in ("trials_per_run", "sessions")
        numbers = value if isinstance(value, tuple) else (value,)
        if many != isinstance(value, tuple) or not numbers or not all(type(n) is int and n > 0 for n in numbers):
            raise DataError(f"{path}: {name} is {value!r}, expected positive whole numbers; write the simulation again")
    if len(sizes["sessions"]) != N_SUBJECTS:
        raise DataError(f"{path}: sessions of {len(sizes['sessions'])} subjects, expected {N_SUBJECTS}")
    return Layout(**sizes)


def subject_name(subject: int) -> str:
    """`subj01` for subject 1."""
    return f"subj{subject:02d}"


@dataclass(frozen=True)
class Tree:
    """Paths of one copy of the data set; subjects and sessions count from 1."""

    root: Path
    layout: Layout

    @classmethod
    def at(cls, root: Path) -> "Tree":
        """The tree below `root`.

        Raises
        ------
        DataError
            There is no `nsddata` or `nsddata_betas` below `root`.
        """
        for part in ("nsddata", "nsddata_betas"):
            if not (root / part).is_dir():
                raise DataError(
                    f"{root / part}: no such folder; point data.nsd= at the folder that holds nsddata, nsddata_betas "
                    "and nsddata_stimuli"
                )
        return cls(root, read_layout(root))

    @property
    def design(self) -> Path:
        """The experimental design, MATLAB."""
        return self.root / "nsddata/experiments/nsd/nsd_expdesign.mat"

    @property
    def stim_info(self) -> Path:
        """The table of all images and their planned trials."""
        return self.root / "nsddata/experiments/nsd/nsd_stim_info_merged.csv"

    @property
    def stimuli(self) -> Path:
        """The images."""
        return self.root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"

    def behaviour(self, subject: int) -> Path:
        """One row per performed stimulus trial."""
        return self.root / "nsddata/ppdata" / subject_name(subject) / "behav/responses.tsv"

    def volumes(self, subject: int) -> Path:
        """Folder of the subject's anatomical and functional volumes."""
        return self.root / "nsddata/ppdata" / subject_name(subject) / SPACE

    def roi(self, subject: int, family: str, *, hemisphere: str = "") -> Path:
        """Label volume of an ROI family; `hemisphere` is "lh", "rh" or empty for both."""
        prefix = f"{hemisphere}." if hemisphere else ""
        return self.volumes(subject) / "roi" / f"{prefix}{family}.nii.gz"

    def ctab(self, subject: int, family: str) -> Path:
        """Names of the labels of an ROI family."""
        return self.root / "nsddata/freesurfer" / subject_name(subject) / "label" / f"{family}.mgz.ctab"

    def betas_folder(self, subject: int, beta: str) -> Path:
        """Folder of one beta version, which also holds `ncsnr.nii.gz`."""
        return self.root / "nsddata_betas/ppdata" / subject_name(subject) / SPACE / beta

    def betas(self, subject: int, beta: str, *, session: int, source: str) -> Path:
        """Single-trial responses of one session; `source` is a key of SUFFIXES."""
        return self.betas_folder(subject, beta) / f"betas_session{session:02d}{SUFFIXES[source]}"

    def ncsnr(self, subject: int, beta: str) -> Path:
        """Noise-ceiling signal-to-noise ratio of each voxel."""
        return self.betas_folder(subject, beta) / "ncsnr.nii.gz"

    def sessions(self, subject: int, beta: str, *, source: str) -> tuple[int, ...]:
        """Sessions whose betas are on disk, ascending."""
        pattern = re.compile(rf"betas_session(\d\d){re.escape(SUFFIXES[source])}")
        folder = self.betas_folder(subject, beta)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return tuple(sorted(int(match[1]) for match in map(pattern.fullmatch, names) if match))

    def subjects(self, beta: str) -> tuple[int, ...]:
        """Subjects with at least one session of that beta version."""
        return tuple(
            subject
            for subject in range(1, N_SUBJECTS + 1)
            if any(self.sessions(subject, beta, source=source) for source in SUFFIXES)
        )
