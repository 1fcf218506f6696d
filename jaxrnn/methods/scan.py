"""Project, then lax.scan: the plain reference, which serves every cell and every transformation."""

import jax
from jaxtyping import Array, PyTree

from jaxrnn.methods.chunks import in_chunks
from jaxrnn.types import Carry, Cell, Keys, Params


def scan(
    cell: Cell, params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None, checkpoint: int | str | None
) -> tuple[Carry, PyTree[Array]]:
    """Run `cell` along axis 0 of `xs`, a step at a time."""

    def run(params: Params, carry: Carry, xs: PyTree[Array], keys: Keys | None) -> tuple[Carry, PyTree[Array]]:
        us = cell.project(params, xs, keys)
        return jax.lax.scan(lambda carry, u: cell.step(params, carry, u), carry, us)

    return in_chunks(run, params, carry, xs, keys, checkpoint)
