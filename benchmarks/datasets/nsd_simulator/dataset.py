"""The simulated brain as a data set: made on demand, once, and read by the loader of the real one."""

from dataclasses import asdict, replace
from pathlib import Path

from alignment import fingerprint
from alignment.errors import DataError, RequestError, unknown
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD
from benchmarks.datasets.nsd.dataset import DEFAULT_ROI
from benchmarks.datasets.nsd.layout import LAYOUT_FILE
from benchmarks.datasets.nsd.options import parse_options
from benchmarks.datasets.nsd.rois import choose
from benchmarks.datasets.nsd_simulator import brain
from benchmarks.datasets.nsd_simulator.settings import LARGE_NAME, PRESETS, SMOKE_NAME, VERSION, SimulatedNSD
from benchmarks.datasets.nsd_simulator.writer import BETA, simulate_nsd


def simulated_tree(cache: Path, *, settings: SimulatedNSD, seed: int = 0) -> Path:
    """The tree of a simulation, made at the first call; any number of processes may ask at once.

    Parameters
    ----------
    cache : folder that holds simulations, each under the hash of its settings, seed and version
    """
    key = fingerprint.of_settings([VERSION, seed, asdict(settings)])
    folder = cache / f"nsd-simulated-{key}"
    if not (folder / LAYOUT_FILE).exists():
        try:
            simulate_nsd(folder, settings=settings, seed=seed)
        except (DataError, OSError):
            # another process may have finished the same simulation first
            if not (folder / LAYOUT_FILE).exists():
                raise
    return folder


def nsd_simulated(settings: DataSettings, *, roi: str = DEFAULT_ROI, preset: str = LARGE_NAME) -> NSD:
    """One region of a simulated brain, named `<preset>.<roi>`.

    Parameters
    ----------
    settings : `folder` names a tree made before (`bench data simulate`); otherwise it is made in `cache`
    roi : as for `NSD`
    preset : a key of PRESETS: "nsd-smoke" (seconds) or "nsd-simulated"

    Raises
    ------
    RequestError
        An unknown preset, region or option, or subjects or sessions that are not simulated; nothing was made then.

    Examples
    --------
    >>> nsd_simulated(DataSettings(), roi="V1", preset="nsd-smoke").subjects  # doctest: +SKIP
    ('subj01', 'subj02')
    """
    if preset not in PRESETS:
        raise unknown("simulation", preset, PRESETS)
    folder = settings.folder
    if folder is None:
        check_asked(settings, roi=roi, preset=preset)
        folder = simulated_tree(settings.cache, settings=PRESETS[preset])
    return NSD(replace(settings, folder=folder), roi=roi, prefix=preset)


def check_asked(settings: DataSettings, *, roi: str, preset: str) -> None:
    """Refuse what the simulation will not hold, before it is made.

    Raises
    ------
    RequestError
        An unknown region or option, or subjects or sessions that are not simulated.
    """
    if settings.folder is not None:
        # a tree made before says itself what it holds
        return
    simulated = PRESETS[preset]
    choose(brain.FAMILIES, roi, place=preset)
    options = parse_options(settings.options, data_set=preset)
    if options.beta != BETA:
        raise RequestError(f"{preset} holds {BETA} alone, not {options.beta}; leave data.beta out")
    absent = set(options.subjects or ()) - set(range(1, len(simulated.sessions) + 1))
    if absent:
        raise RequestError(f"{preset} has subjects 1 to {len(simulated.sessions)}, not {min(absent)}")
    subjects = options.subjects or range(1, len(simulated.sessions) + 1)
    most = min(simulated.sessions[subject - 1] for subject in subjects)
    if max(options.sessions or (0,)) > most:
        raise RequestError(f"{preset} has sessions 1 to {most} of these subjects, not {max(options.sessions or ())}")


def build(settings: DataSettings, selection: str | None = None) -> NSD:
    """The data set `nsd-simulated.<selection>`; the selection is a region."""
    return nsd_simulated(settings, roi=selection or DEFAULT_ROI, preset=LARGE_NAME)


def build_smoke(settings: DataSettings, selection: str | None = None) -> NSD:
    """The data set `nsd-smoke.<selection>`; the selection is a region."""
    return nsd_simulated(settings, roi=selection or DEFAULT_ROI, preset=SMOKE_NAME)


def check(settings: DataSettings, selection: str | None) -> None:
    """Whether `nsd-simulated.<selection>` can be made."""
    check_asked(settings, roi=selection or DEFAULT_ROI, preset=LARGE_NAME)


def check_smoke(settings: DataSettings, selection: str | None) -> None:
    """Whether `nsd-smoke.<selection>` can be made."""
    check_asked(settings, roi=selection or DEFAULT_ROI, preset=SMOKE_NAME)
