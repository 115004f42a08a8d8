"""The simulated brain as a data set: made on demand, once, and read by the loader of the real one."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from alignment import fingerprint
from alignment.errors import DataError, unknown
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.nsd import NSD
from benchmarks.datasets.nsd.dataset import DEFAULT_ROI
from benchmarks.datasets.nsd.layout import LAYOUT_FILE
from benchmarks.datasets.nsd_simulator.settings import LARGE_NAME, PRESETS, SMOKE_NAME, VERSION, SimulatedNSD
from benchmarks.datasets.nsd_simulator.writer import simulate_nsd

PRESET_SEEDS: Mapping[str, int] = dict.fromkeys(PRESETS, 0)


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

    Examples
    --------
    >>> nsd_simulated(DataSettings(), roi="V1", preset="nsd-smoke").subjects  # doctest: +SKIP
    ('subj01', 'subj02')
    """
    if preset not in PRESETS:
        raise unknown("simulation", preset, PRESETS)
    folder = settings.folder or simulated_tree(settings.cache, settings=PRESETS[preset], seed=PRESET_SEEDS[preset])
    return NSD(replace(settings, folder=folder), roi=roi, prefix=preset)


def build(settings: DataSettings, selection: str | None = None) -> NSD:
    """The data set `nsd-simulated.<selection>`; the selection is a region."""
    return nsd_simulated(settings, roi=selection or DEFAULT_ROI, preset=LARGE_NAME)


def build_smoke(settings: DataSettings, selection: str | None = None) -> NSD:
    """The data set `nsd-smoke.<selection>`; the selection is a region."""
    return nsd_simulated(settings, roi=selection or DEFAULT_ROI, preset=SMOKE_NAME)
