"""Two runs never write one directory: one is refused, and told who has it."""

import errno
import os
import re
import socket
import time

import pytest

from jaxrnn.runner.locking import locked
from reliability.conftest import left

OWNER = r"process \d+ on .*|another process"
REFUSED = rf"jaxrnn: (run: {{0}} is being written by ({OWNER}); wait, or stop it|out: {{0}} is there already)"
MANY = [pytest.param(k, marks=pytest.mark.heavy) for k in range(50) if k != 1]


def test_the_second_is_refused_and_the_lock_is_free_after_a_kill(start, whole, tmp_path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    first = start(
        *("train", "counting", "--out", run), mishap=("stall", "jaxrnn.runner.train:inputs", str(marker), "Python", 6)
    )
    while not marker.exists():
        assert first.process.is_alive(), first.said()
        time.sleep(0.01)
    second = start("train", "--resume", run)
    assert second.wait() == 2
    owner = f"process {first.pid} on {socket.gethostname()}"
    assert second.said() == f"jaxrnn: run: {run} is being written by {owner}; wait, or stop it\n"
    os.kill(first.pid, 9)
    first.wait()
    third = start("train", "--resume", run)
    assert third.wait() == 0, third.said()
    assert left(run) == left(whole)


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def refuse(*arguments, **options):  # a read-only disk would need to be mounted
        raise OSError(errno.EROFS, "Read-only file system", "lock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with (
        pytest.raises(ValueError, match=rf"^run: {tmp_path} cannot be written: Read-only file system$"),
        locked(tmp_path),
    ):
        pass


@pytest.mark.parametrize("k", [1, *MANY])
def test_of_two_that_begin_together_one_wins(k, start, tmp_path):
    """By --out, or both by --resume where the run is there already."""
    run = tmp_path / "run"
    short = ("--steps", "2", "--evaluate-every", "1")
    words = ("train", "counting", "--out", run, *short)
    if k % 2:
        first = start(*words)
        assert first.wait() == 0
        words = ("train", "--resume", run, "--steps", "4")
    slow = ("stall", "jaxrnn.runner.train:inputs", str(tmp_path / "marker"), "1", 1)
    both = [start(*words, mishap=slow) for _ in range(2)]
    codes = [child.wait() for child in both]
    assert sorted(codes) == [0, 2], [child.said() for child in both]
    said = both[codes.index(2)].said()
    assert re.match(REFUSED.format(run), said), said
