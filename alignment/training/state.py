"""The whole state of a training in one file, written whole or not at all, and read only for the training it is of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alignment.errors import DataError
from alignment.models.checkpoints import check_fit, load_file
from alignment.whole_files import whole_file

ENTRIES = ("identity", "module", "optimiser", "step", "loss_sum", "hits", "history", "selected")


class Epoch(NamedTuple):
    """What one epoch came to.

    Attributes
    ----------
    epoch : counted from 0
    learning_rate : of its last update
    loss, accuracy : of the training images, as they were passed through the network while it learned
    validation_loss, validation_accuracy : of the held-out images at its end; None where there are none
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


class Selected(NamedTuple):
    """The epoch chosen so far, and its weights on the CPU."""

    epoch: int
    state: dict[str, Tensor]


@dataclass
class Progress:
    """How far a training has come; everything random follows from the recipe's seed and the step.

    Parameters
    ----------
    step : updates made
    loss_sum, hits : over the images of the present epoch so far
    history : of the epochs that are over
    selected : the best of them
    """

    step: int = 0
    loss_sum: float = 0.0
    hits: int = 0
    history: list[Epoch] = field(default_factory=list)
    selected: Selected | None = None


def write_progress(
    path: Path,
    progress: Progress,
    *,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: Mapping[str, str],
) -> None:
    """Keep everything that the next update depends on.

    Parameters
    ----------
    path : replaced as a whole
    progress, module, optimiser : as they are between two updates
    identity : what the training is of, by name, each as a hash or a text

    Raises
    ------
    DataError
        The file cannot be written.
    """
    content = {
        "identity": dict(identity),
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": progress.step,
        "loss_sum": progress.loss_sum,
        "hits": progress.hits,
        "history": [row._asdict() for row in progress.history],
        "selected": None if progress.selected is None else progress.selected._asdict(),
    }
    with whole_file(path) as partial:
        torch.save(content, partial)


def read_progress(
    path: Path, *, module: nn.Module, optimiser: torch.optim.Optimizer, identity: Mapping[str, str]
) -> Progress:
    """Put a module and its optimiser back where they were; what `write_progress` took.

    Raises
    ------
    DataError
        The file is damaged or no such state, or it is of another training: what differs is named.
    """
    content = read_content(path, entries=ENTRIES, identity=identity)
    check_fit(module, content["module"], where=str(path))
    module.load_state_dict(content["module"])
    optimiser.load_state_dict(content["optimiser"])
    return Progress(
        content["step"],
        content["loss_sum"],
        content["hits"],
        [Epoch(**row) for row in content["history"]],
        None if content["selected"] is None else Selected(**content["selected"]),
    )


def read_content(path: Path, *, entries: Collection[str], identity: Mapping[str, str]) -> dict[str, Any]:
    """What a file of a training's state holds, if it is one and of this training.

    Parameters
    ----------
    path : the file
    entries : all that such a file holds, `identity` among them
    identity : what the training is of, by name, each as a hash or a text

    Raises
    ------
    DataError
        The file is damaged or no such state, or it is of another training: what differs is named.
    """
    try:
        content = load_file(path)
    except DataError as error:
        raise DataError(f"training state: {error}; delete it to start again") from None
    if not isinstance(content, dict) or set(content) != set(entries) or not isinstance(content["identity"], dict):
        raise DataError(f"training state {path}: it is none; delete it to start again, or name another file")
    differing = [name for name, value in identity.items() if content["identity"].get(name) != value]
    if differing:
        raise DataError(
            f"training state {path}: it is of other {' and '.join(differing)}; delete it to start again, or name "
            "another file"
        )
    return content
