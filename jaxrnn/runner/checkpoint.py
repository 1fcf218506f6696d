"""Checkpoints through Orbax: a step is visible only when it is whole, and believed only when its digests agree.

Orbax restores most flipped bits without a word, so each step carries the sha256 of every array, and a step that does
not agree is passed over for the one before it.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

# Orbax reports each save at a level meant for servers; what a user should know is in the run's own output.
logging.getLogger("absl").setLevel(logging.ERROR)

META = "meta"


class Restored(NamedTuple):
    step: int
    trees: dict[str, PyTree]  # NumPy arrays
    skipped: dict[int, str]  # newer steps that are damaged -> what is wrong with each


@contextlib.contextmanager
def checkpoints(directory: Path, keep: int = 2) -> Iterator[ocp.CheckpointManager]:
    """The run's checkpoints, the newest `keep` of them; on leaving, every save has ended."""
    directory = directory.resolve() / "checkpoints"
    directory.mkdir(exist_ok=True)
    me = jax.process_index()  # which waits for no other
    alone = ocp.options.MultiprocessingOptions(me, {me}, f"process_{me}")
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=False, cleanup_tmp_directories=True, multiprocessing_options=alone
    )
    with ocp.CheckpointManager(directory, options=options) as manager:
        yield manager


def save(manager: ocp.CheckpointManager, step: int, /, **trees: PyTree) -> None:
    """Save each tree under its name, so that one can be read without the others. Process 0 does, for all."""
    if jax.process_index() == 0:
        digests = {name: digests_of(tree) for name, tree in trees.items()}
        items: dict[str, Any] = {name: ocp.args.StandardSave(tree) for name, tree in trees.items() if digests[name]}
        meta = {"digests": digests, "dtypes": {name: dtypes_of(tree) for name, tree in trees.items()}}
        manager.save(step, args=ocp.args.Composite(**items, **{META: ocp.args.JsonSave(meta)}))


def restore(directory: Path, **likes: PyTree) -> Restored:
    """The trees of those names in the newest intact checkpoint; each `like` gives a structure and shapes.

    Raises ValueError where there is no checkpoint, and where none is intact.
    """
    if not (directory / "checkpoints").is_dir():
        raise ValueError(f"run: {directory} has no checkpoint yet")
    skipped: dict[int, str] = {}
    with checkpoints(directory) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                return Restored(step, _read(manager, step, likes), skipped)
            except Exception as error:  # whatever damage makes Orbax raise
                skipped[step] = f"{type(error).__name__}: {error}".partition("\n")[0]
    if not skipped:
        raise ValueError(f"run: {directory} has no checkpoint yet")
    raise ValueError(f"run: no checkpoint of {directory} is intact: {told(skipped)}")


def told(skipped: dict[int, str]) -> str:
    return "; ".join(f"step {step}: {why}" for step, why in skipped.items())


def _read(manager: ocp.CheckpointManager, step: int, likes: dict[str, PyTree]) -> dict[str, PyTree]:
    meta = manager.restore(step, args=ocp.args.Composite(**{META: ocp.args.JsonRestore()}))[META]
    wanted: dict[str, dict[str, str]] = meta["digests"]

    def empty_as_saved(name: str, like: PyTree) -> PyTree:
        """NumPy arrays, whose float64 JAX would not keep; Orbax casts to what it is given without a word."""
        dtypes: dict[str, str] = meta["dtypes"][name]

        def one(path: Any, leaf: Any) -> np.ndarray:
            return np.empty(leaf.shape, dtypes.get(jax.tree_util.keystr(path), leaf.dtype))

        return jax.tree_util.tree_map_with_path(one, like)

    empty = {name: empty_as_saved(name, like) for name, like in likes.items()}
    args = {name: ocp.args.StandardRestore(like) for name, like in empty.items() if wanted[name]}
    out = empty | dict(manager.restore(step, args=ocp.args.Composite(**args)).items())
    for name, tree in out.items():
        found = digests_of(tree)
        if found != wanted[name]:
            bad = sorted(path for path in {*found, *wanted[name]} if found.get(path) != wanted[name].get(path))
            raise ValueError(f"{name}{bad[0]} is not what was saved")
    return out


def digests_of(tree: PyTree) -> dict[str, str]:
    """Path -> sha256 of the array's dtype, shape and bytes."""
    return {jax.tree_util.keystr(path): _digest(np.asarray(leaf)) for path, leaf in jax.tree.leaves_with_path(tree)}


def dtypes_of(tree: PyTree) -> dict[str, str]:
    """Path -> dtype."""
    return {jax.tree_util.keystr(path): np.asarray(leaf).dtype.name for path, leaf in jax.tree.leaves_with_path(tree)}


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype} {array.shape}\n".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
