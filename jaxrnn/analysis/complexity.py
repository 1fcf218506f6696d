"""What a network costs: parameters, operations and bytes, forward and in training, of each recurrent layer and in all.

Counted from the jaxpr (counting.py), so of any Layer; nothing is computed, and shapes may be given for arrays.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn import checks
from jaxrnn.analysis.counting import Work, count
from jaxrnn.analysis.observing import calls
from jaxrnn.layers import batch_first
from jaxrnn.types import Layer
from jaxrnn.unrolling import unroll

OTHERS = "others"


class Cost(NamedTuple):
    """Of a layer on a batch of sequences."""

    parameters: int
    forward: Work  # apply, without noise
    training: Work  # the values and the gradient of a scalar of ys for the params
    steps: int  # T
    sequences: int  # the product of the batch axes; 1 without

    def per_step(self, work: Work) -> Work:
        """Of one step of one sequence."""
        return Work(*(each / (self.steps * self.sequences) for each in work))

    def per_sequence(self, work: Work) -> Work:
        return Work(*(each / self.sequences for each in work))


def complexity(layer: Layer, xs: Array | jax.ShapeDtypeStruct) -> dict[str, Cost]:
    """The Cost of each recurrent layer, of "others" (the rest: dense, embed, ...) and of "all".

    Of xs [T, *batch, ...] only the shape and dtype matter; time comes first. A recurrent layer's training includes the
    gradient of what it reads, unless that is xs itself. Raises ValueError on what the layer cannot read,
    and on a batch_major layer.
    """
    whole = cost(layer, xs)
    params, carry = started("complexity", layer, xs)
    T, sequences, found = whole.steps, whole.sequences, {}
    for call, noted in zip(*calls(layer, params, carry, _shape(xs)), strict=True):
        inner = unroll(call.cell, reverse=call.reverse)
        found[call.name] = _cost(inner, noted.params, noted.start, noted.xs, T, sequences, read=not call.given)
    rest = Cost(
        whole.parameters - sum(each.parameters for each in found.values()),
        _less(whole.forward, [each.forward for each in found.values()]),
        _less(whole.training, [each.training for each in found.values()]),
        T,
        sequences,
    )
    return {**found, OTHERS: rest, "all": whole}


def cost(layer: Layer, xs: Array | jax.ShapeDtypeStruct) -> Cost:
    """The Cost of all of the layer, as "all" of `complexity`."""
    checks.layer("complexity", "layer", layer)
    checks.array("complexity", "x", xs, 1, "[T, *batch, ...]")
    T, sequences = xs.shape[0], math.prod(batch_of("complexity", layer, xs))
    return _cost(layer, *started("complexity", layer, xs), _shape(xs), T, sequences, read=False)


def parameters(layer: Layer) -> int:
    """How many numbers are learned."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(layer.init, jax.random.key(0))))


def equal_parameters(make: Callable[[int], Layer], wanted: int) -> int:
    """The width whose make(width) has the number of parameters nearest to `wanted`: two cells compared on equal terms.

    `make` gives more parameters for more units. Raises ValueError where even one unit has more than twice as many.
    """
    checks.size("equal_parameters", wanted=wanted)
    size = functools.cache(lambda width: parameters(make(width)))
    if size(1) > 2 * wanted:
        raise ValueError(f"equal_parameters: make(1) has {size(1)} parameters, wanted at most {wanted}")
    low = high = 1
    while size(high) < wanted:
        low, high = high, 4 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    return min(low, high, key=lambda width: abs(size(width) - wanted))


def started(owner: str, layer: Layer, xs: Any) -> tuple[Any, Any]:
    """(params, carry) as shapes."""
    params = jax.eval_shape(layer.init, jax.random.key(0))
    return params, jax.eval_shape(lambda p: layer.carry(batch_of(owner, layer, xs), p), params)


def batch_of(owner: str, layer: Layer, xs: Any) -> tuple[int, ...]:
    """xs [T, *batch, ...] has features behind the batch, unless it is whole numbers.

    Raises ValueError on a layer that reads the batch first.
    """
    if batch_first(layer.spec):
        way_out = "give the layer inside batch_major, and x [T, *batch, ...]: the cost is the same"
        raise ValueError(f"{owner}: layer reads through batch_major(...), wanted time first; {way_out}")
    return tuple(xs.shape[1:] if jnp.issubdtype(xs.dtype, jnp.integer) else xs.shape[1:-1])


def training_step(layer: Layer, read: bool = False) -> Callable[..., Any]:
    """f(params, carry, xs) -> (a scalar of ys, its gradient for params, and for xs where they are `read`)."""

    def loss(params: Any, xs: Any, carry: Any) -> Array:
        ys = layer.apply(params, carry, xs)[1]
        return jnp.sum(ys.astype(jnp.float32) if ys.dtype.itemsize < 4 else ys)

    derived = jax.value_and_grad(loss, (0, 1) if read else 0)
    return lambda params, carry, xs: derived(params, xs, carry)


def _cost(layer: Layer, params: Any, carry: Any, xs: Any, T: int, sequences: int, read: bool) -> Cost:
    return Cost(
        sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        count(layer.apply, params, carry, xs),
        count(training_step(layer, read), params, carry, xs),
        T,
        sequences,
    )


def _less(whole: Work, parts: list[Work]) -> Work:
    return Work(*(max(0, a - sum(b)) for a, b in zip(whole, zip(*parts, strict=True), strict=True)))


def _shape(a: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(a.shape, a.dtype)
