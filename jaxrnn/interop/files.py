"""Params in a file that any program can read and none can be harmed by: .safetensors, or NumPy's .npz, without pickle.

Each array stands under its place in the tree: `w_x`, `0.forward.w_h`, `1.peepholes.i`.
"""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import checks
from jaxrnn.types import Params

SUFFIXES = (".safetensors", ".npz")


def save(path: str | os.PathLike[str], params: Params) -> None:
    """Write every array of `params` to `path`, whose suffix says how; the file appears only when it is whole.

    Raises ValueError on another suffix, on leaves that are not arrays, and on dtypes the format does not have.
    """
    path = _path("save", path)
    named = _named("save", "params", params)
    arrays = {name: np.array(_numeric(path, name, leaf), order="C") for name, leaf in named.items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(_safetensors().save(arrays) if path.suffix == ".safetensors" else _npz(arrays))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], like: Params) -> Params:
    """The params of `path` in the structure of `like`: params, or jax.eval_shape(layer.init, key).

    Raises ValueError where the file has other names, shapes or dtypes than `like`, and converts none.
    """
    path = _path("load", path)
    wanted = _named("load", "like", like)
    if not path.is_file():
        raise ValueError(f"load: there is no file {path}")
    arrays = _read(path, 2**26 + 4 * sum(leaf.size * leaf.dtype.itemsize for leaf in wanted.values()))
    missing, unknown = [n for n in wanted if n not in arrays], [n for n in arrays if n not in wanted]
    if missing or unknown:
        lists = [f"{word} {_some(names)}" for word, names in (("lacks", missing), ("has also", unknown)) if names]
        raise ValueError(f"load: {path.name} {' and '.join(lists)}; like names {_some(list(wanted))}")
    for name, leaf in wanted.items():
        if (arrays[name].shape, arrays[name].dtype) != (leaf.shape, leaf.dtype):
            came = checks.describe(arrays[name])
            raise ValueError(f"load: {name} in {path.name} is {came}, wanted {checks.describe(leaf)} as in like")
    return jax.tree.structure(like).unflatten(jnp.asarray(arrays[name]) for name in wanted)


def _path(owner: str, path: str | os.PathLike[str]) -> Path:
    known = isinstance(path, str | os.PathLike)
    if not known or Path(path).suffix not in SUFFIXES:
        came = repr(str(path)) if known else checks.short(path)
        raise ValueError(f"{owner}: path is {came}, wanted a name that ends in {' or '.join(SUFFIXES)}")
    return Path(path)


def _named(owner: str, argument: str, tree: Any) -> dict[str, Any]:
    """{place: leaf}, in the order of the leaves."""
    leaves = jax.tree.leaves_with_path(tree)
    names = [jax.tree_util.keystr(place, simple=True, separator=".") or "params" for place, _ in leaves]
    for name, (_, leaf) in zip(names, leaves, strict=True):
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            where = f"{argument}.{name}" if names != ["params"] else argument
            raise ValueError(f"{owner}: {where} is {checks.short(leaf)}, wanted an array")
        if names.count(name) > 1:
            raise ValueError(f"{owner}: {argument} has two arrays of the name {name}, wanted keys without dots")
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def _numeric(path: Path, name: str, leaf: Any) -> Any:
    """The leaf, if the format of `path` has its dtype."""
    if isinstance(leaf, jax.ShapeDtypeStruct) or not _is_number(leaf.dtype):
        raise ValueError(f"save: params.{name} is {checks.short(leaf)}, wanted an array of numbers")
    if path.suffix == ".npz" and np.dtype(leaf.dtype).kind == "V":
        raise ValueError(f"save: params.{name} is {leaf.dtype}, which .npz does not have; .safetensors has it")
    return leaf


def _is_number(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.number, jnp.bool_))


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """What np.savez writes, which itself takes no array named `file`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def _read(path: Path, most: int) -> dict[str, np.ndarray]:
    """Of at most so many bytes: a packed file may say that it has any number."""
    try:
        if path.suffix == ".safetensors":
            return _safetensors().load_file(path)
        with zipfile.ZipFile(path) as archive:
            if (size := sum(part.file_size for part in archive.infolist())) > most:
                raise ValueError(f"it unpacks to {size:,} bytes, wanted {most:,} at most")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"load: {path.name} is not a whole {path.suffix} file ({error})") from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError:
        raise ImportError(".safetensors needs `pip install safetensors`; .npz needs nothing") from None
    return safetensors.numpy


def _some(names: list[str]) -> str:
    return ", ".join(names[:8] or ["none"]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
