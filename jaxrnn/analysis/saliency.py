"""Which steps of the input an output rests on.

    gradient times input    a = x df/dx                                                 Shrikumar et al. 2016
    integrated gradients    a = (x - b) times the mean of df/dx on the line from b to x  Sundararajan et al. 2017

f is any number made of a layer's outputs, such as one logit at one step, and b, the baseline, an input that says
nothing. Integrated gradients are complete: over all steps and features they add up to f(x) - f(b), and what the sum
over nodes (Gauss-Legendre) lacks of that is given beside them. Gradient times input adds up to f(x) - f(0) where f is
linear, and elsewhere tells of small changes alone.

Symbols that `embed` reads have no gradient; what is differentiated is the one-hot vector of each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from jaxrnn import checks
from jaxrnn.policy import default_float
from jaxrnn.types import Carry, Layer, Params, Spec
from jaxrnn.words import describe

AT_ONCE = 16  # nodes whose gradients are computed together, one more axis of the batch


class Attribution(NamedTuple):
    values: Float[Array, "T *like_xs"]  # in the shape of xs
    missing: Float[Array, ""]  # f(x) - f(b) less the sum of the values: small, or there are too few nodes


def gradient_times_input(
    layer: Layer,
    params: Params,
    xs: Shaped[Array, "T *like_xs"],
    of: Callable[[Array], Float[Array, ""]],
    *,
    carry: Carry | None = None,
    mask: Bool[Array, "T *batch"] | None = None,
    reset: Bool[Array, "T *batch"] | None = None,
) -> Float[Array, "T *like_xs"]:
    """x times d of(ys) / dx, in the shape of xs: floats [T, *batch, n_in], or whole numbers [T, *batch].

    of      the outputs ys -> one number, say `lambda ys: jax.nn.log_softmax(ys[-1])[3]`
    carry   the state before the first step [the layer's own start]

    Raises ValueError where `of` gives no single number, and for whole numbers that no `embed` of the layer reads.
    """
    inputs = as_floats("gradient_times_input", layer, xs)
    f = score("gradient_times_input", layer, params, inputs, of, carry, mask, reset)
    return in_shape_of(xs, inputs * jax.grad(f)(inputs))


def integrated_gradients(
    layer: Layer,
    params: Params,
    xs: Shaped[Array, "T *like_xs"],
    of: Callable[[Array], Float[Array, ""]],
    *,
    baseline: Float[Array, "..."] | None = None,
    nodes: int = 32,
    carry: Carry | None = None,
    mask: Bool[Array, "T *batch"] | None = None,
    reset: Bool[Array, "T *batch"] | None = None,
) -> Attribution:
    """What each number of xs adds to of(ys), against the baseline.

    baseline   floats that broadcast to xs, or to its one-hot vectors [T, *batch, vocab], where they may be the shares
               of the symbols in a text [zeros]
    nodes      gradients on the line from the baseline to xs; more where `missing` is not small

    Other arguments and errors are as those of `gradient_times_input`; also where the baseline does not broadcast.
    """
    owner = "integrated_gradients"
    checks.size(owner, nodes=nodes)
    inputs = as_floats(owner, layer, xs)
    start = jnp.zeros_like(inputs) if baseline is None else like(owner, baseline, inputs)
    f = score(owner, layer, params, inputs, of, carry, mask, reset)
    places, shares = (jnp.asarray(a / 2, inputs.dtype) for a in np.polynomial.legendre.leggauss(nodes))

    def gradient(place: Array) -> Array:
        return jax.grad(f)(start + (0.5 + place) * (inputs - start))

    gradients = jax.lax.map(gradient, places, batch_size=min(nodes, AT_ONCE))
    values = (inputs - start) * jnp.tensordot(shares, gradients, 1)
    return Attribution(in_shape_of(xs, values), f(inputs) - f(start) - values.sum())


def as_floats(owner: str, layer: Layer, xs: Array) -> Float[Array, "T *batch n_in"]:
    """xs as they are, or the one-hot vectors of whole numbers."""
    checks.array(owner, "xs", xs, 1, "[T, *batch, n_in], or whole numbers [T, *batch]")
    if jnp.issubdtype(xs.dtype, jnp.floating):
        return jnp.asarray(xs)
    vocab = symbols(layer.spec)
    if vocab is None or not jnp.issubdtype(xs.dtype, jnp.integer):
        raise ValueError(
            f"{owner}: xs is {describe(xs)}, wanted floating point, or whole numbers for a layer that begins with embed"
        )
    return jax.nn.one_hot(xs, vocab, dtype=default_float())


def symbols(made_by: Spec | None) -> int | None:
    """How many the layer's first `embed` knows."""
    if made_by is None:
        return None
    if made_by.name == "embed":
        return dict(made_by.options)["vocab"]  # pyright: ignore[reportReturnType]
    return next((n for child in made_by.children if (n := symbols(child))), None)


def in_shape_of(xs: Array, values: Array) -> Array:
    """Of symbols, the sum over their one-hot vectors."""
    return values if values.shape == xs.shape else values.sum(-1)


def like(owner: str, baseline: Any, inputs: Array) -> Array:
    checks.array(owner, "baseline", baseline, 0, "that broadcasts to xs")
    try:
        return jnp.broadcast_to(jnp.asarray(baseline, inputs.dtype), inputs.shape)
    except ValueError:
        wanted = f"one that broadcasts to {list(inputs.shape)}"
        raise ValueError(f"{owner}: baseline is {describe(baseline)}, wanted {wanted}") from None


def score(
    owner: str, layer: Layer, params: Params, inputs: Array, of: Callable, carry: Carry | None, mask: Any, reset: Any
) -> Callable[[Array], Float[Array, ""]]:
    """inputs -> of(ys)."""
    checks.layer(owner, "layer", layer)
    start = layer.carry(inputs.shape[1:-1], params) if carry is None else carry

    def f(inputs: Array) -> Array:
        return of(layer.apply(params, start, inputs, mask=mask, reset=reset)[1])

    given = jax.eval_shape(f, inputs)
    if getattr(given, "shape", None) != () or not jnp.issubdtype(given.dtype, jnp.floating):
        raise ValueError(f"{owner}: of gives {describe(given)}, wanted one number, such as ys[-1, 0, 3]")
    return f
