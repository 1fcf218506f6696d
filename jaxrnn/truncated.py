"""Truncated backpropagation through time (Williams & Peng 1990): values as ever, gradients cut every so many steps.

    windows of K steps:  carry_w, ys_w = layer(params, stop_gradient(carry_{w-1}), xs_w)

The gradient is the sum of those of the windows, each from a carry that counts as given. Handing the carry from call to
call does the same with an update of the weights between windows; `truncate` does it within one call.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from jaxrnn import checks
from jaxrnn.observer import Observer, observer
from jaxrnn.sharding import axes_of, vary
from jaxrnn.types import Carry, Layer, Params, spec


def truncate(layer: Layer, every: int) -> Layer:
    """The layer, a stack too, with the gradient through its carry stopped after each `every` steps; values unchanged.

    The carry given keeps its gradient through the first window, and the carry returned through the last. Every window
    draws noise of its own, so that a mask drawn once per sequence is here drawn once per window.
    Raises ValueError on a layer that reads from the end or gives no y a step.
    """
    checks.forward("truncate", "layer", layer)
    checks.size("truncate", every=every)

    def window(params: Params, carry: Carry, piece: tuple[Array, PyTree[Array]], key: Any) -> tuple[Carry, Array]:
        k, (xs, mask, reset) = piece
        before = jax.tree.map(lambda c: jnp.where(k == 0, c, jax.lax.stop_gradient(c)), carry)
        noise = None if key is None else jax.random.fold_in(key, k)
        return layer.apply(params, before, xs, key=noise, mask=mask, reset=reset)

    # Compiled once per Layer, as in unroll: called eagerly, the loop would otherwise be traced anew each time.
    @jax.jit
    def run(params: Params, carry: Carry, inputs: PyTree[Array], key: PRNGKeyArray | None) -> tuple[Carry, Array]:
        params, carry = vary((params, carry), axes_of(params, carry, inputs, key))  # as in unroll
        N, rest = divmod(len(inputs[0]), every)
        whole = jax.tree.map(lambda a: a[: N * every].reshape(N, every, *a.shape[1:]), inputs)
        tail = jnp.asarray(N), jax.tree.map(lambda a: a[N * every :], inputs)
        if N == 0:
            return window(params, carry, tail, key)
        carry, ys = jax.lax.scan(lambda carry, piece: window(params, carry, piece, key), carry, (jnp.arange(N), whole))
        ys = ys.reshape(N * every, *ys.shape[2:])
        if rest == 0:
            return carry, ys
        carry, ys_tail = window(params, carry, tail, key)
        return carry, jnp.concatenate([ys, ys_tail])

    def looked_on(
        by: Observer, params: Params, carry: Carry, inputs: PyTree[Array], key: PRNGKeyArray | None
    ) -> tuple[Carry, Array]:
        """The windows one by one: what an observer notes inside a loop would not come out of it."""
        pieces = []
        for k, start in enumerate(range(0, max(len(inputs[0]), 1), every)):
            by.window()
            piece = jnp.asarray(k), jax.tree.map(lambda a, start=start: a[start : start + every], inputs)
            carry, ys = window(params, carry, piece, key)
            pieces.append(ys)
        return carry, jnp.concatenate(pieces)

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.array("truncate", "x", xs, 1, "[T, *batch, ...]")
        checks.arrays("truncate", params=params, carry=carry)
        checks.key("truncate", key)
        for name, where in (("mask", mask), ("reset", reset)):
            checks.steps("truncate", name, where, xs.shape[: getattr(where, "ndim", 2)])
        if (looking := observer()) is not None:
            return looked_on(looking, params, carry, (xs, mask, reset), key)
        return run(params, carry, (xs, mask, reset), key)

    return layer._replace(apply=apply, spec=spec("truncate", layer, every=every))
