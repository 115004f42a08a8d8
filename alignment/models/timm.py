"""Networks of timm, by its names, with the preprocessing of their published weights."""

import importlib
import importlib.util
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alignment.errors import DataError, RequestError, unknown
from alignment.models.checkpoints import load_state, read_state, weights_file
from alignment.models.initialise import seeded, without_weights
from alignment.models.torch_model import TorchModel

EXTRA = "brain-alignment-bench[timm]"
HUB = "huggingface.co"
CONNECT_SECONDS = 5


def build(name: str, *, weights: str, seed: int) -> TorchModel:
    """A timm network.

    Parameters
    ----------
    name : as timm calls it, with or without the tag of its weights (`vit_tiny_patch16_224.augreg_in21k`)
    weights : "default" (published), "none" (seeded random initialisation) or the path of a checkpoint. timm fetches
        published weights over HTTPS, most of them from the Hugging Face Hub, and compares no checksum unless its
        `set_pretrained_check_hash` says so; what was loaded shows in the model's fingerprint
    seed : for "none"

    Raises
    ------
    RequestError
        timm is not installed, or there is no such network or file.
    DataError
        The weights cannot be downloaded, or do not fit.
    """
    timm = _timm(name)
    with seeded(seed, "weights", name), _without_vain_retries():
        try:
            module = timm.create_model(name, pretrained=weights == "default")
        # what timm's downloader raises (OSError and its kin) when there is no network, and RuntimeError for no weights
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"timm/{name}: no published weights ({reason}); give model.weights=<checkpoint> or model.weights=none"
            ) from None
    if weights not in ("default", "none"):
        path = weights_file(weights)
        load_state(module, read_state(path), where=str(path))
    return _wrap(timm, module, name=name)


@contextmanager
def _without_vain_retries() -> Iterator[None]:
    """Where the Hub cannot be reached, its library is told so: what is cached is found, the rest fails at once.

    It would retry for a minute, with a warning each time. Behind a proxy it is left to find out for itself.
    """
    if urllib.request.getproxies() or _reachable(HUB):
        yield
        return
    constants = importlib.import_module("huggingface_hub").constants
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(host: str) -> bool:
    try:
        socket.create_connection((host, 443), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def structure(name: str) -> TorchModel:
    """The network without weights, on torch's meta device: its layers and shapes cost nothing."""
    timm = _timm(name)
    with without_weights():
        module = timm.create_model(name, pretrained=False).to("meta")
    return _wrap(timm, module, name=name)


def _timm(name: str) -> Any:
    if importlib.util.find_spec("timm") is None:
        raise RequestError(f"timm/{name} needs timm, which is not installed; pip install {EXTRA}")
    timm = importlib.import_module("timm")
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    return timm


def _wrap(timm: Any, module: Any, *, name: str) -> TorchModel:
    data = timm.data.resolve_model_data_config(module)
    has_logits = getattr(module, "num_classes", 0) > 0
    classes = tuple(str(index) for index in range(module.num_classes)) if has_logits else None
    return TorchModel(
        module.eval(),
        name=f"timm/{name}",
        image_size=tuple(data["input_size"][1:]),
        normalise=(tuple(data["mean"]), tuple(data["std"])),
        classes=classes,
    )
