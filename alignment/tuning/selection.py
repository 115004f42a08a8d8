"""Which epoch is kept, and which runs no other beats."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """A student after an epoch, on images that chose nothing before.

    Attributes
    ----------
    epoch : 0 before the first
    accuracy : on task validation images
    predictivity : mean over neuroids of r on tuning validation images
    agreement : share of task validation images on which student and teacher give the same class
    losses : mean over the epoch's steps of every term, by name
    """

    epoch: int
    accuracy: float
    predictivity: float
    agreement: float
    losses: dict[str, float]


def best(standings: Sequence[Standing], *, teacher_accuracy: float, tolerance: float) -> Standing:
    """The highest predictivity among epochs whose accuracy is within the tolerance; the first of equals.

    Epoch 0 is the teacher itself, so that there always is one.

    Examples
    --------
    >>> trajectory = [Standing(0, 0.9, 0.3, 1.0, {}), Standing(1, 0.895, 0.35, 1.0, {}), Standing(2, 0.7, 0.5, 0.8, {})]
    >>> best(trajectory, teacher_accuracy=0.9, tolerance=0.01).epoch
    1
    """
    allowed = [each for each in standings if each.accuracy >= teacher_accuracy - tolerance]
    return max(allowed, key=lambda each: (each.predictivity, -each.epoch))


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points (accuracy, predictivity) that no other beats in both, by falling accuracy.

    Examples
    --------
    >>> pareto([(0.9, 0.3), (0.8, 0.5), (0.7, 0.4), (0.9, 0.35)])
    [3, 1]
    """
    order = sorted(range(len(points)), key=lambda at: (-points[at][0], -points[at][1], at))
    front: list[int] = []
    for at in order:
        if not front or points[at][1] > points[front[-1]][1]:
            front.append(at)
    return front
