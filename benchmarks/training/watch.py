"""What `bench train` does between two updates: says how far it is, ends when asked to, keeps the state now and then."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from alignment.training.train import Order
from benchmarks.store import write_whole
from benchmarks.training.base import Notify


class Watch:
    """Says before every update what is to be done, and how far it is.

    Parameters
    ----------
    what : is trained
    stop : asked whether to end
    report : told (what, done, of how many)
    save_seconds : between two writings of the state
    """

    def __init__(self, what: str, *, stop: Callable[[], bool], report: Notify, save_seconds: float) -> None:
        self.what, self.stop, self.report, self.save_seconds = what, stop, report, save_seconds
        self.saved, self.steps = time.monotonic(), 0

    def end(self) -> None:
        """All is done, whether it was now or before."""
        self.report(self.what, self.steps, self.steps)

    def __call__(self, step: int, steps: int) -> Order:
        """Before an update, of which so many were made and so many will be."""
        self.steps = steps
        self.report(self.what, step, steps)
        if self.stop():
            return Order.STOP
        now = time.monotonic()
        if now - self.saved < self.save_seconds:
            return Order.GO
        self.saved = now
        return Order.SAVE


def write_history(path: Path, history: Sequence[NamedTuple]) -> None:
    """A row for each epoch, as CSV, whole or not at all."""
    text = io.StringIO()
    pd.DataFrame(history).to_csv(text, index=False, float_format="%.6g", lineterminator="\n")
    write_whole(path, text.getvalue().encode())
