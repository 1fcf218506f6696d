"""The checks at the door: each raises one line that names the argument, what came, what was wanted and the way out.

They look at shapes and dtypes alone, so they work on tracers, and a compiled call pays nothing for them.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.policy import Policy
from jaxrnn.types import Layer, Spec
from jaxrnn.words import describe, short

# -- what constructors are given


def size(owner: str, at_least: int = 1, **sizes: Any) -> None:
    """Each size is a whole number of at least 1, or of another least."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < at_least:
            raise ValueError(f"{owner}: {name} is {short(value)}, wanted a whole number of at least {at_least}")


def number(owner: str, **values: Any) -> None:
    """Each value is a finite real number."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"{owner}: {name} is {short(value)}, wanted a number")


def positive(owner: str, **values: Any) -> None:
    """Each value is a finite number above 0."""
    number(owner, **values)
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{owner}: {name} is {value!r}, wanted a number above 0")


def rate(owner: str, name: str, value: Any) -> None:
    """A probability below 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(f"{owner}: {name} is {short(value)}, wanted a number in [0, 1)")


def flag(owner: str, **values: Any) -> None:
    """Each value is True or False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{owner}: {name} is {short(value)}, wanted True or False")


def choice(owner: str, noun: str, value: Any, choices: Iterable[str | None], common: Iterable[str] = ()) -> None:
    """`value` is one of the choices; a near miss is pointed out, one of the common ones first."""
    choices = list(choices)
    if value is None or isinstance(value, str):
        if value in choices:
            return
        among = list(common), [c for c in choices if c]
        near = list(dict.fromkeys(name for names in among for name in difflib.get_close_matches(str(value), names, 1)))
    else:
        near = []
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"{owner} has no {noun} {short(value)}; it has {', '.join(map(str, choices))}{hint}")


def policy(owner: str, value: Any) -> None:
    if not isinstance(value, Policy):
        raise ValueError(f"{owner}: policy is {short(value)}, wanted a Policy such as Policy(compute=jnp.bfloat16)")


# -- what functions are given


def batch_shape(owner: str, value: Any) -> tuple[int, ...]:
    """A tuple of sizes, () for a single sequence."""
    if isinstance(value, (tuple, list)) and all(is_size(n) for n in value):
        return tuple(value)
    raise ValueError(f"{owner}: batch_shape is {short(value)}, wanted a tuple such as (8,), or () for one sequence")


def is_size(n: Any) -> bool:
    """A whole number of at least 0, or the symbolic dimension of an export."""
    if isinstance(n, numbers.Integral):
        return not isinstance(n, bool) and int(n) >= 0
    return jax.export.is_symbolic_dim(n)


def array(owner: str, name: str, value: Any, rank: int, layout: str) -> None:
    """`value` is an array of at least `rank` axes."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        raise ValueError(f"{owner}: {name} is {short(value)}, wanted an array {layout}; jnp.asarray({name}) makes one")
    if len(value.shape) < rank:
        axes = "1 axis" if len(value.shape) == 1 else f"{len(value.shape)} axes"
        raise ValueError(f"{owner}: {name} has {axes}, wanted {layout} ({name}: {describe(value)})")


def arrays(owner: str, **trees: Any) -> None:
    """Params and carry have arrays alone for leaves: what else there is jit would refuse in words of its own."""
    for name, tree in trees.items():
        if not all(map(_is_array, jax.tree.leaves(tree))):
            way_out = "layer.init(key) makes them" if name == "params" else "layer.carry(batch_shape, params) makes one"
            raise ValueError(f"{owner}: {name} is {short(tree)}, wanted arrays; {way_out}")


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and getattr(getattr(value, "dtype", None), "kind", "O") not in "OSU"


def floats(owner: str, name: str, value: Any, rank: int, layout: str) -> None:
    """`value` is a floating array of at least `rank` axes."""
    array(owner, name, value, rank, layout)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"{owner}: {name} is {describe(value)}, wanted floating point; {name}.astype(jnp.float32) converts, "
            "embed(...) turns whole numbers into vectors"
        )


def whole(owner: str, name: str, value: Any, layout: str) -> None:
    """`value` is an array of whole numbers."""
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise ValueError(f"{owner}: {name} is {describe(value)}, wanted whole numbers {layout}")


def features(owner: str, xs: Any, expected: int) -> None:
    """xs [T, *batch, n_in] is floating point and has as many features as the weights."""
    floats(owner, "x", xs, 1, "[T, *batch, n_in]")
    if xs.shape[-1] != expected:
        raise ValueError(f"{owner}: x has {xs.shape[-1]} features, weights expect {expected} (x: {describe(xs)})")


def steps(owner: str, name: str, value: Any, shape: tuple[int, ...], of: str = "x") -> None:
    """A mask or reset is None or bool [T, *batch], as the array named `of` has them."""
    if value is None:
        return
    wanted = f"bool{list(shape)}, one a step and sequence as in {of}"
    dtype = getattr(value, "dtype", None)
    if dtype != jnp.bool_:
        lengths = name == "mask" and dtype is not None and jnp.issubdtype(dtype, jnp.integer)
        hint = "length_mask(lengths, T) makes one" if lengths else f"jnp.asarray({name}, bool) converts"
        raise ValueError(f"{owner}: {name} is {short(value)}, wanted {wanted}; {hint}")
    if value.shape != shape:
        raise ValueError(f"{owner}: {name} is {describe(value)}, wanted {wanted}")


def key(owner: str, value: Any, optional: bool = True) -> None:
    """One key from jax.random.key (or the older PRNGKey), or None where noise is optional."""
    if value is None and optional:
        return
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    old = dtype == np.uint32 and shape == jax.eval_shape(lambda: jax.random.PRNGKey(0)).shape
    if not typed and not old:
        wanted = "jax.random.key(seed)" + (", or None for no noise" if optional else "")
        raise ValueError(f"{owner}: key is {short(value)}, wanted {wanted}")


def like(owner: str, name: str, given: Any, wanted: Any, way_out: str | Callable[[], str]) -> None:
    """The pytree `given` has the structure, shapes and kinds of `wanted`; the first leaf that differs is named.

    way_out     in words, or what makes them, called where something differs
    """
    told = way_out if callable(way_out) else lambda: way_out
    want, want_structure = jax.tree.flatten(wanted)
    got, got_structure = jax.tree.flatten(given)
    if want_structure != got_structure or not all(hasattr(leaf, "dtype") for leaf in got):
        raise ValueError(f"{owner}: {name} is {short(given)}, wanted {short(wanted)}; {told()}")
    for k, (g, w) in enumerate(zip(got, want, strict=True)):
        shape_differs = g.shape != w.shape
        if shape_differs or (jnp.issubdtype(w.dtype, jnp.floating) and not jnp.issubdtype(g.dtype, jnp.floating)):
            place = name + jax.tree_util.keystr(jax.tree.leaves_with_path(given)[k][0])
            kind = list(w.shape) if shape_differs else "floating point"
            raise ValueError(f"{owner}: {place} is {describe(g)}, wanted {kind}; {told()}")


def parts(owner: str, name: str, value: Any, n: int) -> None:
    """The params or carry of a layer made of n layers."""
    if not isinstance(value, (tuple, list)) or len(value) != n:
        came = f"has {len(value)} entries" if isinstance(value, (tuple, list)) else f"is {short(value)}"
        raise ValueError(f"{owner}: {name} {came}, wanted a tuple of {n}; layer.init and layer.carry make them")


def layer(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, Layer):
        hint = "; unroll(cell) makes one" if hasattr(value, "step") else ""
        raise ValueError(f"{owner}: {name} is a {type(value).__name__}, wanted a Layer{hint}")


def forward(owner: str, name: str, value: Any) -> None:
    """`value` is a Layer that reads from the start and gives one y a step, as far as its spec tells."""
    layer(owner, name, value)
    culprit = _not_forward(value.spec)
    if culprit:
        raise ValueError(f"{owner}: {name} has {culprit}, wanted one that reads from the start and gives a y a step")


def _not_forward(made_by: Spec | None) -> str | None:
    """The part of a layer that needs the whole sequence at once, or has no time in front."""
    if made_by is None:
        return None
    if made_by.name in ("bidirectional", "last", "batch_major"):
        return f"{made_by.name}(...)"
    if made_by.name == "unroll" and dict(made_by.options)["reverse"]:
        return "unroll(..., reverse=True)"
    return next(filter(None, map(_not_forward, made_by.children)), None)
