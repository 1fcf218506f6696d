"""What follows from a cell being Linear: its step, and its terms under masks and resets."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.gated import cast_like
from jaxrnn.masks import choose, zeroed
from jaxrnn.types import Carry, Cell, Linear, Params


def advance(a: Any, b: Any, h: Any) -> Any:
    """a * h + b, leaf by leaf, in b's dtype."""
    return jax.tree.map(lambda a, b, h: a * h.astype(b.dtype) + b, a, b, h)


def derive_step(linear: Linear) -> Callable[[Params, Carry, Any], tuple[Carry, Array]]:
    """step(params, carry, u): the carry keeps its own dtype."""

    def step(params: Params, carry: Carry, u: Any) -> tuple[Carry, Array]:
        a, b = linear.terms(params, u)
        new = cast_like(linear.unpack(advance(a, b, linear.pack(carry))), carry)
        return new, linear.output(params, new, u)

    return step


def guard_linear(cell: Cell, linear: Linear) -> Linear:
    """The same under (us, mask, reset): a reset makes the step forget (a = 0), a mask makes it idle (a = 1, b = 0)."""

    def terms(params: Params, moments: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        us, mask, reset = moments
        a, b = linear.terms(params, us)
        if reset is not None:
            start = linear.pack(cell.carry(reset.shape, params))
            b = jax.tree.map(lambda fresh, b: choose(reset, fresh, b), advance(a, b, start), b)
            a = jax.tree.map(lambda a: choose(reset, jnp.zeros_like(a), a), a)
        if mask is not None:
            a = jax.tree.map(lambda a: choose(mask, a, jnp.ones_like(a)), a)
            b = jax.tree.map(lambda b: zeroed(b, mask), b)
        return a, b

    def output(params: Params, carry: Carry, moments: tuple[Any, Any, Any]) -> Array:
        us, mask, _ = moments
        return zeroed(linear.output(params, carry, us), mask)

    return linear._replace(terms=terms, output=output)
