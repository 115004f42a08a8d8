"""Attacks by the names a user types."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from alignment.attacks.apgd import APGD
from alignment.attacks.base import Attack
from alignment.attacks.ensemble import DRAWS, rand, standard
from alignment.attacks.fab import FABT
from alignment.attacks.gradient import FGSM, PGD
from alignment.attacks.square import Square
from alignment.errors import RequestError, unknown

Set = Callable[[int], tuple[Attack, ...]]

SETS: Mapping[str, Set] = {
    "standard": standard,
    "rand": rand,
    "fgsm": lambda _: (FGSM(),),
    "pgd": lambda _: (PGD(),),
    "pgd-plain": lambda _: (PGD(random_start=False),),
    "apgd-ce": lambda _: (APGD(loss="ce"),),
    "apgd-dlr": lambda _: (APGD(loss="dlr"),),
    "fab": lambda n_classes: (FABT(targets=min(9, n_classes - 1)),),
    "square": lambda _: (Square(),),
}


# that average over no draws of a stochastic network
ONE_DRAW = ("fab", "square")


def attacks_of(name: str, *, n_classes: int, steps: int | None, stochastic: bool) -> tuple[Attack, ...]:
    """The attacks of a set.

    Parameters
    ----------
    name : a key of SETS; a stochastic model gets `rand` in the place of `standard`, and gradients of the others are
        averaged over 20 draws
    n_classes : of the model
    steps : of the attacks that have steps; as published when None
    stochastic : whether the model draws random numbers

    Raises
    ------
    RequestError
        No such set (with near misses), or too few classes.
    """
    if name not in SETS:
        raise unknown("benchmark.attack", name, SETS)
    if name == "apgd-dlr" and n_classes < 3:
        raise RequestError("benchmark.attack=apgd-dlr needs 3 classes or more; take apgd-ce")
    if stochastic and name in ONE_DRAW:
        raise RequestError(
            f"benchmark.attack={name} takes one draw for the network; take pgd, or rand, for one with noise"
        )
    chosen = SETS["rand" if stochastic and name == "standard" else name](n_classes)
    return tuple(_adjusted(attack, steps=steps, stochastic=stochastic) for attack in chosen)


def _adjusted(attack: Any, *, steps: int | None, stochastic: bool) -> Attack:
    changes: dict[str, int] = {}
    if steps is not None and hasattr(attack, "steps"):
        changes["steps"] = steps
    if stochastic and getattr(attack, "samples", None) == 1:
        changes["samples"] = DRAWS
    return replace(attack, **changes)
