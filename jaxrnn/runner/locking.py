"""One run, one process that writes: the directory is locked while the run is alive, and free after a kill -9."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Raises ValueError naming the owner where another process has the directory."""
    lock, owner = FileLock(directory / "lock"), directory / "owner"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        raise ValueError(f"run: {directory} is being written by {who}; wait, or stop it") from None
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
