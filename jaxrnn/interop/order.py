"""Two ways other frameworks give the ys of a layer that reads time from its end, as layers of layers."""

import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.masks import zeroed
from jaxrnn.types import Carry, Layer, Params, spec


def first(layer: Layer) -> Layer:
    """The layer's ys at the first unmasked step, [*batch, n]: the last one that a layer with reverse=True makes."""

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        carry, ys = layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)
        if ys.shape[0] == 0:
            return carry, jnp.zeros(ys.shape[1:], ys.dtype)
        if mask is None:
            return carry, ys[0]
        where = jnp.argmax(mask, axis=0)
        where = where.reshape(1, *where.shape, *(1,) * (ys.ndim - mask.ndim))
        return carry, zeroed(jnp.take_along_axis(ys, where, axis=0)[0], mask.any(axis=0))

    return layer._replace(apply=apply, spec=spec("first", layer))


def flipped(layer: Layer) -> Layer:
    """The layer with its ys read from the end: those of reverse=True in the order in which they were made."""

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        carry, ys = layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)
        return carry, jnp.flip(ys, 0)

    return layer._replace(apply=apply, spec=spec("flipped", layer))
