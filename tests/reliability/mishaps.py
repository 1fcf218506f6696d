"""What may befall a run, done to the process it is in. Each is called before the command, in a child process."""

import builtins
import ctypes
import io
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("rename", "replace", "mkdir")


def reached() -> bool:
    """Whether the call was made that was to go wrong."""
    return False


def operation(n: int, errno: int) -> None:
    """At the n-th rename or mkdir that Python does during a save: death (0), or that error."""
    from jaxrnn.runner import checkpoint, train

    global reached
    calls, saving = 0, False
    reached = lambda: calls >= n  # noqa: E731

    def counted(original: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += saving
            if saving and calls == n:
                if not errno:
                    os._exit(137)
                raise OSError(errno, os.strerror(errno), str(arguments[0]))
            return original(*arguments, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))

    def save(*arguments: Any, **trees: Any) -> None:
        nonlocal saving
        saving = arguments[1] == 8  # the second
        checkpoint.save(*arguments, **trees)
        saving = False

    train.save = save


def system_call(library: str, kinds: int, n: int, errno: int) -> None:
    """At the n-th call of these kinds into the C library during a save, by whatever thread: death, or that error."""
    from jaxrnn.runner import checkpoint, train

    global reached
    shim = ctypes.CDLL(library)
    reached = lambda: shim.left() <= 0  # noqa: E731

    def save(*arguments: Any, **trees: Any) -> None:
        if arguments[1] == 8:
            shim.arm(kinds, n, errno)
        try:
            checkpoint.save(*arguments, **trees)
        finally:
            shim.arm(0, shim.left(), 0)

    train.save = save


def at_second_save(do: Callable[[], None], undo: Callable[[], None] = lambda: None) -> None:
    from jaxrnn.runner import checkpoint, train

    def save(*arguments: Any, **trees: Any) -> None:
        if arguments[1] == 8:
            do()
        try:
            checkpoint.save(*arguments, **trees)
        finally:
            undo()

    train.save = save


def small_files(most: int) -> None:
    """During the second save no file may grow beyond so many bytes: EFBIG, where a full quota gives EDQUOT."""

    def limit(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))

    at_second_save(limit(most), limit(-1))


def unwritable(name: str, late: bool) -> None:
    """Whatever is written to files of that name, from the start or from the second save on, meets a full disk."""
    opened = io.open

    def open_full(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(file, str | os.PathLike) and Path(file).name.startswith(name) and set(mode) & set("wa"):
            return opened("/dev/full", mode.replace("a", "w"), *arguments, **options)
        return opened(file, mode, *arguments, **options)

    def begin() -> None:
        io.open = builtins.open = open_full

    at_second_save(begin) if late else begin()


def little_room() -> None:
    """A disk with a kilobyte left."""
    usage = shutil.disk_usage("/")
    shutil.disk_usage = lambda path: usage._replace(free=1000)


def stall(where: str, marker: str, how: str, n: int) -> None:
    """Be busy in the n-th call of a function, `module:name`, after a mark: in Python, in C out of its reach, or for
    some seconds."""
    import importlib

    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, last)

    calls = 0

    def stalled(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != n:
            return original(*arguments, **options)
        Path(marker).touch()
        if how == "C":
            mutex = ctypes.create_string_buffer(64)
            for _ in range(2):  # the second waits for the first, which nobody takes back
                ctypes.CDLL(None).pthread_mutex_lock(mutex)
        while how == "Python":
            time.sleep(0.05)
        until = time.monotonic() + float(how)
        while time.monotonic() < until:
            time.sleep(0.05)
        return original(*arguments, **options)

    setattr(owner, last, stalled)


def poison(what: str, at: int, value: float) -> None:
    """A number in the data, the loss, its gradient or the score is another, from a step on."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrnn.runner.tasks import TASKS, Task
    from reliability import counting

    @jax.custom_vjp
    def bad_gradient(x: Any, now: Any) -> Any:
        return x

    bad_gradient.defvjp(lambda x, now: (x, now), lambda now, g: (g * jnp.where(now, value, 1), None))

    def make(config: counting.Counting) -> Any:
        problem = counting.make(config)

        def batch(seed: int, step: int) -> Any:
            xs, ys = problem.batch(seed, step)
            if what == "data" and step + 1 == at:
                xs[2, 1, 0] = value
            flag = np.full((1, config.batch), step + 1 == at)  # tells the compiled step that the time has come
            return xs, ys, flag

        def loss(params: Any, carry: Any, batch: Any, key: Any) -> Any:
            now = batch[2].any()
            if what == "gradient":
                params = jax.tree.map(lambda p: bad_gradient(p, now), params)
            off, carry = problem.loss(params, carry, batch[:2], key)
            if what == "carry":
                carry = jax.tree.map(lambda c: jnp.where(now, value, c), carry)
            return (jnp.where(now, value, off) if what == "loss" else off), carry

        def evaluate(params: Any, split: str) -> dict[str, float]:
            return {"error": value} if what == "score" else problem.evaluate(params, split)

        specs = (*problem.specs, problem.specs[0])
        return problem._replace(batch=batch, loss=loss, evaluate=evaluate, specs=specs)

    TASKS["counting"] = Task(counting.Counting, make)


def weighed(log: str, every: int) -> None:
    """No mishap: each so many steps, the memory that the process holds and what was compiled so far, as JSON lines."""
    import json

    import jax

    from jaxrnn.runner import train

    compiled: list[str] = []
    inputs = train.inputs

    def heard(event: str, duration_secs: float, **about: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(str(about.get("fun_name")))

    def weigh(*arguments: Any) -> Any:
        if arguments[3] % every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            now = {"step": arguments[3], "bytes": pages * resource.getpagesize(), "compiled": compiled}
            with open(log, "a") as file:
                print(json.dumps(now), file=file)
        return inputs(*arguments)

    jax.monitoring.register_event_duration_secs_listener(heard)
    train.inputs = weigh
