"""The training loop of every task: look, save, update, until the last step or a request to stop."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from rich.console import Console

from jaxrnn.runner.best import Best, first_best, good_enough, look, out_of_patience
from jaxrnn.runner.checkpoint import checkpoints, save
from jaxrnn.runner.config import Trained
from jaxrnn.runner.devices import make_mesh, on_host, place
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.numbers import number
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.problem import Problem
from jaxrnn.runner.progress import Show, progress
from jaxrnn.runner.seeds import described, each, for_each, seeds_of
from jaxrnn.runner.stopping import Stopped, asked, held, on_abandoning
from jaxrnn.runner.tensorboard import events
from jaxrnn.runner.updating import SPECS, State, culprits, inputs, make_update
from jaxrnn.runner.watching import make_watch


class Begun(NamedTuple):
    """Where a run stands: before its first step, or as a checkpoint left it."""

    state: State  # on the host
    best: Best
    seconds: float = 0.0  # that it took so far
    pending: dict[str, Any] | None = None  # the last step's line of metrics.jsonl, whose look was cut short


def start(problem: Problem, config: Trained) -> Begun:
    """A run before its first step."""
    optimizer, seeds = make_optimizer(config), seeds_of(config)

    def begin(seed: int) -> State:
        params = problem.layer.init(jax.random.split(jax.random.key(seed), 3)[0])
        return State(jnp.int32(0), params, optimizer.init(params), problem.carry(params))

    state = jax.tree.map(np.asarray, each(seeds, begin))
    return Begun(state, first_best(problem, state.params, seeds))


def fit(task: str, problem: Problem, config: Trained, begun: Begun, directory: Path, console: Console) -> Begun:
    """All steps that are left.

    Raises FloatingPointError when a step would not be finite, after the state before it is saved, and Stopped after it
    was asked to stop, by a signal to any of the processes, and has saved the last step.
    """
    with files(task, config, begun, directory, console) as out, together():
        run = Training(task, problem, config, begun, out)
        try:
            with on_abandoning(run.leave):
                while True:
                    run.look()
                    if run.is_done():
                        return run.keep()
                    if run.step % config.checkpoint_every == 0:
                        run.keep()
                    run.update()
        except Stopped:
            run.leave()
            raise


class Files(NamedTuple):
    """Where a run writes."""

    directory: Path
    write: Callable[..., None]  # a line of metrics.jsonl
    log: Callable[[int, dict[str, Any]], None]  # the same for TensorBoard
    checkpoints: ocp.CheckpointManager
    show: Show


@contextlib.contextmanager
def files(task: str, config: Trained, begun: Begun, directory: Path, console: Console) -> Iterator[Files]:
    with (
        metrics_file(directory) as write,
        events(directory, config.tensorboard, int(np.max(begun.state.step)) + 1) as log,
        checkpoints(directory) as manager,
        progress(console, task, config.steps) as show,
    ):
        yield Files(directory, write, log, manager, show)


class Training:
    """A run under way: where its last step left it.

    A signal may end the process while this thread is deep in C++ (`stopping`), and `leave` is then called from another:
    between two `held` everything here is of one and the same step.
    """

    def __init__(self, task: str, problem: Problem, config: Trained, begun: Begun, out: Files) -> None:
        self.task, self.problem, self.config, self.out = task, problem, config, out
        self.mesh, self.seeds = make_mesh(config), seeds_of(config)
        self.state = place(self.mesh, begun.state, for_each(self.seeds, SPECS))
        self.best, self.line = begun.best, begun.pending  # the line: the last step's, until it is written
        self.step = self.saved = self.first = int(np.max(begun.state.step))
        self.began = time.perf_counter() - begun.seconds
        self.scored = ""  # the last look, in a word
        self.ends = threading.Lock()
        _, params, _, carry = begun.state
        self.watch = make_watch(problem, self.seeds, params, carry) if config.watch else None
        self.compiled = make_update(problem, make_optimizer(config), self.mesh, self.seeds)

    def look(self) -> None:
        """Evaluate, if it is time, and write the last step's line."""
        if self.line is None:
            return
        if look_is_due(self.config, self.step):
            self.out.show(self.step, f"looking at the {self.problem.splits[0]} part", between=True)
            params = on_host(self.mesh, self.state.params)
            self.best, scores = look(self.problem, self.best, self.step, params, self.seeds)
            self.line |= scores
            if self.watch:
                self.line |= self.watch(params, on_host(self.mesh, self.state.carry), self.step)
            self.scored = next((f"{name} {number(value)}" for name, value in scores.items()), "")
        with held():
            line, name, speed = self.line, self.problem.name, f"{self.problem.item}_per_second"
            self.write()
            self.out.log(self.step, line)
            pace = "" if self.step == self.first + 1 else f"{line[speed]:,.0f} {self.problem.item}/s"  # it compiled
            words = "  ".join([f"{name} {number(line[name])}", self.scored, pace]).rstrip()
            self.out.show(self.step, words)

    def write(self) -> None:
        """The last step's line."""
        assert self.line is not None
        self.out.write(step=self.step, **self.line)
        self.line = None

    def is_done(self) -> bool:
        over = self.step >= self.config.steps or is_out_of_patience(self.config, self.best, self.step)
        return over or good_enough(self.problem, self.best)

    def keep(self) -> Begun:
        """The last step is on the disk."""
        with held():
            here = on_host(self.mesh, self.state)
            if self.step != self.saved:
                save(self.out.checkpoints, self.step, pending=self.line, **here._asdict(), best=self.best)
                self.saved = self.step
            return Begun(here, self.best, time.perf_counter() - self.began)

    def update(self) -> None:
        """Take the next step, if it is finite."""
        with held(precious=self.step > self.first):  # the first compiles, and has nothing to lose
            started, step = time.perf_counter(), self.step + 1
            given = inputs(self.problem, self.mesh, self.seeds, step, bool(asked()))
            self.state, loss, finite, stop = self.compiled(self.state, *given)
            loss, finite, stop = np.asarray(loss), jax.tree.map(np.asarray, finite), np.any(stop)
            if culprit := next(culprits(self.task, self.seeds, self.problem.batch, step, finite), None):
                self.keep()
                kept = f"{self.out.directory} keeps step {self.step}"
                raise FloatingPointError(f"{culprit}; {kept}; lower --rate or --clip")
            self.step, now = step, time.perf_counter()
            self.line = described(self.problem.name, loss)
            self.line[f"{self.problem.item}_per_second"] = round(self.problem.items * loss.size / (now - started))
            self.line["seconds"] = round(now - self.began, 3)
        if stop:
            raise Stopped(asked() or signal.SIGTERM, agreed=True)

    def leave(self, number: int = 0) -> None:
        """The last step taken is on the disk, with its line, or the line in it where the look is yet to come."""
        with held(), self.ends:
            if self.line and not look_is_due(self.config, self.step):
                self.write()
            if self.step != self.saved:
                self.keep()


def look_is_due(config: Trained, step: int) -> bool:
    return step == config.steps or step % config.evaluate_every == 0


def is_out_of_patience(config: Trained, best: Best, step: int) -> bool:
    looks = config.patience * config.evaluate_every
    return bool(looks) and look_is_due(config, step) and out_of_patience(best, step, looks)


def together() -> contextlib.AbstractContextManager[None]:
    """Several processes stop at the step that they agree on, never one alone."""
    return held() if jax.process_count() > 1 else contextlib.nullcontext()
