"""Where a number came from: code, libraries, machine, time and memory. It never reaches a leaderboard."""

import datetime
import importlib.metadata
import os
import platform
import resource
import sys
from typing import Any

LIBRARIES = ("brain-alignment-bench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "xarray", "h5py")


def provenance(*, wall_seconds: float) -> dict[str, Any]:
    """Versions, hardware, wall time (seconds) and peak memory (bytes) of this process."""
    import torch

    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "wall_seconds": round(wall_seconds, 3),
        "peak_memory_bytes": peak_memory(),
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123  # a kernel file, not a path a user chose
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
