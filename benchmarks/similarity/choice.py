"""Which layer stands for a model, chosen without looking at what it is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.similarity.brains import GivenBrain
from benchmarks.similarity.strategies import Doubles, Strategy


class Cell(NamedTuple):
    """One layer at one time_bin."""

    layer: str
    time_bin: float


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    rows : per fold, the row of the summaries that is judged: that of a cell, or the first composite
    votes : the cell chosen each time that a choice was made
    composites : per fold and group, further summaries (row, entry) that follow those of the cells
    """

    rows: list[int]
    votes: list[Cell]
    composites: list[list[Doubles]]


def chosen_by_fold(cells: Sequence[Cell], scores: Doubles, *, n_groups: Sequence[int]) -> Choice:
    """The best cell of each fold.

    Parameters
    ----------
    cells : of the model
    scores : (cell, fold), in training
    n_groups : of each fold
    """
    rows = [int(row) for row in np.argmax(scores, axis=0)]
    return Choice(rows, [cells[row] for row in rows], [[] for _ in n_groups])


def chosen_by_block(cells: Sequence[Cell], summaries: Doubles, *, brain: GivenBrain, strategy: Strategy) -> Choice:
    """One RDM put together from the best cells of blocks of pairs, where they differ.

    Parameters
    ----------
    cells : of the model
    summaries : (cell, pair)
    brain : with its blocks
    strategy : says on which scale entries of different cells can stand beside each other
    """
    if len(cells) == 1:
        return Choice([0], [cells[0]], [[]])
    fold = brain.folds[0]
    subjects = brain.judged(fold, fold.groups[0])
    best = []
    for block in brain.blocks:
        of_models, of_subjects = (brain.sub_rdms(each, block.chosen_on) for each in (summaries, subjects))
        similarity = strategy.similarities(of_models, of_subjects, n_stimuli=len(block.chosen_on))
        best.append(int(np.argmax(similarity.mean(axis=1))))
    votes = [cells[row] for row in best]
    if len(set(best)) == 1:
        return Choice([best[0]], votes, [[]])
    comparable = strategy.comparable(summaries)
    composite = np.empty(summaries.shape[1])
    for row, block in zip(best, brain.blocks, strict=True):
        composite[block.pairs] = comparable[row, block.pairs]
    return Choice([len(cells)], votes, [[composite[None]]])
