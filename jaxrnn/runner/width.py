"""How wide a layer's output is: a projected cell's is narrower than the units it was asked for."""

import jax
import jax.numpy as jnp

from jaxrnn import Layer


def width(layer: Layer, n_in: int) -> int:
    """The features of ys for xs [T, n_in], without computing them."""

    def ys() -> jax.Array:
        params = layer.init(jax.random.key(0))
        return layer.apply(params, layer.carry((), params), jnp.zeros((1, n_in)))[1]

    return jax.eval_shape(ys).shape[-1]
