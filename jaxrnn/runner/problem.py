"""What a task is to the training loop, and to every command that comes after it: one function, config -> Problem."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import Layer
from jaxrnn.runner.config import Trained
from jaxrnn.runner.devices import AXIS

Columns = Mapping[str, Sequence[Any]]


class Probed(NamedTuple):
    """Real data for `inspect`, and what units of the network may be found to track in it."""

    xs: Any  # [T, *batch, ...]
    labels: Mapping[str, Any]  # by name, [T, *batch]: numbers, whole numbers for classes, or True and False


class Problem(NamedTuple):
    """A network, where its batches come from, and how it is judged.

    Batches and noise must be functions of (seed, step) alone: that is what makes a resumed run equal an unbroken one.
    """

    layer: Layer  # the network; what is exported and inspected
    batch: Callable[[int, int], PyTree]  # (seed, step from 0) -> NumPy arrays
    loss: Callable[[PyTree, PyTree, PyTree, PRNGKeyArray], tuple[Float[Array, ""], PyTree]]
    # (params, carry, batch, key) -> (mean over the batch, the carry to hand on, () where there is none)
    evaluate: Callable[[PyTree, str], dict[str, float]]  # (params, split) -> numbers; the run is judged by the first
    evaluate_together: Callable[[PyTree, str], dict[str, Any]] | None = None
    # params of several seeds, theirs axis 0 -> what evaluate gives of each, as arrays; None: one after the other
    splits: tuple[str, ...] = ("valid", "test")  # the first is watched while training, the others are scored once
    better: Literal["lower", "higher"] = "lower"  # of the number the run is judged by
    enough: float | None = None  # of that number: the run ends when every seed has had it
    carry: Callable[[PyTree], PyTree] = lambda params: ()  # params -> what the first loss begins from, axis 0 the batch
    specs: PyTree[P] = P(None, AXIS)  # which axis of the batch's arrays the devices share
    name: str = "loss"  # of the loss, in metrics.jsonl and on the screen
    unit: str = ""
    item: str = "steps"  # what a batch has `items` of, for the throughput
    items: int = 0
    example: Callable[[], Any] | None = None  # -> xs of one sequence, of real data, for export and inspect
    made_up: Callable[[], Any] | None = None  # -> the same of no data, for export where those are gone
    steps: int | None = None  # that a sequence must have; None: any
    symbols: str | list[str] | None = None  # what whole numbers in xs stand for
    read: Callable[[Path], Any] | None = None  # the user's file -> xs of one sequence, for inspect
    said: Callable[[str], Any] | None = None  # words given on the command line -> the same
    probed: Callable[[], Probed] | None = None  # for inspect
    network: Callable[[Any], Layer] | None = None  # another configuration -> its network for these data, for inspect
    rest: Callable[[], Any] | None = None  # -> x of a moment at which nothing happens: where does the net rest?
    anchors: Callable[[str], dict[str, float]] = lambda split: {}  # what the first number is read against, by split
    assets: Mapping[str, Any] = {}  # JSON values found in the training data that a later command needs
    sha256: Callable[[], str] | None = None  # of the data
    finish: Callable[[PyTree, Path, Console], None] | None = None  # (params, directory, console): pictures, samples
    predict: Callable[[PyTree, Path], Columns] | None = None  # (params, the user's file) -> columns of a table
    evaluate_file: Callable[[PyTree, Path], tuple[dict[str, float], Callable[[], dict[str, float]]]] | None = None
    # (params, the user's file) -> what evaluate gives, of all of it, and its anchors when asked; None: of its splits


T = TypeVar("T")


class DataGone(ValueError):
    """What a run was trained on is not where it was."""

    def __init__(self, option: str, path: Path) -> None:
        super().__init__(f"{option}: {path} is not there")
        self.option = option


def on_demand(load: Callable[[], T], config: Trained, assets: Mapping[str, Any] | None) -> Callable[[], T]:
    """`load()`, once: now for a new run, so that bad input is found first; for an earlier one when it is asked for.

    An earlier run can so be used without its data, by what `assets` has of them. Then it raises DataGone.
    """

    @functools.cache
    def data() -> T:
        for name in ("data", "test_data") if assets is not None else ():
            if isinstance(path := getattr(config, name, None), Path) and not path.exists():
                raise DataGone(name, path)
        return load()

    if assets is None:
        data()
    return data


def made_up(*shape: int) -> Float[np.ndarray, "..."]:
    """xs like standardised ones, of no data."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def sha256(*parts: bytes) -> str:
    """Of all parts, and of where one ends and the next begins."""
    import hashlib

    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file's bytes alone: what `sha256sum` prints."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
