"""Sets of attacks that count as a whole: an image is robust if it withstands all of them.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks"
(ICML), section 5: AutoAttack, which others have published under the names standard and rand.
"""

from collections.abc import Callable

from alignment.attacks.apgd import APGD
from alignment.attacks.base import Attack
from alignment.errors import RequestError

MOST_TARGETS = 9
DRAWS = 20


def standard(n_classes: int) -> tuple[Attack, ...]:
    """Of deterministic models: APGD-CE, targeted APGD-DLR, FAB-T and Square, in the published order.

    With fewer than 4 classes the targeted DLR is not defined and the targeted cross-entropy takes its place; the name
    of that attack then is `apgd-t-ce`. Targets are the 9 most likely other classes, or all of them.

    Parameters
    ----------
    n_classes : of the model, 2 or more

    Examples
    --------
    >>> [attack.name for attack in standard(2)]
    ['apgd-ce', 'apgd-t-ce', 'fab-t', 'square']
    """
    from alignment.attacks.fab import FABT
    from alignment.attacks.square import Square

    _check(n_classes)
    targets = min(MOST_TARGETS, n_classes - 1)
    towards = APGD(loss="dlr" if n_classes >= 4 else "ce", targets=targets)
    return (APGD(loss="ce"), towards, FABT(targets=targets), Square(rescaled=False))


def rand(n_classes: int) -> tuple[Attack, ...]:
    """Of stochastic models: APGD-CE and APGD-DLR, with loss and gradient averaged over 20 draws.

    With 2 classes the DLR is not defined and the margin takes its place; the name of that attack then is `apgd-margin`.

    Parameters
    ----------
    n_classes : of the model, 2 or more

    Examples
    --------
    >>> [attack.name for attack in rand(10)]
    ['apgd-ce', 'apgd-dlr']
    """
    _check(n_classes)
    return (APGD(loss="ce", samples=DRAWS), APGD(loss="dlr" if n_classes >= 3 else "margin", samples=DRAWS))


ENSEMBLES: dict[str, Callable[[int], tuple[Attack, ...]]] = {"standard": standard, "rand": rand}


def _check(n_classes: int) -> None:
    if n_classes < 2:
        raise RequestError(f"the model has {n_classes} class; an attack needs another class to aim at")
