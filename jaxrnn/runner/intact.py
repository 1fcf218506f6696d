"""What a checkpoint says of itself, looked at before any of it is read: its files may come from anywhere.

An array said to have 1e9 numbers, a link out of the run or a pipe would otherwise fill the memory or wait for ever.
Each function raises ValueError where something is not as a checkpoint of these arrays has it.
"""

import os
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import PyTree


def refuse_foreign_files(folder: Path, most: int) -> None:
    """Files and folders only, of at most so many bytes together."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ValueError(f"{path} is neither a file nor a folder of the run")
            total += path.stat().st_size
    if total > most:
        raise ValueError(f"{folder} has {total} bytes, wanted at most {most}")


def refuse_links(directory: Path) -> None:
    """What a run writes is to stay in its directory."""
    for path in (*directory.iterdir(), *(directory / "checkpoints").glob("*")):
        if path.is_symlink():
            raise ValueError(f"run: {path} is a link; what a run writes is to stay in its directory")


def refuse_other_paths(name: str, like: PyTree, digests: object) -> None:
    """The arrays' names are those that are wanted."""
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError(f"{name} has no digests")
    paths = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(like)}
    if other := sorted(paths ^ digests.keys()):
        raise ValueError(f"{name}{other[0]} is {'not in it' if other[0] in paths else 'not wanted'}")


def refuse_other_shapes(name: str, like: PyTree, folder: Path) -> None:
    """Shapes and dtypes are those that are wanted, and no piece on the disk is larger than its array."""

    def key(path: tuple) -> str:  # a NamedTuple's field is a dict's key there
        return jax.tree_util.keystr(path, simple=True, separator="/") or "tree"  # Orbax's name for an array alone

    said = {
        key(path): leaf
        for path, leaf in jax.tree.leaves_with_path(ocp.StandardCheckpointHandler().metadata(epath.Path(folder)))
    }
    for path, leaf in jax.tree.leaves_with_path(like):
        has = said[key(path)]
        if (has.shape, has.dtype) != (leaf.shape, leaf.dtype):
            words = f"{has.dtype}{list(has.shape)}, wanted {leaf.dtype}{list(leaf.shape)}"
            raise ValueError(f"{name}{jax.tree_util.keystr(path)} is {words}")
        pieces = has.storage.chunk_shape if has.storage else has.shape
        if len(pieces) != leaf.ndim or any(piece > max(n, 1) for piece, n in zip(pieces, leaf.shape, strict=True)):
            raise ValueError(f"{name}{jax.tree_util.keystr(path)} is in pieces of {list(pieces)}")
