"""The composite challenge: ask for either of two images that are shown at once, and for a class that is in neither.

Of Konkle & Alvarez 2023 (NeurIPS, Cognitive steering in deep neural networks via long-range modulatory feedback
connections). What is asked for is a template in the place of a source of feedback, from the second pass on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from alignment.errors import RequestError
from alignment.models.hooks import evaluating
from alignment.models.lrm.network import LRM
from alignment.models.lrm.signals import Signal
from alignment.stimuli.composites import Arrange, overlap

STRENGTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
# of the classes that are asked for, where two images are shown and where one is
CUES = ("first", "second", "absent")
ASKED = ("present", "absent")
UNCUED = math.nan
FOUND = ("chosen", "logit", "probability")


class Pairs(NamedTuple):
    """Images that are shown two at a time.

    Attributes
    ----------
    first, second : (composite, 3, row, column), as the network takes them, normalised
    classes : (composite, 3) int64, of the first image, of the second, and one that is in neither
    """

    first: Tensor
    second: Tensor
    classes: Tensor

    def check(self, n_classes: int) -> None:
        """Whether there are some, of one number, and the three classes of each differ.

        Raises
        ------
        RequestError
            There are none, or not; or a class is none.
        """
        n, classes = len(self.first), self.classes
        if not n or len(self.second) != n or tuple(classes.shape) != (n, len(CUES)) or classes.is_floating_point():
            raise RequestError(
                f"composites: {n} and {len(self.second)} images with classes {classes.dtype} {tuple(classes.shape)}; "
                "give as many of each, with three whole numbers to each pair"
            )
        if int(classes.min()) < 0 or int(classes.max()) >= n_classes:
            raise RequestError(
                f"composites: classes {int(classes.min())} to {int(classes.max())}, and there are {n_classes} "
                "templates; number classes from 0, and give a template to each"
            )
        alike = (classes == classes.roll(1, dims=1)).any(1)
        if bool(alike.any()):
            place = int(alike.nonzero()[0])
            raise RequestError(
                f"composites: classes {classes[place].tolist()} of composite {place} are not three; give two images "
                "of different classes, and a third class"
            )


@dataclass(frozen=True, eq=False)
class Cueing:
    """How a network is asked for a class.

    Parameters
    ----------
    source : of feedback, whose activation the template takes the place of
    templates : (class, *unit of the source)
    strengths : factors on the feedback of the source, each tried by itself

    Raises
    ------
    RequestError
        There is no strength, one is there twice, or one is not finite.
    """

    source: str
    templates: Tensor
    strengths: Sequence[float] = STRENGTHS

    def __post_init__(self) -> None:
        tried = self.strengths
        if not tried or len(set(tried)) < len(tried) or not all(math.isfinite(each) for each in tried):
            raise RequestError(f"strengths {tuple(tried)}; give finite numbers, each once")

    def signals(self, classes: Tensor) -> list[Signal]:
        """One for each strength, to ask for a class in each of some images."""
        template = self.templates[classes.to(self.templates.device)]
        return [Signal(self.source, template, strength=strength) for strength in self.strengths]


def challenge(
    network: LRM,
    pairs: Pairs,
    cueing: Cueing,
    *,
    arrange: Arrange = overlap,
    share: float = 0.5,
    batch_size: int = 32,
) -> xr.Dataset:
    """What a network says in its last pass about composites, asked for each class in turn and for none.

    The first pass, which no cue reaches, is made once for all cues and strengths.

    Parameters
    ----------
    network : with two passes or more
    pairs : what is composed
    cueing : how it is asked
    arrange : of `alignment.stimuli.composites`, `overlap` or `side_by_side`
    share : of the first image
    batch_size : composites in a forward pass

    Returns
    -------
    Dataset `chosen` int64 and `logit` and `probability` float32 of the class asked for, each (strength, cue,
    composite); `top2` (rank, composite) int64, the first two choices where nothing is asked for; `class` (cue,
    composite). The first strength is NaN, where nothing is asked for; cues are first, second and absent.

    Raises
    ------
    RequestError
        The network has one pass, its classes are not those of the templates, or pairs or templates do not fit.

    Examples
    --------
    >>> backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Flatten(), torch.nn.Linear(36, 3))
    >>> network = LRM(backbone, [("2", "0")], image_size=(8, 8))
    >>> pairs = Pairs(torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8), torch.tensor([[0, 1, 2]] * 5))
    >>> found = challenge(network, pairs, Cueing("2", torch.eye(3), strengths=(1.0, 3.0)))
    >>> found["chosen"].sizes["strength"], found["cue"].values.tolist()
    (3, ['first', 'second', 'absent'])
    """
    pairs.check(len(cueing.templates))
    parts = []
    for start in range(0, len(pairs.first), batch_size):
        batch = Pairs(*(each[start : start + batch_size] for each in pairs))
        shown = arrange(batch.first, batch.second, share)
        answers, plain = _asked(network, shown, batch.classes, cueing)
        values = {name: (("strength", "cue", "composite"), array) for name, array in answers.items()}
        parts.append(
            xr.Dataset(
                {
                    **values,
                    "top2": (("rank", "composite"), _array(plain.topk(2, dim=1).indices.T)),
                    "class": (("cue", "composite"), _array(batch.classes.T)),
                },
                {"strength": [UNCUED, *cueing.strengths], "cue": list(CUES)},
            )
        )
    return xr.concat(parts, "composite", data_vars="minimal")


def alone(network: LRM, pairs: Pairs, cueing: Cueing, *, batch_size: int = 32) -> xr.Dataset:
    """The same of the images that are composed, each by itself: what composites can reach at best.

    Parameters
    ----------
    network, pairs, cueing, batch_size : as of `challenge`

    Returns
    -------
    Dataset `chosen`, `logit` and `probability`, each (strength, image, asked, composite); `class` (image, asked,
    composite). Images are first and second, asked for are their own class (present) and the third (absent).

    Raises
    ------
    RequestError
        As of `challenge`.
    """
    pairs.check(len(cueing.templates))
    dims, parts = ("image", "asked", "composite"), []
    for start in range(0, len(pairs.first), batch_size):
        batch = Pairs(*(each[start : start + batch_size] for each in pairs))
        classes = [batch.classes[:, [place, 2]] for place in range(2)]
        both = [
            _asked(network, shown, asked, cueing)[0]
            for shown, asked in zip((batch.first, batch.second), classes, strict=True)
        ]
        values = {name: (("strength", *dims), np.stack([each[name] for each in both], axis=1)) for name in FOUND}
        asked_for = np.stack([_array(each.T) for each in classes])
        coords = {"strength": [UNCUED, *cueing.strengths], "image": list(CUES[:2]), "asked": list(ASKED)}
        parts.append(xr.Dataset({**values, "class": (dims, asked_for)}, coords))
    return xr.concat(parts, "composite", data_vars="minimal")


def sweep_shares(
    network: LRM, pairs: Pairs, cueing: Cueing, *, shares: Sequence[float] = SHARES, batch_size: int = 32
) -> xr.Dataset:
    """The challenge with images over each other in other shares: what `challenge` returns, with `share` in front.

    Parameters
    ----------
    network, pairs, cueing, batch_size : as of `challenge`
    shares : of the first image; the second has the rest, so that 0 to 0.5 is all there is

    Raises
    ------
    RequestError
        As of `challenge`, or there is no share, or one is outside [0, 0.5].
    """
    if not shares or not all(0 <= share <= 0.5 for share in shares):
        raise RequestError(f"composites: shares {tuple(shares)}; give some of 0 to 0.5, since the second has the rest")
    found = [challenge(network, pairs, cueing, share=share, batch_size=batch_size) for share in shares]
    return xr.concat(found, xr.IndexVariable("share", list(shares)), data_vars="all")


def source_of_decisions(network: LRM, n_classes: int) -> str:
    """The source of feedback that has a number for each class: where a class can be asked for.

    Raises
    ------
    RequestError
        There is none, or there are several.
    """
    fitting = [name for name, shape in network.sources.items() if shape == (n_classes,)]
    if len(fitting) != 1:
        there = ", ".join(f"{name} {shape}" for name, shape in network.sources.items())
        raise RequestError(
            f"{'no' if not fitting else 'more than one'} source of feedback has a number for each of {n_classes} "
            f"classes ({there}); connect the logits, once, to be steered by class"
        )
    return fitting[0]


@torch.no_grad()
def _asked(network: LRM, shown: Tensor, classes: Tensor, cueing: Cueing) -> tuple[Mapping[str, np.ndarray], Tensor]:
    """What is found of each of FOUND (strength, cue, image), nothing asked for first, and the logits of that."""
    if network.passes < 2:
        raise RequestError("steering: the network makes one pass, and a cue acts from the second on; give it passes=2")
    with evaluating(network):
        first = network.run(shown, passes=1)

        def decided() -> Tensor:
            return network.run(shown, passes=network.passes - 1, state=first.state).logits[-1]

        plain = decided()
        if plain.shape[1] != len(cueing.templates):
            raise RequestError(
                f"steering: {len(cueing.templates)} templates for {plain.shape[1]} logits; give one to each class"
            )
        answers = [[_of(plain, asked) for asked in classes.T]]
        for signals in zip(*map(cueing.signals, classes.T), strict=True):
            answers.append([])
            for signal, asked in zip(signals, classes.T, strict=True):
                with network.steering(signal):
                    answers[-1].append(_of(decided(), asked))
    stacked = {name: np.stack([[each[name] for each in row] for row in answers]) for name in FOUND}
    return stacked, plain


def _of(logits: Tensor, asked: Tensor) -> Mapping[str, np.ndarray]:
    """The choice, and what the class asked for gets: each (image,)."""
    own = asked.to(logits.device)[:, None]
    logit, probability = (values.gather(1, own)[:, 0] for values in (logits, logits.softmax(1)))
    return dict(zip(FOUND, map(_array, (logits.argmax(1), logit, probability)), strict=True))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
