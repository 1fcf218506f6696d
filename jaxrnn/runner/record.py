"""A run's directory and its run.json: what was asked, on what, and how it ended."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from jaxrnn.runner.config import Config
from jaxrnn.runner.config.reading import as_options, read_run
from jaxrnn.runner.files import reason, write_whole
from jaxrnn.runner.locking import locked
from jaxrnn.runner.metrics import as_json
from jaxrnn.runner.stopping import Stopped, on_abandoning

PACKAGES = ("jaxrnn", "jax", "jaxlib", "optax", "orbax-checkpoint", "numpy")


def create(out: Path | None, task: str) -> Path:
    """Make the run's directory, which must be new: two runs never share one.

    Raises ValueError if it is there already or cannot be made.
    """
    directory = out or Path("runs") / f"{task}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        if out is None:  # another run began within the same second
            time.sleep(1)
            return create(out, task)
        raise ValueError(f"out: {directory} is there already, wanted a new directory; choose another --out") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise ValueError(f"out: {str(directory)[:80]!r} cannot be made: {reason(error)}") from None
    return directory


@contextlib.contextmanager
def recorded(
    out: Path | None, task: str, config: Config, about: Mapping[str, Any] | None = None, resume: Path | None = None
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A new directory, or the one to go on with, whose run.json is there from start to end.

    What the caller puts into the dict is written at the end.
    """
    began = time.perf_counter()
    now = {"command": [Path(sys.argv[0]).name, *sys.argv[1:]], "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    record: dict[str, Any] = {
        "task": task,
        "status": "running",
        **now,
        "config": as_options(config),
        "seed": getattr(config, "seeds", None) or config.seed,
        **provenance(),
        **(about or {}),
    }
    # only now, with the record at hand: no directory is left without one
    directory = create(out, task) if resume is None else cast(Path, out)
    if resume:
        directory.mkdir(parents=True, exist_ok=True)  # the scratch directory of a process that is not the first
    lock = threading.Lock()  # the main thread against the one that ends the process over its head

    def end(status: str, **why: str) -> None:
        with lock:
            now = {"status": status, "seconds": round(time.perf_counter() - began, 3), **why}
            write(directory, record | now)
            record.update(now)

    with locked(directory), on_abandoning(lambda number: end("interrupted" if number else "failed")):
        if resume:
            before = read_run(resume)
            earlier = [*before.get("earlier", []), {key: before.get(key) for key in (*now, "status", "seconds")}]
            record |= {"earlier": earlier}
        write(directory, record)
        try:
            yield directory, record
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | Stopped)
            try:
                end("interrupted") if stopped else end("failed", error=traceback.format_exc())
            except OSError as unwritten:  # what the user has to know is why the run ended
                print(f"jaxrnn: {unwritten}", file=sys.stderr)
            raise
        end("completed")


def digest(params: Any) -> str:
    """sha256 over the path, dtype, shape and bytes of every array."""
    total = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(params):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def provenance() -> dict[str, Any]:
    """What a result depends on beside what was asked: versions, device and commit."""
    return {"versions": _versions(), "device": _device(), "git": _git()}


def write(directory: Path, record: dict[str, Any]) -> None:
    """run.json, with null for a number that is not finite."""
    write_whole(directory / "run.json", json.dumps(as_json(record), indent=2, allow_nan=False, default=str) + "\n")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # jaxrnn from a checkout on PYTHONPATH
        return "not installed"


def _device() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": jax.device_count(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def _git() -> dict[str, Any] | None:
    """The commit this code stands at, or None outside a checkout."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not somebody else's checkout around an installation
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
