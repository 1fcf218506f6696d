"""The checks at the door: each raises one line that names the argument, what came, what was wanted and the way out.

They run while a call is traced, so a compiled call pays nothing for them.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp


def describe(value: Any) -> str:
    """`float32[50, 8, 12]` for an array, else the value itself."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    return repr(value)


def size(owner: str, **sizes: Any) -> None:
    """Each size is a whole number of at least 1."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{owner}: {name} is {value!r}, wanted a whole number of at least 1")


def choice(owner: str, noun: str, value: Any, choices: Iterable[str | None]) -> None:
    """`value` is one of the choices; a near miss is pointed out."""
    choices = list(choices)
    if value in choices:
        return
    names = [str(c) for c in choices]
    near = difflib.get_close_matches(str(value), names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{owner} has no {noun} {value!r}; it has {', '.join(names)}{hint}")


def batch_shape(owner: str, value: Any) -> tuple[int, ...]:
    """A tuple of sizes, () for a single sequence."""
    if isinstance(value, (tuple, list)):
        return tuple(value)
    raise ValueError(f"{owner}: batch_shape is {value!r}, wanted a tuple such as (8,), or () for one sequence")


def array(owner: str, name: str, value: Any, rank: int, layout: str) -> None:
    """`value` is an array of at least `rank` axes."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise ValueError(f"{owner}: {name} is {_short(value)}, wanted an array {layout}; jnp.asarray({name}) makes one")
    if len(value.shape) < rank:
        raise ValueError(f"{owner}: {name} has {len(value.shape)} axes, wanted {layout} ({name}: {describe(value)})")


def floats(owner: str, name: str, value: Any, rank: int, layout: str) -> None:
    """`value` is a floating array of at least `rank` axes."""
    array(owner, name, value, rank, layout)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"{owner}: {name} is {describe(value)}, wanted floating point; {name}.astype(jnp.float32) converts, "
            "embed(...) turns whole numbers into vectors"
        )


def features(owner: str, xs: Any, expected: int) -> None:
    """xs [T, *batch, n_in] is floating point and has as many features as the weights."""
    floats(owner, "x", xs, 2, "[T, *batch, n_in]")
    if xs.shape[-1] != expected:
        raise ValueError(f"{owner}: x has {xs.shape[-1]} features, weights expect {expected} (x: {describe(xs)})")


def steps(owner: str, name: str, value: Any, shape: tuple[int, ...]) -> None:
    """A mask or reset is None or bool [T, *batch]."""
    if value is None:
        return
    wanted = f"bool{list(shape)}, one a step and sequence as in x"
    if getattr(value, "dtype", None) != jnp.bool_:
        raise ValueError(f"{owner}: {name} is {_short(value)}, wanted {wanted}; jnp.asarray({name}, bool) converts")
    if value.shape != shape:
        raise ValueError(f"{owner}: {name} is {describe(value)}, wanted {wanted}")


def key(owner: str, value: Any) -> None:
    """A key is None or one key from jax.random.key (or the older PRNGKey)."""
    if value is None:
        return
    dtype = getattr(value, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and value.shape == ()
    old = dtype == jnp.uint32 and value.ndim == 1
    if not typed and not old:
        raise ValueError(f"{owner}: key is {_short(value)}, wanted jax.random.key(seed), or None for no noise")


def like(owner: str, name: str, given: Any, wanted: Any, way_out: str) -> None:
    """The pytree `given` has the structure and shapes of `wanted`; the first leaf that differs is named."""
    want, want_structure = jax.tree.flatten_with_path(wanted)
    got, got_structure = jax.tree.flatten_with_path(given)
    if want_structure != got_structure:
        raise ValueError(
            f"{owner}: {name} is {_short(given)}, wanted {_short(jax.tree.map(describe, wanted))}; {way_out}"
        )
    for (path, g), (_, w) in zip(got, want, strict=True):
        if jnp.shape(g) != w.shape:
            place = name + jax.tree_util.keystr(path)
            raise ValueError(f"{owner}: {place} is {describe(g)}, wanted {list(w.shape)}; {way_out}")


def _short(value: Any) -> str:
    """The value in at most a hundred characters."""
    text = describe(value) if hasattr(value, "shape") else repr(jax.tree.map(describe, value))
    return text if len(text) <= 100 else text[:97] + "..."
