"""SIGINT and SIGTERM end the command wherever it stands, except where that would cut a step or a save in two.

Python hears of a signal only between two of its own instructions, and a compilation in C++ can last minutes. So a
thread, woken by the signal itself, ends the process where the main thread has not heard in time; what has to be
written then, `on_abandoning` knows. The thread also ends it at once on a second signal.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from jaxrnn.runner.files import told

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 2.0  # seconds for the main thread to hear of a signal
ONE = 0.3  # seconds within which several signals count as one: a terminal and a wrapper may both send theirs


class Stopped(BaseException):
    """The command was asked to stop. No Exception, or it would be taken for damage where damage is expected."""

    def __init__(self, number: int, words: str = "", agreed: bool = False) -> None:
        super().__init__(words)
        self.number, self.words = number, words
        self.agreed = agreed  # with all other processes of the run, at the same step
        self.exit_code = 128 + number


@dataclasses.dataclass
class _Now:
    """What this process was asked, and what it may leave lying where it is."""

    number: int = 0  # of the signal
    raised: bool = False
    heard: threading.Event = dataclasses.field(default_factory=threading.Event)
    holding: int = 0  # how many `held` it is in
    precious: int = 0  # how many of these must be waited for
    last_words: list[Callable[[int], None]] = dataclasses.field(default_factory=list)


_now = _Now()


@contextlib.contextmanager
def catching() -> Iterator[None]:
    """Within, a signal raises Stopped. Does nothing outside the main thread, where Python allows no handlers."""
    global _now
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _now = _Now()
    read, write = os.pipe()
    os.set_blocking(write, False)
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _hear) for number in SIGNALS}
    threading.Thread(target=_watch, args=(read,), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(write)


def asked() -> int:
    """The signal that asked to stop, or 0."""
    return _now.number


@contextlib.contextmanager
def held(precious: bool = True) -> Iterator[None]:
    """Within, a signal is only remembered; it raises at the end. What is not precious may be ended from outside."""
    _now.holding += 1
    _now.precious += precious
    try:
        yield
    finally:
        _now.precious -= precious
        _now.holding -= 1
    _raise_if_asked()


@contextlib.contextmanager
def on_abandoning(do: Callable[[int], None]) -> Iterator[None]:
    """`do(number)` is called, the last given first, where the process ends with its main thread out of reach."""
    _now.last_words.append(do)
    try:
        yield
    finally:
        _now.last_words.remove(do)


def abandon(number: int, code: int) -> None:
    """End the process from another thread, after its last words. `number`: the signal, or 0."""
    if number and not _now.last_words:
        print("jaxrnn: interrupted", file=sys.stderr)
    for do in reversed(_now.last_words):
        try:
            do(number)
        except Exception as error:
            print(f"jaxrnn: {told(error)}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _hear(number: int, frame: FrameType | None) -> None:
    _now.number = _now.number or number
    _now.heard.set()
    _raise_if_asked()


def _raise_if_asked() -> None:
    if _now.number and not _now.holding and not _now.raised:
        _now.raised = True
        raise Stopped(_now.number)


def _watch(pipe: int) -> None:
    """The thread that the signals wake."""
    now, first = _now, 0.0
    with open(pipe, "rb", buffering=0) as signals:
        while byte := signals.read(1):
            if byte[0] not in SIGNALS:
                continue
            if first and time.monotonic() - first > ONE:
                os._exit(128 + byte[0])
            if not first:
                first = time.monotonic()
                threading.Thread(target=_out_of_reach, args=(now, byte[0]), daemon=True).start()


def _out_of_reach(now: _Now, number: int) -> None:
    """End the process where its main thread is deep in C++, and nothing precious is going on there."""
    if not now.heard.wait(GRACE) and not now.precious and now is _now:
        now.number, now.raised = number, True  # should it hear after all, it waits for the end
        abandon(number, 128 + number)
