"""Attacks against the fastest peers, in one process with the same threads: `python -m tests.performance.attacks`.

ResNet-18 is not trained (time does not depend on it); ResNet-20 is, since a search that stops has to be as successful.
"""

import importlib.util
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alignment.attacks.apgd import APGD
from alignment.attacks.gradient import PGD
from alignment.attacks.threat import Threat
from alignment.models import load_model
from alignment.models.torch_model import TorchModel
from tests.conftest import SHARED

Row = tuple[str, float, str]


class Case(NamedTuple):
    """A network with images and their labels."""

    name: str
    model: TorchModel
    pixels: Tensor
    labels: Tensor
    steps: int


def measure() -> list[Row]:
    """Every figure with its target."""
    cases = [resnet18(), *resnet20()]
    return [row for case in cases for row in pgd(case)] + [row for case in cases[1:] for row in apgd(case)]


def resnet18() -> Case:
    """Eight images at 224 px."""
    model = load_model("resnet18", weights="none", cache=Path(tempfile.mkdtemp()))
    pixels = torch.rand(8, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert isinstance(model, TorchModel)
    return Case("ResNet-18, 8 images of 224 px", model, pixels, torch.arange(8), steps=5)


def resnet20() -> list[Case]:
    """CIFAR-10 test images, where they are at hand."""
    data = SHARED / "data"
    file = data / "cifar10_subset" / "cifar10_subset.npz"
    if not file.is_file():
        return []
    model = load_model("cifar_resnet20", cache=Path(tempfile.mkdtemp()), data_root=data)
    archive = np.load(file)
    pixels = torch.from_numpy(archive["test_images"][:64]).permute(0, 3, 1, 2).float().div(255).contiguous()
    labels = torch.from_numpy(archive["test_labels"][:64]).long()
    assert isinstance(model, TorchModel)
    return [Case("ResNet-20, 64 images of 32 px", model, pixels, labels, steps=20)]


def pgd(case: Case) -> list[Row]:
    """Equal steps from the image itself."""
    epsilon, seeds = 1 / 255, range(len(case.pixels))
    attack = PGD(steps=case.steps, random_start=False)
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: attack.perturb(
            case.model.logits, case.pixels, case.labels, Threat("linf", epsilon), seeds=seeds
        ),
        "passes": lambda: [forward_and_backward(case) for _ in range(case.steps)],
        "foolbox's PGD": lambda: foolbox_pgd(case, epsilon),
    }
    if importlib.util.find_spec("torchattacks"):
        calls["torchattacks' PGD"] = lambda: torchattacks_pgd(case, epsilon)
    times = fastest(calls, repeats=5)
    label = f"PGD, {case.steps} steps, {case.name}"
    peers = [name for name in times if name not in ("ours", "passes")]
    return [
        (f"{label}: seconds", times["ours"], ""),
        (f"{label}: over that of its forward and input-backward passes", times["ours"] / times["passes"], "<= 1.1"),
        *((f"{label}: over that of {peer}", times["ours"] / times[peer], "<= 1") for peer in peers),
    ]


def forward_and_backward(case: Case) -> Tensor:
    """The least that a step of gradient ascent can cost."""
    leaf = case.pixels.clone().requires_grad_()
    loss = F.cross_entropy(case.model.logits(leaf)[:, 0], case.labels, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0]


def foolbox_pgd(case: Case, epsilon: float) -> Tensor:
    """As foolbox's users run it, with preprocessing by foolbox."""
    import foolbox

    assert case.model.normalise is not None
    mean, sd = case.model.normalise
    preprocessing = {"mean": list(mean), "std": list(sd), "axis": -3}
    wrapped = foolbox.PyTorchModel(case.model.module.eval(), bounds=(0, 1), preprocessing=preprocessing)
    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / case.steps, steps=case.steps, random_start=False)
    return attack.run(wrapped, case.pixels, case.labels, epsilon=epsilon)


def torchattacks_pgd(case: Case, epsilon: float) -> Tensor:
    """With normalisation by torchattacks, which then hands on pixels in [0, 1]."""
    import torchattacks

    assert case.model.normalise is not None
    mean, sd = case.model.normalise
    attack = torchattacks.PGD(
        case.model.module.eval(),
        eps=epsilon,
        alpha=2.5 * epsilon / case.steps,
        steps=case.steps,
        random_start=False,
    )
    attack.set_normalization_used(mean=list(mean), std=list(sd))
    return attack((case.pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(sd).view(3, 1, 1), case.labels)


def apgd(case: Case) -> list[Row]:
    """APGD-CE of 100 steps, on the images that are classified correctly."""
    from pyautoattack.autopgd_base import APGDAttack

    epsilon = 1 / 255

    def scores(images: Tensor) -> Tensor:
        return case.model.logits(images)[:, 0]

    with torch.no_grad():
        right = scores(case.pixels).argmax(1) == case.labels
    pixels, labels = case.pixels[right], case.labels[right]
    peer = APGDAttack(
        scores, n_iter=100, norm="Linf", eps=epsilon, seed=0, device="cpu", logger=logging.getLogger("pyautoattack")
    )
    found: dict[str, Tensor] = {}

    def ours() -> None:
        found["ours"] = APGD().perturb(
            case.model.logits, pixels, labels, Threat("linf", epsilon), seeds=range(len(pixels))
        )

    def theirs() -> None:
        found["theirs"] = peer.perturb(pixels, labels)

    times = fastest({"ours": ours, "theirs": theirs}, repeats=2)
    with torch.no_grad():
        left = {name: float((scores(points).argmax(1) == labels).float().mean()) for name, points in found.items()}
    label = f"APGD-CE, 100 steps, ResNet-20, {len(pixels)} images of 32 px"
    return [
        (f"{label}: seconds", times["ours"], ""),
        (f"{label}: over that of pyautoattack's", times["ours"] / times["theirs"], "<= 1"),
        (f"{label}: robust accuracy", left["ours"], ""),
        (f"{label}: robust accuracy less pyautoattack's", left["ours"] - left["theirs"], "<= 0"),
    ]


def fastest(calls: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Shortest wall time of each call in seconds; rounds are interleaved, so that all meet the same machine."""
    times = dict.fromkeys(calls, float("inf"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(repeats):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name] = min(times[name], time.perf_counter() - start)
    return times


if __name__ == "__main__":
    for title, figure, target in measure():
        print(f"{title:<110} {figure:10.4g}  {target}")
