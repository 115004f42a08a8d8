"""Representational dissimilarity matrices of one set of stimuli, checked where they enter."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from alignment.errors import DataError

LEAST_STIMULI = 3
# relative to the largest entry: what storing a symmetric matrix in float32 may cost
ROUNDING = 1e-5

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class RDMs:
    """Dissimilarities between all pairs of the same stimuli, one row per RDM.

    Pairs are in the order of SciPy's `squareform` and of rsatoolbox: the upper triangle, row by row.

    Parameters
    ----------
    dissimilarities : array (rdm, pair) float
        NaN where a pair was not measured, in the same places in every RDM.
    stimuli : tuple of str
        Ids, unique; the order of rows and columns.
    distance : str
        How they were made, by formula: `1-pearson`, `squared-euclidean`, ...; empty when unknown.
    subjects, sessions : tuple of str
        Of each RDM; subjects are counted when not given, sessions may be empty.

    Raises
    ------
    DataError
        Fewer than 3 stimuli; repeated ids; a number of pairs, subjects or sessions that does not fit; an infinite
        entry; NaN in different places; no pair at all.

    Examples
    --------
    >>> rdms = RDMs(np.array([[0.1, 0.2, 0.3]]), stimuli=("a", "b", "c"))
    >>> len(rdms), rdms.squares()[0, 2, 1].item(), rdms.select(["c", "a", "b"]).dissimilarities.tolist()
    (1, 0.3, [[0.2, 0.3, 0.1]])
    """

    dissimilarities: Floats
    stimuli: tuple[str, ...]
    distance: str = ""
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values, count = self.dissimilarities, len(self.stimuli)
        if count < LEAST_STIMULI:
            raise DataError(f"RDMs of {count} stimuli; at least {LEAST_STIMULI} are needed to compare them")
        if len(set(self.stimuli)) != count:
            twice = next(name for name in self.stimuli if self.stimuli.count(name) > 1)
            raise DataError(f"RDMs: stimulus {twice!r} is there twice; give every stimulus its own id")
        if values.ndim != 2 or values.dtype.kind != "f" or values.shape[1] != count * (count - 1) // 2:
            raise DataError(
                f"RDMs are {values.dtype} {values.shape}, expected float (rdm, {count * (count - 1) // 2} pairs) "
                f"of {count} stimuli"
            )
        if not len(values):
            raise DataError("RDMs: none; give at least one")
        if not self.subjects:
            object.__setattr__(self, "subjects", tuple(f"subject{number + 1}" for number in range(len(values))))
        for name, labels in (("subjects", self.subjects), ("sessions", self.sessions)):
            if labels and len(labels) != len(values):
                raise DataError(f"RDMs: {len(labels)} {name} for {len(values)} RDMs; give one to each")
        self._check_values()

    def _check_values(self) -> None:
        if np.isinf(self.dissimilarities).any():
            raise DataError("RDMs: an infinite entry; a pair that was not measured is NaN")
        missing = np.isnan(self.dissimilarities)
        if missing.all(axis=1).any():
            raise DataError(f"RDMs: every entry of {self.subjects[int(missing.all(axis=1).argmax())]} is NaN")
        odd = (missing != missing[:1]).any(axis=1)
        if odd.any():
            raise DataError(
                f"RDMs: NaN in other places in {self.subjects[int(odd.argmax())]} than in {self.subjects[0]}; "
                "leave these stimuli out of all, so that all RDMs are judged on the same pairs"
            )

    @classmethod
    def from_squares(
        cls,
        matrices: Floats,
        *,
        stimuli: Sequence[str],
        distance: str = "",
        subjects: Sequence[str] = (),
        sessions: Sequence[str] = (),
    ) -> "RDMs":
        """From symmetric matrices (rdm, stimulus, stimulus) or one (stimulus, stimulus); the diagonal is not looked at.

        Raises
        ------
        DataError
            A matrix is not square or not symmetric; or as `RDMs`.
        """
        cube = np.asarray(matrices)
        cube = cube[None] if cube.ndim == 2 else cube
        cube = cube if cube.dtype.kind == "f" else cube.astype(np.float64)
        if cube.ndim != 3 or cube.shape[1] != cube.shape[2] or cube.shape[1] != len(stimuli):
            raise DataError(f"RDMs are {cube.shape}, expected (rdm, stimulus, stimulus) of {len(stimuli)} stimuli")
        rows, columns = np.triu_indices(len(stimuli), k=1)
        upper, lower = cube[:, rows, columns], cube[:, columns, rows]
        both = np.isfinite(upper) & np.isfinite(lower)
        largest = np.max(np.abs(upper), axis=1, initial=0.0, where=both)
        apart = np.abs(np.subtract(upper, lower, where=both, out=np.zeros_like(upper))) > ROUNDING * largest[:, None]
        apart |= np.isnan(upper) != np.isnan(lower)
        if apart.any():
            number, pair = np.argwhere(apart)[0]
            a, b = stimuli[rows[pair]], stimuli[columns[pair]]
            raise DataError(
                f"RDM {number} is not symmetric: {upper[number, pair]:g} from {a!r} to {b!r}, "
                f"{lower[number, pair]:g} back; average the two or mend the matrix"
            )
        return cls(
            upper, tuple(map(str, stimuli)), distance=distance, subjects=tuple(subjects), sessions=tuple(sessions)
        )

    def __len__(self) -> int:
        return len(self.dissimilarities)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each stimulus."""
        return {name: position for position, name in enumerate(self.stimuli)}

    def squares(self) -> Floats:
        """(rdm, stimulus, stimulus) with zeros on the diagonal."""
        count = len(self.stimuli)
        matrices = np.zeros((len(self), count, count), self.dissimilarities.dtype)
        rows, columns = np.triu_indices(count, k=1)
        matrices[:, rows, columns] = matrices[:, columns, rows] = self.dissimilarities
        return matrices

    def select(self, stimuli: Sequence[str]) -> "RDMs":
        """The same RDMs of some stimuli, in the order given.

        Raises
        ------
        DataError
            A stimulus is not there, or as `RDMs`.
        """
        if tuple(stimuli) == self.stimuli:
            return self
        strange = [name for name in stimuli if name not in self.index]
        if strange:
            raise DataError(f"RDMs: no stimulus {strange[0]!r} ({len(strange)} such); give the same stimuli to all")
        order = np.array([self.index[name] for name in stimuli], dtype=np.int64)
        rows, columns = np.triu_indices(len(order), k=1)
        pairs = pair_positions(order[rows], order[columns], count=len(self.stimuli))
        return RDMs(self.dissimilarities[:, pairs], tuple(stimuli), self.distance, self.subjects, self.sessions)

    def take(self, rows: Sequence[int]) -> "RDMs":
        """Some of the RDMs, in the order given."""
        chosen = list(rows)
        return RDMs(
            self.dissimilarities[chosen],
            self.stimuli,
            self.distance,
            tuple(self.subjects[row] for row in chosen),
            tuple(self.sessions[row] for row in chosen) if self.sessions else (),
        )


def pair_positions(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], *, count: int) -> npt.NDArray[np.int64]:
    """Where the pairs of two different stimuli lie in a row of dissimilarities of `count` stimuli.

    Examples
    --------
    >>> pair_positions(np.array([0, 2]), np.array([1, 1]), count=3)
    array([0, 2])
    """
    low, high = np.minimum(first, second), np.maximum(first, second)
    return low * (2 * count - low - 1) // 2 + high - low - 1
