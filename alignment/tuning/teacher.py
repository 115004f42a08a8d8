"""The network as it was before it was tuned: what it says of images, asked once where they do not change."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from alignment.models.torch_model import TorchModel
from alignment.tuning.images import Images, in_batches


def own_copy(model: TorchModel, device: str) -> TorchModel:
    """Of a model, with a network of its own."""
    copied = copy.copy(model)
    copied.module = copy.deepcopy(model.module).to(device)
    return copied


@contextmanager
def in_precision(device: str, precision: str) -> Iterator[None]:
    """Passes in float32 or bfloat16; weights, and what is computed from what the passes give, stay float32."""
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        yield


class Teacher:
    """A frozen copy of a network.

    Parameters
    ----------
    model : TorchModel
    device : str
    precision : str
        "float32" or "bfloat16".
    batch_size : int
        Of the passes whose logits are kept.

    Attributes
    ----------
    model : the copy
    fingerprint : of the copy

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> model = TorchModel(net, name="net", layers=["1"], image_size=(2, 2), classes=("a", "b"))
    >>> teacher, pixels = Teacher(model, device="cpu", precision="float32", batch_size=4), torch.rand(6, 3, 2, 2)
    >>> kept = teacher.kept("images", pixels, torch.tensor([5, 0]))
    >>> torch.allclose(kept, teacher.logits(pixels[[5, 0]])), kept.shape
    (True, torch.Size([2, 1, 2]))
    """

    def __init__(self, model: TorchModel, *, device: str, precision: str, batch_size: int) -> None:
        self.model, self.device = own_copy(model, device), device
        self.model.module.requires_grad_(False)
        self.fingerprint = self.model.fingerprint
        self.precision, self.batch_size = precision, batch_size
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def logits(self, pixels: Tensor) -> Tensor:
        """`(image, time_bin, class) float32`, on the teacher's device."""
        with in_precision(self.device, self.precision):
            return self.model.logits(pixels.to(self.device)).float()

    def kept(self, name: str, images: Images, rows: Tensor) -> Tensor:
        """Logits of some rows of a set of images, all of which pass once: logits are all that is kept of them.

        Parameters
        ----------
        name : str
            Of the set, the same images each time.
        images : the whole set
        rows : (image,) int64
        """
        if name not in self._kept:
            self._kept[name] = torch.cat([self.logits(part).cpu() for part in in_batches(images, self.batch_size)])
        return self._kept[name][rows].to(self.device)
