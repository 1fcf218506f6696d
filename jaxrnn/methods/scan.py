"""Project, then lax.scan: the plain reference, which serves every cell and every transformation."""

from typing import Any

import jax
from jaxtyping import Array, PyTree

from jaxrnn.methods.chunks import checkpointed
from jaxrnn.types import Carry, Cell, Keys, Params

LARGE = 8192  # numbers in the state of a batch: LSTM from B, n = 32, 128, GRU from 32, 256


def scan(
    cell: Cell, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """Run `cell` along axis 0 of `xs`, a step at a time."""

    def run(params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None) -> tuple[Carry, PyTree[Array]]:
        us = cell.project(params, xs, keys)
        return jax.lax.scan(
            lambda carry, u: cell.step(params, carry, u),
            carry,
            us,
            unroll=steps_an_iteration(jax.tree.leaves(us)[0].shape[0], carry),
        )

    return checkpointed(run, params, carry, xs, keys, checkpoint)


def steps_an_iteration(T: Any, carry: Any) -> int:
    """Steps an iteration, a divisor of T. At T = 10, n = 10 on a CPU, 5 halve the time for half a second of
    compilation and 2 save a third for none; longer sequences have enough to do in each iteration. Where the state is
    LARGE every step has: more of them save nothing there, and are a third more to compile.
    """
    numbers = sum(leaf.size for leaf in jax.tree.leaves(carry))
    if jax.export.is_symbolic_dim(T) or T < 8 or (not jax.export.is_symbolic_dim(numbers) and numbers >= LARGE):
        return 1
    return next(k for k in ((5, 4, 2, 1) if T <= 32 else (2, 1)) if T % k == 0)
