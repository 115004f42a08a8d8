"""The published AlexNets with feedback: their connections, their files of weights, and the names in those files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from alignment import fingerprint
from alignment.errors import DataError
from alignment.fetch import fetch_recorded
from alignment.models.lrm.connections import Connection

FOLDER = "weights"
BASE = "https://s3.us-east-1.wasabisys.com/visionlab-projects/dnn_feedback_dev/logs/"
# old files have the names of modules without their dots
TRIMMED = re.compile(r"(features|classifier)(\d)")


class Published(NamedTuple):
    """A network and its file of weights.

    Attributes
    ----------
    connections : source and destination of each
    folder : of the file, below BASE
    file : its name, which ends with the first ten digits of its sha256
    """

    connections: tuple[Connection, ...]
    folder: str
    file: str

    @property
    def address(self) -> str:
        """Where it is downloaded from."""
        return f"{BASE}{self.folder}/{self.file}"

    @property
    def digits(self) -> str:
        """What the sha256 of the file begins with: it finds a damaged file, and is too short to prove who made it.

        Examples
        --------
        >>> PUBLISHED[1].digits
        '40b29a3427'
        """
        return Path(self.file).stem.rpartition("-")[2]


_FIRST = (Connection("classifier.6", "features.8"), Connection("features.9", "features.0"))
_SECOND = (*_FIRST, Connection("classifier.6", "features.10"), Connection("features.12", "features.3"))
_THIRD = (*_SECOND, Connection("classifier.2", "features.6"))

PUBLISHED = {
    1: Published(
        _FIRST,
        "set14/set14_alexnet_lrm_cls6to8_9to0_2steps_stepwise/df5a9767-1046-4d0f-9f82-649c0e5c7881",
        "set14_alexnet_lrm_cls6to8_9to0_2steps_stepwise_final_weights-40b29a3427.pth",
    ),
    2: Published(
        _SECOND,
        "set15/set15_alexnet_torchvision_imagenet1k_lrm_2back_2steps/84bdc4f4-1de0-4438-941b-43e574298694",
        "set15_alexnet_torchvision_imagenet1k_lrm_2back_2steps_final_weights-17b4229a30.pth",
    ),
    3: Published(
        _THIRD,
        "set15/set15_alexnet_torchvision_imagenet1k_lrm_3back_2steps/28453e80-c5e5-4d76-bc81-99c5fade39ff",
        "set15_alexnet_torchvision_imagenet1k_lrm_3back_2steps_final_weights-63ab1b3b06.pth",
    ),
}


def published_weights(published: Published, *, data_root: Path | None, cache: Path) -> Path:
    """The file in `data_root/weights`, or else in `cache/weights`, where it is downloaded to.

    Raises
    ------
    DataError
        Its sha256 begins with other digits than its name ends with, or it is not there and cannot be downloaded.
    """
    at_hand = None if data_root is None else data_root / FOLDER / published.file
    if at_hand is not None and at_hand.is_file():
        path = at_hand
    else:
        path = fetch_recorded(published.address, folder=cache / FOLDER)
    if not fingerprint.of_file(path).startswith(published.digits):
        raise DataError(f"weights {path}: sha256 does not start with {published.digits}; delete it and fetch it again")
    return path


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names that they have here; those that have them already keep them.

    Parameters
    ----------
    state : of `alignment.models.checkpoints.read_state`

    Examples
    --------
    >>> old = "module.lrm.features8_modulation.from_classifier6_to_features8.neg_scale"
    >>> list(renamed({old: None, "module.backbone.features.0.bias": None}))
    ['lrm.features_8_modulation.from_classifier_6_to_features_8.neg_scale', 'feedforward.features.0.bias']
    """
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    name = name.replace("module.", "").replace("backbone.", "feedforward.")
    return TRIMMED.sub(r"\1_\2", name) if name.startswith("lrm.") else name
