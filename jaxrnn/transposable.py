"""A linear function that brings its own transpose, in every derivative mode.

`jax.custom_vjp` gives a backward pass of one's own but forbids forward mode; here the function is an ordinary one to
jvp, vmap and further differentiation, and only where JAX transposes it (the backward half of `grad`) is the given
transpose written in instead.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def transposable(
    function: Callable[[Any, Any], Any], transpose: Callable[[Any, Any], Any], residuals: Any, tangents: Any, like: Any
) -> Any:
    """function(residuals, tangents), linear in the tangents, with leaves shaped like those of `like`.

    transpose(residuals, cotangents) gives a cotangent for every leaf of the tangents.
    """
    known, known_tree = jax.tree.flatten(residuals)
    linear, linear_tree = jax.tree.flatten(tangents)
    outs, out_tree = jax.tree.flatten(like)

    def flat_function(*flat: Any) -> list[Any]:
        parts = known_tree.unflatten(flat[: len(known)]), linear_tree.unflatten(flat[len(known) :])
        return out_tree.flatten_up_to(function(*parts))

    def flat_transpose(*flat: Any) -> list[Any]:
        parts = known_tree.unflatten(flat[: len(known)]), out_tree.unflatten(flat[len(known) :])
        return linear_tree.flatten_up_to(transpose(*parts))

    avals = tuple(jax.typeof(leaf) for leaf in outs)
    bound = transposable_p.bind(
        *known, *linear, function=flat_function, transpose=flat_transpose, n_known=len(known), avals=avals
    )
    return out_tree.unflatten(bound)


transposable_p = Primitive("transposable")
transposable_p.multiple_results = True
transposable_p.def_impl(lambda *flat, function, **_: function(*flat))
transposable_p.def_abstract_eval(lambda *_, avals, **__: avals)
mlir.register_lowering(
    transposable_p, mlir.lower_fun(lambda *flat, function, **_: function(*flat), multiple_results=True)
)


def _transpose(cotangents: Any, *flat: Any, transpose: Any, n_known: int, avals: Any, **_: Any) -> list[Any]:
    filled = [_filled(ct, aval) for ct, aval in zip(cotangents, avals, strict=True)]
    return [None] * n_known + transpose(*flat[:n_known], *filled)


def _jvp(primals: Any, tangents: Any, *, function: Any, n_known: int, **parameters: Any) -> tuple[Any, Any]:
    outs = transposable_p.bind(*primals, function=function, n_known=n_known, **parameters)
    filled = tuple(_filled(t, jax.typeof(p).to_tangent_aval()) for t, p in zip(tangents, primals, strict=True))
    if all(isinstance(t, ad.Zero) for t in tangents[:n_known]):
        return outs, transposable_p.bind(
            *primals[:n_known], *filled[n_known:], function=function, n_known=n_known, **parameters
        )
    return outs, jax.jvp(function, tuple(primals), filled)[1]


def _filled(value: Any, aval: Any) -> Any:
    """Zeros in place of JAX's symbol for them."""
    if not isinstance(value, ad.Zero):
        return value
    if aval.dtype == jax.dtypes.float0:
        return np.zeros(aval.shape, aval.dtype)
    return ad.instantiate_zeros(value)


def _batch(flat: Any, axes: Any, *, function: Any, transpose: Any, n_known: int, avals: Any) -> tuple[Any, Any]:
    """The same over a new leading axis, which every linear argument is given."""
    size = next(a.shape[axis] for a, axis in zip(flat, axes, strict=True) if axis is not None)
    known, linear = flat[:n_known], flat[n_known:]
    known_axes = tuple(axes[:n_known])
    linear = [
        jnp.broadcast_to(a, (size, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(linear, axes[n_known:], strict=True)
    ]
    outs = transposable_p.bind(
        *known,
        *linear,
        function=jax.vmap(function, (*known_axes, *[0] * len(linear))),
        transpose=jax.vmap(transpose, (*known_axes, *[0] * len(avals))),
        n_known=n_known,
        avals=tuple(aval.update(shape=(size, *aval.shape)) for aval in avals),
    )
    return outs, [0] * len(outs)


ad.primitive_transposes[transposable_p] = _transpose
ad.primitive_jvps[transposable_p] = _jvp
batching.primitive_batchers[transposable_p] = _batch
