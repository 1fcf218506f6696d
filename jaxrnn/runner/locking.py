"""One run, one process that writes: the directory is locked while the run is alive, and free after a kill -9."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from jaxrnn.runner.files import reason


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Raises ValueError naming the owner where another process has the directory."""
    lock, owner = FileLock(directory / "lock"), directory / "owner"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"run: {directory} is being written by {named(owner)}; wait, or stop it") from None
    except OSError as error:
        raise ValueError(f"run: {directory} cannot be written: {reason(error)}") from None
    try:
        with contextlib.suppress(OSError):  # it only informs
            owner.unlink(missing_ok=True)  # of one that was killed
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def named(owner: Path) -> str:
    """Who has the lock; it says so just after it took it."""
    for _ in range(10):
        with contextlib.suppress(OSError):
            if who := owner.read_text(encoding="utf-8", errors="replace"):
                return who
        time.sleep(0.1)
    return "another process"
