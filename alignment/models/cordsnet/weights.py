"""Weights of a CordsNet from files: the published checkpoint, checkpoints of trainings, and those written here.

The author's repository, wmws2/cordsnet, has no licence: the checkpoint is fetched from there by those who may use it,
and never kept in this project.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.errors import DataError, RequestError
from alignment.fetch import fetch_recorded
from alignment.models.checkpoints import load_state, read_state
from alignment.models.cordsnet.equivalent import FoldedCNN
from alignment.models.cordsnet.layout import Clock, Layout
from alignment.models.cordsnet.network import CordsNet
from alignment.models.torch_model import Normalisation

FOLDER, FILE = "weights", "cordsnetr8.pth"
ADDRESS = f"https://raw.githubusercontent.com/wmws2/cordsnet/HEAD/{FILE}"
GIT_BLOB = "94ed91f2c3eaefb1666ee12dc3cab01513f69143"
PUBLISHED_SIZE = (224, 224)
PUBLISHED_CLASSES = 1000
# how weight normalisation was spelled before torch 2.1, and how it is now
SPELLINGS = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}
# what a network made here says of itself, as a tensor of its state: everything that can be loaded keeps it
DESCRIPTION = "description"
# and the CNN it was made from, which it is judged beside
FOLDED = "cnn"


@dataclass(frozen=True)
class Described:
    """What the weights of a network made here say of it; nothing of it in other files.

    Attributes
    ----------
    image_size : (row, column)
    classes : names in the order of the logits
    normalise : (mean, sd) per colour
    clock : of the steps it was trained with
    """

    image_size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
    normalise: Normalisation | None = None
    clock: Clock | None = None


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    state : tensors under the names of `CordsNet`
    said : what they say of the network
    folded : tensors of the CNN it was made from; empty where the file has none
    """

    state: dict[str, Tensor]
    said: Described
    folded: dict[str, Tensor]


def described(network: CordsNet, said: Described, *, folded: FoldedCNN | None = None) -> CordsNet:
    """A network whose state says what it is, beside its weights; changed in place, and returned.

    Parameters
    ----------
    network : to be written
    said : kept as a tensor of its state
    folded : the CNN it was made from, kept in its state too
    """
    text = json.dumps(asdict(said))
    network.register_buffer(DESCRIPTION, torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).clone())
    if folded is not None:
        network.add_module(FOLDED, folded)
    return network


def read_weights(path: Path) -> Checkpoint:
    """The tensors of a checkpoint under the names of `CordsNet`, and what they say of the network.

    Both spellings of weight normalisation are read, and the prefix of parallel training is dropped.

    Raises
    ------
    DataError
        The file is missing, damaged, or holds other things than tensors.
    """
    whole = {respelled(name): value for name, value in read_state(path).items()}
    own = {name: value for name, value in whole.items() if not name.startswith(f"{FOLDED}.")}
    folded = {name.removeprefix(f"{FOLDED}."): whole[name] for name in whole if name not in own}
    said = _described(own[DESCRIPTION], where=path) if DESCRIPTION in own else Described()
    return Checkpoint(own, said, folded)


def respelled(name: str) -> str:
    """A name of a tensor with weight normalisation spelled as torch does now.

    Examples
    --------
    >>> respelled("area_conv.0.weight_g")
    'area_conv.0.parametrizations.weight.original0'
    """
    for old, new in SPELLINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def layout_of(state: Mapping[str, Tensor], depth: int, *, where: str, image_size: tuple[int, int] | None) -> Layout:
    """The layout that weights are of, as far as they say; the published one where they do not.

    Parameters
    ----------
    state : of `read_weights`
    depth : number of areas of the network
    where : what a message calls the weights
    image_size : as asked for; four times the first bias map when not given

    Raises
    ------
    RequestError
        The bias maps are of another image size.
    """
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    bias = shapes.get("conv_bias.0", ())
    found = (bias[1], bias[2]) if len(bias) == 3 else None
    size = image_size or (PUBLISHED_SIZE if found is None else (4 * found[0], 4 * found[1]))
    classes = shapes.get("out_fc.bias", (PUBLISHED_CLASSES,))[0]
    channels = shapes.get("inp_conv" + SPELLINGS[".weight_v"], (0, 3))[1]
    layout = Layout(depth, image_size=size, n_classes=classes, n_channels=channels if channels in (1, 3) else 3)
    needed = layout.maps[0][1:]
    if found is not None and found != needed:
        fitting = (4 * found[0], 4 * found[1])
        raise RequestError(
            f"cordsnet: images of {size[0]}x{size[1]} need bias maps of {needed[0]}x{needed[1]}, and weights {where} "
            f"have {found[0]}x{found[1]}; give image_size={fitting} or other weights"
        )
    return layout


def load_weights(network: CordsNet, state: Mapping[str, Tensor], *, where: str) -> CordsNet:
    """Put weights into a network, with what they say of it; every name must be there, and no other.

    Raises
    ------
    DataError
        A tensor is missing, is one too many, or has another shape; they are named.
    """
    if DESCRIPTION in state:
        network.register_buffer(DESCRIPTION, state[DESCRIPTION].clone())
    load_state(network, state, where=where)
    return network


def load_folded(layout: Layout, state: Mapping[str, Tensor], *, where: str) -> FoldedCNN | None:
    """The CNN that a network was made from, of the same layout; None where its file has none.

    Raises
    ------
    DataError
        A tensor is missing, is one too many, or has another shape; they are named.
    """
    if not state:
        return None
    folded = FoldedCNN(layout)
    load_state(folded, state, where=where)
    return folded.eval()


def published_weights(*, data_root: Path | None, cache: Path) -> Path:
    """The published checkpoint in `data_root/weights`, or else in `cache/weights`, where it is downloaded to.

    Its publisher gives no checksum but that of git, by which it is checked.

    Raises
    ------
    DataError
        It is another file, or it is not there and cannot be downloaded.
    """
    at_hand = None if data_root is None else data_root / FOLDER / FILE
    path = at_hand if at_hand is not None and at_hand.is_file() else fetch_recorded(ADDRESS, folder=cache / FOLDER)
    found = git_blob(path)
    if found != GIT_BLOB:
        raise DataError(
            f"{path}: git's id of it is {found}, and that of the published checkpoint {GIT_BLOB}; delete it and fetch "
            "it again"
        )
    return path


def git_blob(path: Path) -> str:
    """The id that git gives to a file's content.

    Raises
    ------
    DataError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "empty").write_bytes(b"")
    ...     git_blob(Path(folder) / "empty")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check the file and its permissions") from None
    return digest.hexdigest()


def _described(values: Tensor, *, where: Path) -> Described:
    try:
        said = json.loads(bytes(values.tolist()))
        clock = said["clock"]
        return Described(
            None if said["image_size"] is None else (int(said["image_size"][0]), int(said["image_size"][1])),
            None if said["classes"] is None else tuple(map(str, said["classes"])),
            None if said["normalise"] is None else (tuple(said["normalise"][0]), tuple(said["normalise"][1])),
            None if clock is None else Clock(**clock),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"weights {where}: {DESCRIPTION} is damaged ({error}); make them again") from None
