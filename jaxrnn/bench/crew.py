"""The workers as the parent sees them: started, asked one thing at a time, and reported when they die."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

PATIENCE_SECONDS = 900.0
# Several processes share a GPU, so none may take all its memory at the start.
ENVIRONMENT = {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}
FLOAT64 = {"JAX_ENABLE_X64": "1"}
ON_CPU = {"JAX_PLATFORMS": "cpu"}


class Died(Exception):
    """A worker is no more, or did not answer, or answered with an error; says which."""


class Worker(NamedTuple):
    process: subprocess.Popen[str]
    words: Any  # the file of its stderr


@contextlib.contextmanager
def crew() -> Iterator[list[Worker]]:
    """A list to put workers into; all that are in it end with it."""
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            dismiss(worker)


def start(environment: dict[str, str] | None = None, *frameworks: str) -> Worker:
    """A new worker, which begins to import at once."""
    words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the worker
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxrnn.bench.worker", *frameworks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        text=True,
        env=os.environ | ENVIRONMENT | (environment or {}),
    )
    return Worker(process, words)


def ask(worker: Worker, do: str, **arguments: Any) -> dict[str, Any]:
    """The worker's answer. Raises Died where there is none, or where the answer is an error."""
    question, answers = worker.process.stdin, worker.process.stdout
    assert question is not None
    assert answers is not None
    try:
        question.write(json.dumps({"do": do, **arguments}) + "\n")
        question.flush()
    except OSError:
        raise Died(_end_of(worker)) from None
    if not select.select([answers], [], [], PATIENCE_SECONDS)[0]:
        dismiss(worker)
        raise Died(f"no answer in {PATIENCE_SECONDS:.0f} s")
    line = answers.readline()
    if not line:
        raise Died(_end_of(worker))
    told = json.loads(line)
    if "error" in told:
        raise Died(told["error"])
    return told


def dismiss(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    for pipe in (worker.process.stdin, worker.process.stdout, worker.words):
        with contextlib.suppress(OSError):  # what was still to be written to the dead
            pipe.close()  # pyright: ignore[reportOptionalMemberAccess]


def _end_of(worker: Worker) -> str:
    """How a process ended, in one line."""
    code = worker.process.wait()
    if code == -signal.SIGKILL:
        return "killed: SIGKILL, as when memory runs out"
    if code < 0:
        return f"killed: {signal.Signals(-code).name}"
    worker.words.seek(0)
    last = worker.words.read().strip().rpartition("\n")[2]
    return f"ended with {code}: {last}"[:300]
