"""All steps at once for cells that their carry enters linearly: lax.associative_scan (Blelloch 1990).

Two steps h -> a h + b in a row are one more of the kind, (a2 a1, a2 b1 + b2), so that T steps take log T rounds.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.gated import cast_like
from jaxrnn.linear import advance
from jaxrnn.methods.chunks import checkpointed
from jaxrnn.types import Carry, Cell, Keys, Linear, Params


def associative(
    cell: Cell, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """Run a Linear `cell` along axis 0 of `xs` in a logarithmic number of rounds."""
    linear = cell.fast
    assert isinstance(linear, Linear)

    def run(params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None) -> tuple[Carry, PyTree[Array]]:
        us = cell.project(params, xs, keys)
        a, b = linear.terms(params, us)
        if jax.tree.leaves(a)[0].shape[0] == 0:
            return carry, linear.output(params, cast_like(linear.unpack(b), carry), us)
        first = advance(jax.tree.map(lambda a: a[0], a), jax.tree.map(lambda b: b[0], b), linear.pack(carry))
        b = jax.tree.map(lambda b, first: b.at[0].set(first), b, first)
        _, packed = jax.lax.associative_scan(combine, (a, b))
        carries = cast_like(linear.unpack(packed), carry)
        return jax.tree.map(lambda c: c[-1], carries), linear.output(params, carries, us)

    return checkpointed(run, params, carry, xs, keys, checkpoint)


def combine(earlier: tuple[Any, Any], later: tuple[Any, Any]) -> tuple[Any, Any]:
    """The one step that two in a row amount to."""
    (a1, b1), (a2, b2) = earlier, later
    return jax.tree.map(jnp.multiply, a2, a1), advance(a2, b2, b1)
