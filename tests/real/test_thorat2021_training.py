"""What 20,000 updates make of the lean network: hours on two cores, so that each run goes on where the last ended.

BENCH_TRAINING names the folder that keeps the training between runs; without it there is nothing to go on from.
"""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from alignment.decoding import PUBLISHED, permuted, read_out
from alignment.dynamics.perturbation import functional_importance, perturb_flows
from alignment.models.thorat_rnn.model import ThoratModel
from alignment.stimuli.clutter import EXTREMES, Clutter, Objects
from benchmarks.datasets.base import DataSettings
from benchmarks.datasets.clutter import objects_of, sources_of
from benchmarks.datasets.mnist_files import TEST
from benchmarks.model_files import load_model

BENCH = Path(sys.executable).parent / "bench"
STEM = "thorat_rnn_lean"
MINUTES = 20
DECODED, PERTURBED, FOLDS = 1000, 300, 5
VARIABLES = ("category", "column", "row")


class Gates(NamedTuple):
    """Accuracies in each sweep (sweep,) of read-outs of `states.fc`, and importance of the flow into conv1 (sweep,)."""

    category: np.ndarray
    permuted: np.ndarray
    location: np.ndarray
    importance: np.ndarray
    importance_low: np.ndarray


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The published images as torchvision unpacks them."""
    place = tmp_path_factory.mktemp("root")
    for folder in ("MNIST/raw", "FashionMNIST/raw"):
        (place / folder).mkdir(parents=True)
        for packed in sorted((shared_data / "torchvision" / folder).glob("*.gz")):
            (place / folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return place


@pytest.mark.slow
def test_a_trained_network_uses_location_and_tells_categories_ever_better(root: Path) -> None:
    place = os.environ.get("BENCH_TRAINING")
    if place is None:
        pytest.skip("set BENCH_TRAINING to a folder that keeps a training of hours between runs")
    words = [str(BENCH), "train", f"model={STEM}", f"results={place}", f"data.root={root}", "threads=1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, errors = process.communicate(timeout=60 * MINUTES)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            said, errors = process.communicate(timeout=600)
            pytest.skip(f"{said.splitlines()[-1] if said else errors}; run it again to go on")
    assert process.returncode == 0, errors
    model = load_model(STEM, cache=Path(place) / "cache")
    assert isinstance(model, ThoratModel)
    found = gates(model, objects_of(sources_of(DataSettings(root=root)), part=TEST))
    assert (np.diff(found.category) > 0).all(), found
    assert found.location[2] - found.location[0] > 0.1, found
    # 1,000 images of 20 categories, folds that share training images
    assert abs(found.permuted - 0.05).max() < 4 * np.sqrt(0.05 * 0.95 / DECODED * 2.25), found
    assert found.importance_low.max() > 0, found


def gates(model: ThoratModel, objects: Objects) -> Gates:
    """What a network's last layer tells of cluttered images, and what it uses the flow into conv1 for."""
    series = Clutter(objects, seed=11)
    batch = series.batch(range(DECODED))
    labels = np.stack([batch.variables[name] for name in VARIABLES], axis=1)
    states = recorded(model, batch.images)
    dealt = permuted(labels, "gates")
    right, by_chance = (np.stack([_right(each, known) for each in states]) for known in (labels, dealt))
    importance = _importance(model, Clutter(objects, seed=12, variation=EXTREMES))
    return Gates(right[:, 0], by_chance[:, 0], right[:, 1:].mean(axis=1), *importance)


@torch.no_grad()
def recorded(model: ThoratModel, images: np.ndarray) -> torch.Tensor:
    """(sweep, image, unit) of the last layer."""
    batches = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1).split(50)
    return torch.cat([model.record(each, ["states.fc"])["states.fc"] for each in batches]).transpose(0, 1)


def _right(features: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """(variable,) share of images that are read rightly, each by a fit on the other folds."""
    folds = np.arange(len(labels)) % FOLDS
    read = read_out(features.contiguous(), labels, folds=folds, inner=None, decoder=PUBLISHED)
    return (read.predicted == labels).mean(axis=0)


def _importance(model: ThoratModel, series: Clutter) -> tuple[np.ndarray, np.ndarray]:
    """Of the location that flows into conv1, and the low ends of its intervals: (sweep,) from the second on."""
    own = series.batch(range(PERTURBED))
    swapped = series.swapped(range(PERTURBED), names=["row", "column"])
    grey = {name: torch.from_numpy(each.images)[:, None].expand(-1, 3, -1, -1) for name, each in swapped.items()}
    model.select_layers(["flows.*"])
    correct = perturb_flows(
        model,
        torch.from_numpy(own.images)[:, None].expand(-1, 3, -1, -1),
        grey,
        targets=own.variables["category"],
        flows={"conv1": model.incoming["conv1"]},
        ids=[str(index) for index in range(PERTURBED)],
    )
    cells = correct[["perturbed", "control"]].astype(float).mean("property").expand_dims(property=["location"])
    found = functional_importance(cells.assign(original=correct["original"]))
    return found["value"].values[0, 0], found["low"].values[0, 0]
