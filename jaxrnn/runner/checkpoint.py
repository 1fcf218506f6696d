"""Checkpoints through Orbax: a step is visible only when it is whole, and believed only when its digests agree.

Orbax restores most flipped bits without a word, so each step carries the sha256 of every array, and a step that does
not agree is passed over for the one before it. What a step says of itself is looked at before any of it is read: its
files may come from anywhere.
"""

import contextlib
import hashlib
import logging
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from jaxrnn.runner.files import printable, reason
from jaxrnn.runner.intact import refuse_foreign_files, refuse_other_paths, refuse_other_shapes

# Orbax reports each save at a level meant for servers; what a user should know is in the run's own output.
logging.getLogger("absl").setLevel(logging.CRITICAL)

META = "meta"
STEP = re.compile("[0-9]{1,10}")
OTHER = "written by another version of jaxrnn"
FORMAT = 1  # of what stands in a checkpoint, and how; one without a number is of the first
KEEP = 2  # the newest so many


class Restored(NamedTuple):
    step: int
    trees: dict[str, PyTree]  # NumPy arrays
    pending: dict[str, Any] | None  # what was given to `save`
    skipped: dict[int, str]  # newer steps that are damaged -> what is wrong with each


@contextlib.contextmanager
def checkpoints(directory: Path) -> Iterator[ocp.CheckpointManager]:
    """The run's checkpoints, to write: what a killed save has left is cleared away. One process at a time."""
    folder = directory.resolve() / "checkpoints"
    folder.mkdir(exist_ok=True)
    # each save has ended when `save` returns: nothing is called saved that may still fail
    manager = _manager(folder, max_to_keep=KEEP, cleanup_tmp_directories=True, enable_async_checkpointing=False)
    try:
        yield manager
    except BaseException:
        with contextlib.suppress(Exception):  # what matters is why the run ends
            manager.close()
        raise
    manager.close()


def _manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    silence_late_calls()
    me = jax.process_index()  # which waits for no other
    alone = ocp.options.MultiprocessingOptions(me, {me}, f"process_{me}")
    return ocp.CheckpointManager(
        folder, options=ocp.CheckpointManagerOptions(create=False, multiprocessing_options=alone, **options)
    )


def silence_late_calls() -> None:
    """Orbax works at a step's arrays side by side, and where one fails, closes the event loop over the others, or never
    begins them. They then complain to standard error, at any later time; they alone are silenced."""
    warnings.filterwarnings("ignore", r"coroutine '\w*Handler\.\w+' was never awaited", RuntimeWarning)
    before = sys.unraisablehook
    if getattr(before, "__name__", "") == "but_late_calls":
        return

    def but_late_calls(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = but_late_calls


def save(manager: ocp.CheckpointManager, step: int, /, pending: dict[str, Any] | None = None, **trees: PyTree) -> None:
    """Save each tree under its name, so that one can be read without the others. Process 0 does, for all.

    `pending` are JSON values that go with it. Raises OSError where the step could not be written; the earlier ones
    are as they were.
    """
    if jax.process_index() != 0:
        return
    digests = {name: digests_of(tree) for name, tree in trees.items()}
    items: dict[str, Any] = {name: ocp.args.StandardSave(tree) for name, tree in trees.items() if digests[name]}
    dtypes = {name: dtypes_of(tree) for name, tree in trees.items()}
    items[META] = ocp.args.JsonSave({"format": FORMAT, "digests": digests, "dtypes": dtypes, "pending": pending})
    try:
        manager.save(step, args=ocp.args.Composite(**items))
    except Exception as error:  # Orbax has many
        folder = Path(manager.directory)
        for left in folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(left, ignore_errors=True)
        intact = max((other for other in steps_of(folder) if other != step), default=None)
        before = "there is none before it" if intact is None else f"step {intact} is there"
        raise OSError(
            f"checkpoint of step {step} cannot be written in {folder}: {one_line(error)}; {before}"
        ) from error


def steps_of(folder: Path) -> list[int]:
    """The steps that are there whole, newest first."""
    if not folder.is_dir():
        return []
    return sorted((int(path.name) for path in folder.iterdir() if STEP.fullmatch(path.name)), reverse=True)


def room_for(directory: Path, *trees: PyTree) -> None:
    """Raises ValueError where the disk has no room for the checkpoints that a run keeps, and two more.

    Orbax writes each array twice: what the process has, and all processes' merged.
    """
    wanted = (KEEP + 2) * 2 * size(trees)
    try:
        there = next(path for path in (directory, *directory.resolve().parents) if path.exists())
    except (OSError, ValueError) as error:
        raise ValueError(f"out: {str(directory)[:80]!r} cannot be made: {reason(error)}") from None
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise ValueError(
            f"out: {there} has {free / 1e6:.1f} MB free, wanted {wanted / 1e6:.1f} MB for {KEEP + 2} checkpoints"
        )


def restore(directory: Path, **likes: PyTree) -> Restored:
    """The trees of those names in the newest intact checkpoint; each `like` gives a structure and shapes.

    Nothing in the directory is changed: the run may be going on. Raises ValueError where there is no checkpoint, and
    where none is intact.
    """
    folder, skipped = directory.resolve() / "checkpoints", {}
    steps = steps_of(folder)
    if not steps:
        raise ValueError(f"run: {directory} has no checkpoint yet")
    with _manager(folder, read_only=True) as manager:
        for step in steps:
            try:
                return Restored(step, *_read(manager, folder / str(step), step, likes), skipped)
            except Exception as error:  # whatever damage makes Orbax raise
                skipped[step] = one_line(error)
    if all(why.startswith(OTHER) for why in skipped.values()):
        raise ValueError(f"run: {directory}: {told(skipped)}")
    raise ValueError(f"run: no checkpoint of {directory} is intact: {told(skipped)}")


def told(skipped: dict[int, str]) -> str:
    return "; ".join(f"step {step}: {why}" for step, why in skipped.items())


def one_line(error: Exception) -> str:
    """TensorStore's errors begin with what was wanted and end with what went wrong, before a page of its settings."""
    line = re.split(r" \[(?:tensorstore_spec|source locations|os_error_code)", printable(reason(error).strip()))[0]
    return line if len(line) <= 200 else f"{line[:60]} ... {line[-130:]}"


def _read(
    manager: ocp.CheckpointManager, folder: Path, step: int, likes: dict[str, PyTree]
) -> tuple[dict[str, PyTree], dict[str, Any] | None]:
    refuse_foreign_files(folder / META, most=2**26)
    meta = manager.restore(step, args=ocp.args.Composite(**{META: ocp.args.JsonRestore()}))[META]
    if isinstance(meta, dict) and meta.get("format", FORMAT) != FORMAT:
        raise ValueError(f"{OTHER}: its format is {meta['format']!r:.20}, this one reads {FORMAT}")
    if not isinstance(meta, dict) or not all(isinstance(meta.get(part), dict) for part in ("digests", "dtypes")):
        raise ValueError(f"{META} is not what was saved")
    wanted, pending = meta["digests"], meta.get("pending")
    if not isinstance(pending, dict | None):
        raise ValueError(f"{META} is not what was saved")

    def empty_as_saved(name: str, like: PyTree) -> PyTree:
        """NumPy arrays, whose float64 JAX would not keep; Orbax casts to what it is given without a word."""
        dtypes: dict[str, str] = meta["dtypes"][name]

        def one(path: Any, leaf: Any) -> np.ndarray:
            dtype = np.dtype(dtypes.get(jax.tree_util.keystr(path), leaf.dtype))
            if dtype.hasobject or dtype.itemsize > 16:
                raise ValueError(f"{name}{jax.tree_util.keystr(path)} is {dtype}, wanted numbers")
            return np.empty(leaf.shape, dtype)

        return jax.tree_util.tree_map_with_path(one, like)

    empty = {name: empty_as_saved(name, like) for name, like in likes.items()}
    for name, like in empty.items():
        refuse_other_paths(name, like, wanted[name])
        if wanted[name]:
            refuse_foreign_files(folder / name, most=2**20 + 4 * size(like))
            refuse_other_shapes(name, like, folder / name)
    args = {name: ocp.args.StandardRestore(like) for name, like in empty.items() if wanted[name]}
    out = empty | dict(manager.restore(step, args=ocp.args.Composite(**args)).items())
    for name, tree in out.items():
        found = digests_of(tree)
        if bad := sorted(path for path in found if found[path] != wanted[name][path]):
            raise ValueError(f"{name}{bad[0]} is not what was saved")
    return out, pending


def size(tree: PyTree) -> int:
    """Bytes of all arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def digests_of(tree: PyTree) -> dict[str, str]:
    """Path -> sha256 of the array's dtype, shape and bytes."""
    return {jax.tree_util.keystr(path): _digest(np.asarray(leaf)) for path, leaf in jax.tree.leaves_with_path(tree)}


def dtypes_of(tree: PyTree) -> dict[str, str]:
    """Path -> dtype."""
    return {jax.tree_util.keystr(path): np.asarray(leaf).dtype.name for path, leaf in jax.tree.leaves_with_path(tree)}


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype} {array.shape}\n".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
