"""From what a user typed to a benchmark of labelled images; each function is a `builder` of `benchmarks.measures`."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, TypeVar

from alignment.attacks.ensemble import ENSEMBLES
from alignment.errors import RequestError, unknown
from alignment.stimuli.corruptions import CORRUPTIONS, SEVERITIES
from benchmarks.choices import asked_of, inference_of, marks_of, whole_number
from benchmarks.datasets.base import LabelledDataSet
from benchmarks.neural.other import Other
from benchmarks.robustness.accuracy import Accuracy
from benchmarks.robustness.attacked import Protocol, Robustness
from benchmarks.robustness.corrupted import CommonCorruptions
from benchmarks.robustness.sets import SETS
from benchmarks.robustness.transferred import Transfer
from benchmarks.settings import Settings

Options = Mapping[str, Any]
# as robustness is usually reported of photographs, where nothing else was asked for
RADII = {"linf": "8/255", "l2": "0.5"}
MANY_CLASSES = 10
T = TypeVar("T")


def accuracy(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Options) -> Accuracy:
    """Top-1 accuracy.

    Raises
    ------
    RequestError
        The moment "each", which makes no single score.
    """
    options: Options = asked_of(settings)
    moment = options.get("moment", "last")
    if moment == "each":
        raise RequestError("benchmark.moment=each makes no single accuracy; the table of layers has every time_bin")
    return Accuracy(moment=moment, **_shared(name, dataset, settings))


def robust(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Options) -> Robustness:
    """What attacks leave of accuracy.

    Parameters
    ----------
    preferred : `epsilon`, norm -> radius as written

    Raises
    ------
    RequestError
        No such set of attacks (with near misses), or a radius that is none.
    """
    protocol = _protocol(asked_of(settings), preferred, attack="standard")
    return Robustness(protocol=protocol, **_shared(name, dataset, settings))


def transfer(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Options) -> Transfer:
    """What an attack on another model leaves of accuracy.

    Raises
    ------
    RequestError, DataError
        The other model is not named, or there is none of this name; a set of several attacks or radii, or a decision at
        each time_bin, which make several images of each.
    """
    options: Options = asked_of(settings)
    if "against" not in options:
        raise RequestError(
            "benchmark.measure=transfer: name the model that is attacked, for example benchmark.against=resnet18"
        )
    protocol = _protocol(options, preferred, attack="pgd")
    if protocol.attack in ENSEMBLES or len(protocol.epsilons) > 1 or protocol.moment == "each":
        raise RequestError(
            "benchmark.measure=transfer moves each image once: give one attack (such as pgd), one epsilon, and the "
            "moment last or mean"
        )
    cache = settings.results / "cache"
    source = Other(options["against"], cache=cache, data_root=settings.data.root, seed=settings.seed)
    source.check_name()
    return Transfer(protocol=protocol, source=source, **_shared(name, dataset, settings))


def corruptions(name: str, dataset: LabelledDataSet, *, settings: Settings, preferred: Options) -> CommonCorruptions:
    """What common corruptions leave of accuracy.

    Raises
    ------
    RequestError
        A kind or severity that does not exist.
    """
    options = asked_of(settings)
    kinds = _chosen("kinds", options, {kind: kind for kind in CORRUPTIONS})
    severities = _chosen("severities", options, {str(severity): severity for severity in SEVERITIES})
    return CommonCorruptions(kinds=kinds, severities=severities, **_shared(name, dataset, settings))


def _protocol(options: Options, preferred: Options, *, attack: str) -> Protocol:
    norm = options.get("norm", "linf")
    usual = {**RADII, **preferred.get("epsilon", {})}[norm]
    chosen = options.get("attack", attack)
    if chosen not in SETS:
        raise unknown("benchmark.attack", chosen, SETS)
    steps = whole_number("steps", options.get("steps", "none"))
    if steps is not None and not any(hasattr(each, "steps") for each in SETS[chosen](MANY_CLASSES)):
        raise RequestError(f"benchmark.attack={chosen} has no steps; leave benchmark.steps out, or take pgd")
    epsilons = radii(options.get("epsilon", usual))
    if norm == "linf" and epsilons[-1][1] > 1:
        largest = epsilons[-1][0]
        raise RequestError(
            f"benchmark.epsilon={largest}: pixels lie in [0, 1]; for grey levels of 255 write {largest}/255"
        )
    return Protocol(norm=norm, moment=options.get("moment", "last"), epsilons=epsilons, attack=chosen, steps=steps)


def radii(text: str) -> tuple[tuple[str, float], ...]:
    """Radii as written and their values, increasing, each once.

    Raises
    ------
    RequestError
        One is no number above 0, nor a quotient of two.

    Examples
    --------
    >>> radii("8/255,0.01")
    (('0.01', 0.01), ('8/255', 0.03137254901960784))
    """
    found: dict[float, str] = {}
    for word in (each.strip() for each in text.split(",")):
        found.setdefault(_radius(word), word)
    return tuple((found[value], value) for value in sorted(found))


def _radius(word: str) -> float:
    above, slash, below = word.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = inf
    if not 0 < value < inf:
        raise RequestError(f"benchmark.epsilon={word}: give a radius above 0 in pixel units, such as 8/255 or 0.5")
    return value


def _chosen(key: str, options: Options, there: Mapping[str, T]) -> Sequence[T]:
    """What was asked for of what there is, in its order; all of it where nothing was."""
    if key not in options:
        return tuple(there.values())
    asked = [each.strip() for each in options[key].split(",") if each.strip()]
    for each in asked:
        if each not in there:
            raise unknown(f"benchmark.{key}", each, there)
    if not asked:
        raise RequestError(f"benchmark.{key}= is empty; name some of {', '.join(there)}")
    return tuple(value for name, value in there.items() if name in asked)


def _shared(name: str, dataset: LabelledDataSet, settings: Settings) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": dataset,
        "inference": inference_of({}, settings),
        "batch_size": settings.batch_size,
        "marks": (*dataset.marks, *marks_of(settings)),
    }
