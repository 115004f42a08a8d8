"""A data set made of RDMs: images by id, the RDMs of each subject, and what follows from them.

Means over sessions and the fingerprint are derived here, once, for whoever can say what was measured.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alignment import fingerprint
from alignment.errors import DataError
from alignment.rsa.rdms import RDMs
from alignment.stimuli import StimulusSet


@dataclass(frozen=True)
class GivenRDMs:
    """Stimuli and the RDMs measured of them.

    Parameters
    ----------
    name : of the data set
    stimuli : exactly those of the RDMs; their order becomes that of the RDMs
    measured : one RDM per subject, or per subject and session
    models : published RDMs of the same stimuli, one row each, that a table sets beside models
    version : raised when an unchanged model's score would change
    marks : the user's choices that change a number, as `key=value`
    said : what `describe` adds
    files : the published files it was read from, checked and, where they were missing, downloaded

    Raises
    ------
    DataError
        Stimuli and RDMs differ in their ids; a subject has several RDMs that no session tells apart; a model has
        several RDMs, other stimuli, or no entry for a pair that was measured.
    """

    name: str
    stimuli: StimulusSet
    measured: RDMs
    models: Mapping[str, RDMs] = field(default_factory=dict)
    version: int = 1
    marks: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        _check_ids(self.measured, self.stimuli, where=self.name)
        check_sessions(self.measured, where=self.name)
        for model, rdms in self.models.items():
            where = f"{self.name}, model {model}"
            _check_ids(rdms, self.stimuli, where=where)
            if len(rdms) != 1:
                raise DataError(f"{where}: {len(rdms)} RDMs, expected one; give each its own name")
            absent = np.isnan(self._models[model].dissimilarities) & ~np.isnan(self._ordered.dissimilarities[:1])
            if absent.any():
                raise DataError(f"{where}: {absent.sum()} pairs that were measured are NaN; give their dissimilarities")

    def fetch(self) -> tuple[Path, ...]:
        """Where its published files lie: they were checked and downloaded to make it."""
        return self.files

    @property
    def subjects(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(self.measured.subjects))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the RDMs of subjects and models, their stimuli, subjects, sessions and distances."""
        models = [text for name in sorted(self._models) for text in (name, _hash(self._models[name]))]
        return fingerprint.of_parts(str(self.version), _hash(self._ordered), *models)

    def rdms(self) -> RDMs:
        """One RDM per subject, the plain mean over sessions, float64, stimuli as in `stimuli`."""
        return self._means

    def sessions(self) -> RDMs | None:
        """One RDM per subject and session, stimuli as in `stimuli`; None where no subject has several."""
        return self._ordered if len(self._ordered) > len(self.subjects) else None

    def references(self) -> Mapping[str, RDMs]:
        """The published model RDMs by name, one row each, stimuli as in `stimuli`."""
        return self._models

    def describe(self) -> dict[str, Any]:
        """Subjects, counts, distance and references."""
        counts = Counter(self.measured.subjects)
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "sessions": [counts[subject] for subject in self.subjects],
            "stimuli": len(self.stimuli),
            "pairs": int(np.isfinite(self.measured.dissimilarities[0]).sum()),
            "distance": self.measured.distance or "not stated",
            "reference models": list(self.models),
            **self.said,
        }

    @cached_property
    def _ordered(self) -> RDMs:
        return _double(self.measured.select(self.stimuli.ids))

    @cached_property
    def _models(self) -> dict[str, RDMs]:
        return {name: _double(rdms.select(self.stimuli.ids)) for name, rdms in self.models.items()}

    @cached_property
    def _means(self) -> RDMs:
        own = np.array(self._ordered.subjects)
        means = [self._ordered.dissimilarities[own == subject].mean(axis=0) for subject in self.subjects]
        return RDMs(np.stack(means), self.stimuli.ids, distance=self._ordered.distance, subjects=self.subjects)


def rdm_dataset(
    name: str,
    images: Mapping[str, np.ndarray],
    *,
    rdms: RDMs,
    references: Mapping[str, RDMs] | None = None,
    visual_degrees: float | None = None,
) -> GivenRDMs:
    """A data set from RDMs and plain arrays of pixels.

    Parameters
    ----------
    name : of the data set
    images : id -> (row, column, 3) uint8, every stimulus of the RDMs
    rdms : one per subject, or one per subject and session, both named
    references : model RDMs of the same stimuli, one row each, that a table sets beside models
    visual_degrees : width of an image when it was shown

    Raises
    ------
    DataError
        As `GivenRDMs`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = {name: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for name in "abc"}
    >>> twice = RDMs(
    ...     np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]), ("a", "b", "c"), subjects=("ann", "ann"), sessions=("1", "2")
    ... )
    >>> mine = rdm_dataset("mine", images, rdms=twice)
    >>> mine.subjects, mine.rdms().dissimilarities.tolist(), len(mine.sessions())
    (('ann',), [[0.2, 0.2, 0.2]], 2)
    """
    held = {key: np.asarray(image) for key, image in images.items()}
    odd = sorted(set(held) ^ set(rdms.stimuli))
    if odd:
        raise DataError(f"{name}: {odd[0]!r} has an image or an RDM but not both ({len(odd)} such); give both")
    stimuli = StimulusSet(name, rdms.stimuli, held.__getitem__, visual_degrees=visual_degrees)
    return GivenRDMs(name, stimuli, rdms, models=dict(references or {}))


def check_sessions(rdms: RDMs, *, where: str) -> RDMs:
    """Return `rdms` if no two are of the same subject and session.

    Raises
    ------
    DataError
        Two are; the message begins with `where`.
    """
    sessions = rdms.sessions or ("",) * len(rdms)
    (subject, session), count = Counter(zip(rdms.subjects, sessions, strict=True)).most_common(1)[0]
    if count > 1:
        of = f" in session {session!r}" if session else " and no session is named"
        raise DataError(f"{where}: subject {subject!r} has {count} RDMs{of}; name a session for each")
    return rdms


def _check_ids(rdms: RDMs, stimuli: StimulusSet, *, where: str) -> None:
    odd = sorted(set(rdms.stimuli) ^ set(stimuli.ids))
    if odd:
        lacking = "the RDMs have" if odd[0] in stimuli.index else "the data set has"
        raise DataError(f"{where}: {lacking} no stimulus {odd[0]!r} ({len(odd)} such); give the same stimuli to both")


def _double(rdms: RDMs) -> RDMs:
    return replace(rdms, dissimilarities=rdms.dissimilarities.astype(np.float64))


def _hash(rdms: RDMs) -> str:
    coordinates = [rdms.distance, rdms.stimuli, rdms.subjects, rdms.sessions]
    return fingerprint.of_parts(fingerprint.of_array(rdms.dissimilarities), fingerprint.of_settings(coordinates))
