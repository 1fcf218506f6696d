"""SIGINT and SIGTERM as a question that the loop asks between steps, so that no step or save is cut in two."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """The run was asked to stop and has saved what it had."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.exit_code = 128 + number


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Gives `asked()`: the signal that asked to stop, or 0. A second signal takes its usual course at once."""
    received = 0

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
