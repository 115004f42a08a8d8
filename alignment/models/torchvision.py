"""Classification networks of torchvision, with the preprocessing and class names of their published weights."""

import inspect
from pathlib import Path
from typing import get_type_hints
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from alignment import fingerprint
from alignment.errors import DataError, unknown
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded, without_weights
from alignment.models.torch_model import TorchModel


def torchvision_names() -> tuple[str, ...]:
    """Every image classification network of the installed torchvision."""
    return tuple(torchvision.models.list_models(module=torchvision.models))


def build(name: str, *, weights: str, seed: int) -> TorchModel:
    """A torchvision network.

    Parameters
    ----------
    name : as torchvision calls it
    weights : "default" (published), "none" (seeded random initialisation) or the path of a checkpoint. The sha256 of
        a published file must begin with the digits that end its name (8 hexadecimal digits, 10 in older files): that
        finds a damaged file, and is too short to prove who made it. A checkpoint of one's own is not checked so
    seed : for "none"

    Raises
    ------
    RequestError
        No such network or file.
    DataError
        The weights cannot be downloaded, or do not fit.
    """
    published = _published(name)
    with seeded(seed, "weights", name):
        module = _network(name, published)
    if weights == "default":
        path = _download(published)
        load_state(module, read_state(path), where=str(path))
    elif weights != "none":
        path = weights_file(weights)
        load_state(module, read_state(path), where=str(path))
    return _wrap(module, published, name=name)


def structure(name: str) -> TorchModel:
    """The network without weights, on torch's meta device: its layers and shapes cost nothing."""
    published = _published(name)
    with without_weights():
        module = _network(name, published).to("meta")
    return _wrap(module, published, name=name)


def published_file(name: str) -> tuple[Path, str]:
    """Where the published weights of a network lie, or would lie, and their address."""
    published = _published(name)
    return Path(torch.hub.get_dir()) / "checkpoints" / published.url.rpartition("/")[2], published.url


def _published(name: str) -> torchvision.models.WeightsEnum:
    if name not in torchvision_names():
        raise unknown("torchvision model", name, torchvision_names())
    return torchvision.models.get_model_weights(name).DEFAULT


def _network(name: str, published: torchvision.models.WeightsEnum) -> nn.Module:
    module = torchvision.models.get_model(name, weights=None, **_said_outright(name))
    # transformers are built for one image size, and the published weights may have been trained at another
    size = published.transforms().crop_size[0]
    if getattr(module, "image_size", size) == size:
        return module
    return torchvision.models.get_model(name, weights=None, image_size=size)


def _said_outright(name: str) -> dict[str, bool]:
    """Where leaving it to torchvision whether weights are initialised makes it warn of a change to come."""
    made = get_type_hints(torchvision.models.get_model_builder(name)).get("return")
    takes = inspect.signature(made).parameters if inspect.isclass(made) else {}
    return {"init_weights": True} if "init_weights" in takes else {}


def _wrap(module: nn.Module, published: torchvision.models.WeightsEnum, *, name: str) -> TorchModel:
    transforms = published.transforms()
    edge = transforms.crop_size[0]
    return TorchModel(
        module.eval(),
        name=name,
        image_size=(edge, edge),
        normalise=(tuple(transforms.mean), tuple(transforms.std)),
        classes=published.meta["categories"],
    )


def _download(published: torchvision.models.WeightsEnum) -> Path:
    """The published file; its sha256 is compared, each time, with the 8 or 10 digits of it that end its name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rpartition("/")[2]
    digits = path.stem.rpartition("-")[2]
    if path.is_file():
        if not fingerprint.of_file(path).startswith(digits):
            raise DataError(f"weights {path}: sha256 does not start with {digits}; delete it and fetch it again")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(published.url, str(path), hash_prefix=digits, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise DataError(f"cannot download {published.url} ({reason}); put the file at {path}") from None
    return path
