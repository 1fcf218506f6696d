"""The parts that the tasks' networks are made of."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxrnn import CELLS, Layer, Policy, bidirectional, dense, dropout, stack, unroll
from jaxrnn.layers import Dense
from jaxrnn.runner.config import Trained


class Recurrent(Protocol):
    """The options that say which recurrent layers there are."""

    @property
    def cell(self) -> str: ...
    @property
    def units(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def dropout(self) -> float: ...


def recurrent(config: Recurrent, n_in: int, policy: Policy, both_ways: bool = False) -> tuple[Layer, int]:
    """Recurrent layers with dropout after each, and how wide the last one's output is."""
    layers, n = [], n_in
    for _ in range(config.layers):
        cell = CELLS[config.cell](n, config.units, policy=policy)
        one = bidirectional(unroll(cell), unroll(cell, reverse=True)) if both_ways else unroll(cell)
        layers += [one, dropout(config.dropout)]
        n = width(one, n)
    return stack(*layers), n


def uniform(most: float) -> Callable[..., Array]:
    """An initializer: numbers in (-most, most)."""

    def init(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return jax.random.uniform(key, shape, dtype, -most, most)

    return init


def within(layer: Layer, most: float | None) -> Layer:
    """The layer, all its numbers drawn from (-most, most) at the beginning; as it is for None."""
    if most is None:
        return layer

    def init(key: PRNGKeyArray) -> PyTree:
        leaves, structure = jax.tree.flatten(jax.eval_shape(layer.init, key))
        keys = jax.random.split(key, len(leaves))
        draw = uniform(most)
        return structure.unflatten(draw(key, leaf.shape, leaf.dtype) for leaf, key in zip(leaves, keys, strict=True))

    return layer._replace(init=init)


def outputs_from(weights: Callable[..., Array], n_in: int, n_out: int, policy: Policy) -> Layer:
    """A dense layer whose weights begin so, and its biases too."""
    layer = dense(n_in, n_out, policy=policy)

    def init(key: PRNGKeyArray) -> Dense:
        key_w, key_b = jax.random.split(key)
        return Dense(weights(key_w, (n_in, n_out)), weights(key_b, (n_out,)))

    return layer._replace(init=init)


def noisy(params: PyTree, key: PRNGKeyArray, deviation: float) -> PyTree:
    """The params with Gaussian noise on every number (Graves 2011)."""
    if not deviation:
        return params
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        leaf + deviation * jax.random.normal(key, leaf.shape, leaf.dtype)
        for leaf, key in zip(leaves, keys, strict=True)
    )


def policy_of(config: Trained) -> Policy:
    """Products in the dtype that was asked for."""
    return Policy(compute=jnp.bfloat16) if config.compute == "bfloat16" else Policy()


def width(layer: Layer, n_in: int) -> int:
    """The features of ys for xs [T, n_in], without computing them: a projected cell's are fewer than its units."""

    def ys() -> jax.Array:
        params = layer.init(jax.random.key(0))
        return layer.apply(params, layer.carry((), params), jnp.zeros((1, n_in)))[1]

    return jax.eval_shape(ys).shape[-1]
