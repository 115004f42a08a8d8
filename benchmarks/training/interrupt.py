"""Ending a training between two of its steps when a signal comes, so that nothing of it is lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_wait() -> Iterator[Callable[[], bool]]:
    """The first signal to end waits until the block is over, and then does what it did before; a second one at once.

    Yields
    ------
    Whether a signal is waiting: the block is asked to keep its state and to end soon

    Examples
    --------
    >>> try:
    ...     with signals_wait() as stop:
    ...         signal.raise_signal(signal.SIGINT)
    ...         print(stop())
    ... except KeyboardInterrupt:
    ...     print("ended")
    True
    ended
    """
    waiting: list[int] = []
    former = {number: signal.getsignal(number) for number in SIGNALS}
    # whoever started the command may have had a signal ignored
    heeded = [number for number in SIGNALS if former[number] is not signal.SIG_IGN]

    def restore() -> None:
        for number in heeded:
            signal.signal(number, former[number])

    def wait(number: int, _frame: object) -> None:
        restore()
        waiting.append(number)

    for number in heeded:
        signal.signal(number, wait)
    try:
        yield lambda: bool(waiting)
    finally:
        restore()
    if waiting:
        signal.raise_signal(waiting[0])
