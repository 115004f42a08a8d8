"""The published weights: two networks of the ten, one with gain flows and one with bias flows (OSF, project pf4u5)."""

from pathlib import Path
from typing import NamedTuple

from alignment.errors import DataError
from alignment.fetch import fetch_recorded

FOLDER = "weights"
BYTES = 100_598_907


class Published(NamedTuple):
    """A published file of weights, whose checksum nobody published."""

    name: str
    address: str


GAIN = Published("rnn_bglt_0111_t_4_num_1.pth", "https://osf.io/wxmkv/download")
BIAS = Published("rnn_bglt_1011_t_4_num_1.pth", "https://osf.io/98tgk/download")


def published_weights(published: Published, *, data_root: Path | None, cache: Path) -> Path:
    """The file in `data_root/weights`, or else in `cache/weights`, where it is downloaded to.

    Its publisher gives no checksum: its size is checked, and that of a download is recorded and checked ever after.

    Raises
    ------
    DataError
        It has another size, or it is not there and cannot be downloaded.
    """
    at_hand = None if data_root is None else data_root / FOLDER / published.name
    if at_hand is not None and at_hand.is_file():
        path = at_hand
    else:
        path = fetch_recorded(published.address, folder=cache / FOLDER, name=published.name)
    size = path.stat().st_size
    if size != BYTES:
        raise DataError(f"{path}: {size:,} bytes, and the published file has {BYTES:,}; delete it and fetch it again")
    return path
