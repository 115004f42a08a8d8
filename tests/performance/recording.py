"""What recording costs beside the forward pass it rides on, in time and in memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from alignment.models import load_model
from alignment.record import DEFAULT_BLOCK
from alignment.seeds import generator
from alignment.stimuli import StimulusSet
from benchmarks.fingerprint import PixelDigests
from benchmarks.provenance import peak_memory
from benchmarks.recordings import Recording, Recordings
from benchmarks.store import Store

LAYERS = ("maxpool", "layer1", "layer2", "layer3", "layer4")
# a block of stimuli as `bench run` records it
STIMULI, BATCH, EDGE, REPEATS = DEFAULT_BLOCK, 32, 224, 4
SMALL_EDGE = 64
MAX_OVERHEAD, MAX_GROWTH = 1.15, 1.10


def measure() -> list[tuple[str, float, str]]:
    """(what, value, target) of each figure."""
    overhead = {pool: _overhead(pool) for pool in (4, None)}
    few, many = _peak_memory(1000), _peak_memory(4000)
    return [
        (
            "recording resnet18, 5 layers pooled to 4x4 and stored / bare forward pass",
            overhead[4],
            f"<= {MAX_OVERHEAD}",
        ),
        ("recording resnet18, 5 layers of full maps and stored / bare forward pass", overhead[None], "reported"),
        ("peak memory of recording 1,000 stimuli, MB", few, "reported"),
        ("peak memory of recording 4,000 stimuli / 1,000 stimuli", many / few, f"<= {MAX_GROWTH}"),
    ]


def _overhead(pool: int | None) -> float:
    """Ratio of the fastest of several runs made in turn: what another load on the machine disturbs least."""
    model = load_model("resnet18", weights="none", layers=LAYERS, cache=Path())
    stimuli = _stimuli(STIMULI, EDGE)
    with tempfile.TemporaryDirectory() as folder:
        bare = _forward(model, stimuli)
        stored = partial(_record, model, stimuli, pool=pool, folder=Path(folder))
        rounds = [(_seconds(bare), _seconds(stored)) for _ in range(REPEATS + 1)][1:]
    alone, together = np.min(rounds, axis=0)
    return float(together / alone)


def _forward(model, stimuli: StimulusSet) -> Callable[[], None]:
    """The forward pass alone, on batches that lie ready in memory, channels last as in recording."""
    pixels = stimuli.pixels(stimuli.ids)
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in pixels.split(BATCH)]
    module = model.module.to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.no_grad():
            for batch in batches:
                module(batch)

    return run


def _record(model, stimuli: StimulusSet, *, pool: int | None, folder: Path) -> None:
    """As `bench run` does it: blocks under content keys, written whole and flushed to disk."""
    store = Store(Path(tempfile.mkdtemp(dir=folder)))
    recordings = Recordings(store, PixelDigests(store), device="cpu", batch_size=BATCH, block_size=STIMULI)
    recordings.digests.of(stimuli)
    recordings.record(model, stimuli, LAYERS, Recording(pool=pool))


def _stimuli(count: int, edge: int) -> StimulusSet:
    """Random images; a few distinct ones stand for all, so that they do not count as recording's memory."""
    images = generator(0, "stimuli").integers(0, 256, size=(min(count, 64), edge, edge, 3), dtype=np.uint8)
    return StimulusSet("noise", tuple(f"{n:05d}" for n in range(count)), lambda name: images[int(name) % len(images)])


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _peak_memory(count: int) -> float:
    """MB at the peak of a process of its own that records `count` small stimuli and stores them."""
    run = subprocess.run([sys.executable, __file__, "--peak", str(count)], check=True, capture_output=True, text=True)
    return float(run.stdout)


def _record_in_this_process(count: int) -> None:
    model = load_model("resnet18", weights="none", layers=LAYERS, cache=Path())
    model.image_size = (SMALL_EDGE, SMALL_EDGE)
    with tempfile.TemporaryDirectory() as folder:
        _record(model, _stimuli(count, SMALL_EDGE), pool=4, folder=Path(folder))
    print(peak_memory() / 1e6)


if __name__ == "__main__":
    if "--peak" in sys.argv:
        _record_in_this_process(int(sys.argv[-1]))
    else:
        for what, value, target in measure():
            print(f"{what}: {value:.3f} (target {target})")
