"""A simulated brain in the layout of the Natural Scenes Dataset, with known truth."""

from benchmarks.datasets.nsd_simulator.dataset import build, build_smoke, nsd_simulated, simulated_tree
from benchmarks.datasets.nsd_simulator.settings import LARGE, PRESETS, SMOKE, SimulatedNSD
from benchmarks.datasets.nsd_simulator.truth import truth_model
from benchmarks.datasets.nsd_simulator.writer import simulate_nsd, truth_path

__all__ = [
    "LARGE",
    "PRESETS",
    "SMOKE",
    "SimulatedNSD",
    "build",
    "build_smoke",
    "nsd_simulated",
    "simulate_nsd",
    "simulated_tree",
    "truth_model",
    "truth_path",
]
