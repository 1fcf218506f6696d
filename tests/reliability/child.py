"""The command in a process of its own, forked from one that has imported everything, so that a run takes a second."""

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from jaxrnn.runner.tasks import TASKS, Task
from reliability import counting, mishaps

TASKS.setdefault("counting", Task(counting.Counting, counting.make))  # before the command lists its tasks

import matplotlib.figure  # noqa: E402

import jaxrnn.cli  # noqa: E402
import jaxrnn.runner.commands.compare  # noqa: E402
import jaxrnn.runner.commands.eval  # noqa: E402
import jaxrnn.runner.commands.sweep  # noqa: E402
import jaxrnn.runner.run  # noqa: E402

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["reliability.child"])


class Child:
    """`jaxrnn ARGUMENTS`; `mishap` is the name of a function of mishaps.py and its arguments."""

    def __init__(self, *arguments: object, log: Path, mishap: tuple[Any, ...] = ()) -> None:
        self.log, self.began = log, time.monotonic()
        self.process = _server.Process(target=command, args=([str(a) for a in arguments], str(log), mishap))
        self.process.start()
        self.pid: int = self.process.pid or 0

    def kill(self) -> None:
        if self.process.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = 60) -> int:
        """The exit code; negative: the signal that it died of."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)
            raise TimeoutError(f"still there after {seconds} s: {self.said()}")
        return self.process.exitcode

    def said(self) -> str:
        """On standard error."""
        return self.log.with_suffix(".err").read_text()

    def shown(self) -> str:
        """On standard output."""
        return self.log.with_suffix(".out").read_text()


def command(arguments: list[str], log: str, mishap: tuple[Any, ...]) -> None:
    for number, suffix in ((1, ".out"), (2, ".err")):
        file = os.open(log + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    jaxrnn.runner.plots.panels = lambda *arguments: None  # a picture takes longer than the run
    if mishap:
        getattr(mishaps, mishap[0])(*mishap[1:])
    jaxrnn.cli.main(arguments)


def watched(
    cases: list[tuple[str, list[str]]], answers: Path, trap: Path, seconds: float = 120
) -> list[dict[str, Any]]:
    """What each command came to, one after the other in one process; a module in `trap` could be imported."""
    process = _server.Process(target=watch, args=(cases, str(answers), str(trap)))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGKILL)
    found = [json.loads(line) for line in answers.read_text().splitlines()]
    if process.exitcode or len(found) < len(cases):
        where = cases[len(found)] if len(found) < len(cases) else "the end"
        raise RuntimeError(f"ended with {process.exitcode}, or was killed after {seconds} s, at {where}")
    return found


def watch(cases: list[tuple[str, list[str]]], answers: str, trap: str) -> None:
    from reliability import watched

    sys.path.insert(0, trap)
    jaxrnn.runner.plots.panels = lambda *arguments: None
    matplotlib.figure.Figure.savefig = lambda *arguments, **options: None
    watched.watch(cases, answers)
