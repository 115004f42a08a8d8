"""How far the pipeline is, in one file, written whole or not at all, and read only for the training it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from alignment.models.checkpoints import check_fit
from alignment.training.state import read_content
from alignment.whole_files import whole_file

ENTRIES = ("identity", "stage", "step", "networks", "optimiser", "sums", "history")


class Row(NamedTuple):
    """What one epoch of a stage came to.

    Attributes
    ----------
    stage : its name
    epoch : of the stage, from 0
    slope : of the activation below 0
    loss, accuracy : of the training images, as they were learned
    validation_accuracy : of the held-out images after the stage; None before its last epoch is over
    """

    stage: str
    epoch: int
    slope: float
    loss: float
    accuracy: float
    validation_accuracy: float | None


@dataclass
class Progress:
    """How far the pipeline is.

    Parameters
    ----------
    stage : position among the recipe's stages; their number when all are over
    step : updates made in it
    loss_sum, right : over the images of the present epoch so far
    history : of the epochs that are over
    """

    stage: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    history: list[Row] = field(default_factory=list)


def write_state(
    path: Path,
    progress: Progress,
    *,
    networks: Sequence[nn.Module],
    optimiser: torch.optim.Optimizer | None,
    identity: Mapping[str, str],
) -> None:
    """Keep everything that the next update depends on.

    Parameters
    ----------
    path : replaced as a whole
    progress, networks, optimiser : as they are between two updates; no optimiser between two stages
    identity : what the training is of, by name, each as a hash or a text

    Raises
    ------
    DataError
        The file cannot be written.
    """
    content = {
        "identity": dict(identity),
        "stage": progress.stage,
        "step": progress.step,
        "networks": [network.state_dict() for network in networks],
        "optimiser": None if optimiser is None else optimiser.state_dict(),
        "sums": [progress.loss_sum, progress.right],
        "history": [row._asdict() for row in progress.history],
    }
    with whole_file(path) as partial:
        torch.save(content, partial)


def read_state(
    path: Path, *, networks: Sequence[nn.Module], identity: Mapping[str, str]
) -> tuple[Progress, dict[str, Any] | None]:
    """Put networks back where they were; how far they are, and the state of the optimiser where there is one.

    Raises
    ------
    DataError
        The file is damaged or no such state, or it is of another training: what differs is named.
    """
    content = read_content(path, entries=ENTRIES, identity=identity)
    for network, state in zip(networks, content["networks"], strict=True):
        check_fit(network, state, where=str(path))
        network.load_state_dict(state)
    loss_sum, right = content["sums"]
    history = [Row(**row) for row in content["history"]]
    return Progress(content["stage"], content["step"], loss_sum, right, history), content["optimiser"]
