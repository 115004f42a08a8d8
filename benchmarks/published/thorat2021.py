"""What Thorat, Aldegheri & Kietzmann 2021 found in five networks with gain flows and in five with bias flows.

Read from the arrays of their repository. Decoding: accuracy of a linear read-out of each layer in each sweep.
Importance: accuracy lost when the flow into a layer carries another image's property, beyond a permuted control, over
accuracy; of the partners of their code, which are upright or of medium size where ours are of the other side or scale.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from alignment.errors import DataError
from alignment.fetch import fetch
from alignment.models.thorat_rnn.layout import RECEIVERS

NAME = "thorat2021"
ADDRESS = (
    "https://raw.githubusercontent.com/KietzmannLab/svrhm21_RNN_explain/a586af9da2893e3d8816add33e9f9b1ce2f2cf63/"
    "analyses/"
)
KINDS = {"gain": "0111", "bias": "1011"}
NETWORKS = (1, 2, 3, 4, 5)
DECODING, IMPORTANCE = "decoding", "importance"
# benchmark -> places in the published order: category, column, row, scale, orientation, domain
VARIABLES: Mapping[str, tuple[int, ...]] = {
    "orthogonal.category": (0,),
    "orthogonal.location": (1, 2),
    "orthogonal.scale": (3,),
    "orthogonal.orientation": (4,),
    "orthogonal.domain": (5,),
}
# likewise: row, column, orientation, scale, category within and between domains
PROPERTIES: Mapping[str, tuple[int, ...]] = {
    "perturbation.location": (0, 1),
    "perturbation.orientation": (2,),
    "perturbation.scale": (3,),
    "perturbation.category_within": (4,),
    "perturbation.category_between": (5,),
}
# shapes: layer, sweep, variable, condition, repetition; and property, replacement, layer, sweep, repetition
DECODED, ORIGINAL, REPLACED = (4, 4, 6, 2, 10), (5, 1), (6, 2, 4, 3, 5)
NORMAL = 1.96
SHA256 = {
    "dec_accrnn_bglt_0111_t_4_num_1.npy": "aeee7adb3a0dedbc1106ea74a01e3bedf3548334add9fd62b6d569588014607b",
    "dec_accrnn_bglt_0111_t_4_num_2.npy": "a40f1c83004c63074506e6f2dbc2dd49fa670e52acd83e8b68bfeddb75b4df85",
    "dec_accrnn_bglt_0111_t_4_num_3.npy": "3ec3108cf676db808d0eceea00fcef734ff0389745ef494230e7439f38bcf4cb",
    "dec_accrnn_bglt_0111_t_4_num_4.npy": "c061bf66fbce4c2dfa136e4c54dff9d01bf4e03ee999e52c69409c0085d08e45",
    "dec_accrnn_bglt_0111_t_4_num_5.npy": "cd8146482796882d645951aff215f5f6b76d59ffd8e04d5abacad8646ea42f46",
    "dec_accrnn_bglt_1011_t_4_num_1.npy": "533a9551905bb9b83c35a9f95231fb240e4821b243827ad0a3aeef313956cc8e",
    "dec_accrnn_bglt_1011_t_4_num_2.npy": "8f71e68463b3c95bc6262e5ecc387c43231adb5a135d972338ca8e27e7177074",
    "dec_accrnn_bglt_1011_t_4_num_3.npy": "ccfeb50dee8a3e70ce4c751831cfeec6a31f33a870ef40547586736aa384d393",
    "dec_accrnn_bglt_1011_t_4_num_4.npy": "4401369d6a75c4d19246700c7d35e30e4c85ac97c18518f0da1b4bcff635087d",
    "dec_accrnn_bglt_1011_t_4_num_5.npy": "9369e8b36b42c91d001f7cbebea105c5e3455f9b698e65e5d685c34ca3209fd0",
    "fb_perturb-rnn_bglt_0111_t_4_num_1.npy": "b49ad7717b846a01036f948b65561d698074e6aab05eb60f6d4c5b3507189d49",
    "fb_perturb-rnn_bglt_0111_t_4_num_2.npy": "72c1ead10aac40d5fe9b1a4fc30d866579a24ff9f20bbccb87d7c8385bd6dafa",
    "fb_perturb-rnn_bglt_0111_t_4_num_3.npy": "813a3326673d8d88719f3c56aaf0f547b0748955fc10d12d988803eadd0f7cfb",
    "fb_perturb-rnn_bglt_0111_t_4_num_4.npy": "44cc67560b5332d8f7503355a1ef3febad7366c4cfa3e070e7d2b513df5e5adc",
    "fb_perturb-rnn_bglt_0111_t_4_num_5.npy": "0857451f6ea2737963b3e02d00d21c02547bb0744bf04a05e1b7a34daded2bc8",
    "fb_perturb-rnn_bglt_1011_t_4_num_1.npy": "8b4b56e52a709d27a10f54bf5895069701bb661324df8c62f669d7f56e503bc6",
    "fb_perturb-rnn_bglt_1011_t_4_num_2.npy": "ba89e062faee39003c86d137ed42f9133fcf6a127d3fe386d3596d0ee66f7d2d",
    "fb_perturb-rnn_bglt_1011_t_4_num_3.npy": "b9b53131d852a67e7e5e4ac86d1d2782f90120a5dff52e5772d7b4e903512321",
    "fb_perturb-rnn_bglt_1011_t_4_num_4.npy": "0be4ca33e5f3748205fc75b52033af6fa381420cd7b995e8ca14ab30cc183639",
    "fb_perturb-rnn_bglt_1011_t_4_num_5.npy": "5089fe31359f4bf25719f6e2b53a82a5afed0945b3a89ddf1bf2e12fc85f0986",
}


class _Network(NamedTuple):
    """(layer, sweep, variable) accuracies on cluttered images, and (property, layer, sweep) importance."""

    decoding: npt.NDArray[np.float64]
    importance: npt.NDArray[np.float64]


def published_curves(*, data_root: Path | None, cache: Path) -> pd.DataFrame:
    """Means over five networks of each kind, with the 95 % intervals of the paper (1.96 sd / sqrt(5)).

    Parameters
    ----------
    data_root : whose folder `thorat2021` may hold the arrays
    cache : where they are downloaded to otherwise

    Returns
    -------
    DataFrame with figure ("decoding" or "importance"), benchmark (whose rows it compares with), model, layer, time_bin
    (0 is the first sweep; a flow has that of the sweep it arrives at), raw, raw_low, raw_high

    Raises
    ------
    DataError
        An array has another checksum or shape, or is nowhere to be had.
    """
    rows = []
    for kind, code in KINDS.items():
        networks = [_network(code, number, data_root=data_root, cache=cache) for number in NETWORKS]
        decoding, importance = (np.stack(each) for each in zip(*networks, strict=True))
        for benchmark, places in VARIABLES.items():
            values = decoding[..., list(places)].mean(axis=-1)
            rows += _rows(values, figure=DECODING, benchmark=benchmark, kind=kind, prefix="states.", first=0)
        for benchmark, places in PROPERTIES.items():
            values = importance[:, list(places)].mean(axis=1)
            rows += _rows(values, figure=IMPORTANCE, benchmark=benchmark, kind=kind, prefix="", first=1)
    return pd.DataFrame(rows)


def _rows(
    values: npt.NDArray[np.float64], *, figure: str, benchmark: str, kind: str, prefix: str, first: int
) -> list[dict[str, object]]:
    """Of (network, layer, sweep)."""
    mean = values.mean(axis=0)
    half = NORMAL * values.std(axis=0) / np.sqrt(len(values))
    return [
        {
            "figure": figure,
            "benchmark": benchmark,
            "model": f"published, {kind} flows",
            "layer": f"{prefix}{layer}",
            "time_bin": float(first + sweep),
            "raw": mean[place, sweep],
            "raw_low": mean[place, sweep] - half[place, sweep],
            "raw_high": mean[place, sweep] + half[place, sweep],
        }
        for place, layer in enumerate(RECEIVERS)
        for sweep in range(mean.shape[1])
    ]


def _network(code: str, number: int, *, data_root: Path | None, cache: Path) -> _Network:
    names = [f"{stem}rnn_bglt_{code}_t_4_num_{number}.npy" for stem in ("dec_acc", "fb_perturb-")]
    decoded, replaced = (_file(name, data_root=data_root, cache=cache) for name in names)
    (accuracy,) = _arrays(decoded, DECODED)
    original, kept = _arrays(replaced, ORIGINAL, REPLACED)
    perturbed, control = kept.mean(axis=-1).transpose(1, 0, 2, 3)
    return _Network(accuracy[..., 0, :].mean(axis=-1), (control - perturbed) / original.mean())


def _file(name: str, *, data_root: Path | None, cache: Path) -> Path:
    at_hand = data_root is not None and (data_root / NAME / name).is_file()
    folder = data_root / NAME if data_root is not None and at_hand else cache / NAME
    return fetch(f"{ADDRESS}{name}", sha256=SHA256[name], folder=folder)


def _arrays(path: Path, *shapes: tuple[int, ...]) -> list[npt.NDArray[np.float64]]:
    """The first arrays of a file, one saved after the other."""
    with path.open("rb") as file:
        found = [np.load(file, allow_pickle=False) for _ in shapes]
    for array, shape in zip(found, shapes, strict=True):
        if array.shape != shape:
            raise DataError(f"{path}: an array is {array.shape}, expected {shape}; delete it and fetch it again")
    return found
