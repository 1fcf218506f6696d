"""Checkpoints through Orbax: a step is visible only when it is whole."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

# Orbax reports each save at a level meant for servers; what a user should know is in the run's own output.
logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def checkpoints(directory: Path, keep: int = 2) -> Iterator[ocp.CheckpointManager]:
    """The run's checkpoints, the newest `keep` of them; on leaving, every save has ended."""
    directory = directory.resolve() / "checkpoints"
    directory.mkdir(exist_ok=True)
    me = jax.process_index()  # which waits for no other
    alone = ocp.options.MultiprocessingOptions(me, {me}, f"process_{me}")
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=False, multiprocessing_options=alone)
    with ocp.CheckpointManager(directory, options=options) as manager:
        yield manager


def save(manager: ocp.CheckpointManager, step: int, /, **trees: Any) -> None:
    """Save each tree under its name, so that one can be read without the others. Process 0 does, for all."""
    if jax.process_index() == 0:
        manager.save(step, args=ocp.args.Composite(**{k: ocp.args.StandardSave(v) for k, v in trees.items()}))


def restore(directory: Path, name: str, like: Any) -> Any:
    """The tree saved under `name` in the newest checkpoint; `like` gives its structure.

    Raises ValueError where there is no checkpoint.
    """
    if not (directory / "checkpoints").is_dir():
        raise ValueError(f"run: {directory} has no checkpoint yet")
    with checkpoints(directory) as manager:
        step = manager.latest_step()
        if step is None:
            raise ValueError(f"run: {directory} has no checkpoint yet")
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), like)
        args = ocp.args.Composite(**{name: ocp.args.StandardRestore(shapes)})
        return jax.tree.map(jnp.asarray, manager.restore(step, args=args)[name])
