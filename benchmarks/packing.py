"""Samples of a score as a record keeps them: text, small and exact to single precision."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from alignment.samples import Samples

STORED = np.dtype("<f4")
ARRAYS = ("resampled", "deviations")


def packed(samples: Samples) -> dict[str, Any]:
    """Plain numbers and text, as JSON wants them."""
    arrays = {name: _text(getattr(samples, name)) for name in ARRAYS}
    values = [float(value) for value in samples.values]
    pseudo_values = None if samples.pseudo_values is None else [float(value) for value in samples.pseudo_values]
    return {
        "values": values,
        **arrays,
        "pseudo_values": pseudo_values,
        "n_stimuli": samples.n_stimuli,
        "subjects": samples.subjects,
        "overlap": samples.overlap,
    }


def unpacked(plain: Mapping[str, Any]) -> Samples:
    """The samples that `packed` made plain.

    Examples
    --------
    >>> samples = Samples(np.array([0.5]), np.array([[0.25, 0.75]]), n_stimuli=9)
    >>> unpacked(packed(samples)).resampled.tolist()
    [[0.25, 0.75]]
    """
    return Samples(
        np.array(plain["values"], np.float64),
        **{name: _array(plain[name]) for name in ARRAYS},
        pseudo_values=None if plain["pseudo_values"] is None else np.array(plain["pseudo_values"], np.float64),
        n_stimuli=plain["n_stimuli"],
        subjects=plain["subjects"],
        overlap=plain["overlap"],
    )


def _text(array: np.ndarray | None) -> dict[str, Any] | None:
    if array is None:
        return None
    return {"shape": list(array.shape), "float32": base64.b64encode(array.astype(STORED).tobytes()).decode()}


def _array(plain: Mapping[str, Any] | None) -> Any:
    if plain is None:
        return None
    return np.frombuffer(base64.b64decode(plain["float32"]), STORED).reshape(plain["shape"]).astype(np.float64)
