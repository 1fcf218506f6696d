"""Which steps of the input an output rests on.

    gradient times input    a = x df/dx                                                 Shrikumar et al. 2016
    integrated gradients    a = (x - b) times the mean of df/dx on the line from b to x  Sundararajan et al. 2017

f is any number made of a layer's outputs, such as one logit at one step, and b, the baseline, an input that says
nothing. Integrated gradients are complete: over all steps and features they add up to f(x) - f(b), and so does each
piece of the line for itself. A trained recurrent network may switch from one regime to another on a millionth of the
line, which no even spread of nodes meets; so the piece whose gradients (at Gauss-Legendre nodes) add up worst is
halved, again and again. Gradient times input adds up to f(x) - f(0) where f is linear, and elsewhere tells of small
changes alone.

Symbols that `embed` reads have no gradient; what is differentiated is the one-hot vector of each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from jaxrnn import checks
from jaxrnn.layers import batch_first
from jaxrnn.policy import default_float
from jaxrnn.types import Carry, Layer, Params, Spec
from jaxrnn.words import describe


class _Pieces(NamedTuple):
    """Of the line from the baseline; those to come are of length 0."""

    starts: Float[Array, "S"]
    ends: Float[Array, "S"]
    outputs: Float[Array, "S 2"]  # f at both
    values: Float[Array, "S *like_xs"]  # what the gradients add up to
    missing: Float[Array, "S"]


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
    """x times d of(ys) / dx, in the shape of xs: floats [T, *batch, n_in], or whole numbers [T, *batch];
    of a batch_major layer [B, T, ...].

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
    nodes: int = 8,
    halvings: int = 16,
    tolerance: float = 1e-3,
    carry: Carry | None = None,
    mask: Bool[Array, "T *batch"] | None = None,
    reset: Bool[Array, "T *batch"] | None = None,
) -> Attribution:
    """What each number of xs adds to of(ys), against the baseline.

    baseline    floats that broadcast to xs, or to its one-hot vectors [T, *batch, vocab], where they may be the shares
                of the symbols in a text [zeros]
    nodes       gradients on each piece of the line from the baseline to xs
    halvings    at most, first of the line, then of the piece that is least complete; it ends earlier where all that is
                missing, over all pieces, is within the tolerance, a share of f(x) - f(b)

    Other arguments and errors are as those of `gradient_times_input`; also where the baseline does not broadcast.
    """
    owner = "integrated_gradients"
    checks.size(owner, nodes=nodes)
    checks.size(owner, halvings=halvings)
    checks.number(owner, tolerance=tolerance)
    inputs = as_floats(owner, layer, xs)
    base = jnp.zeros_like(inputs) if baseline is None else like(owner, baseline, inputs)
    f = score(owner, layer, params, inputs, of, carry, mask, reset)
    way, wide = inputs - base, inputs.dtype
    places, shares = (jnp.asarray(a / 2, wide) for a in np.polynomial.legendre.leggauss(nodes))

    def at(place: Array) -> Array:
        return base + place * way

    def output(place: Array) -> Array:
        return f(at(place)).astype(wide)

    def piece(start: Array, end: Array, outputs: Array) -> _Pieces:
        where = start + (end - start) * (0.5 + places)
        gradients = jax.vmap(lambda place: jax.grad(f)(at(place)))(where)
        values = in_shape_of(xs, (end - start) * way * jnp.tensordot(shares, gradients, 1))
        return _Pieces(start, end, outputs, values, outputs[1] - outputs[0] - values.sum())

    outputs = jax.vmap(output)(jnp.arange(2, dtype=wide))
    gained = outputs[1] - outputs[0]
    none = jnp.zeros(halvings + 1, wide)
    pieces = _Pieces(
        none,
        none.at[0].set(1),
        jnp.zeros((halvings + 1, 2), wide).at[0].set(outputs),
        jnp.zeros((halvings + 1, *xs.shape), wide),
        none.at[0].set(jnp.inf),  # of the whole line, which is halved unseen: its gradients would be a second program
    )

    def lacking(state: tuple[Array, _Pieces]) -> Array:
        k, pieces = state
        return (k <= halvings) & (jnp.abs(pieces.missing).sum() > tolerance * jnp.abs(gained))

    def halve(state: tuple[Array, _Pieces]) -> tuple[Array, _Pieces]:
        k, pieces = state
        worst = jnp.abs(pieces.missing).argmax()
        start, end, (low, high) = pieces.starts[worst], pieces.ends[worst], pieces.outputs[worst]
        middle = (start + end) / 2
        half = output(middle)
        both = jax.vmap(piece)(
            jnp.stack([start, middle]), jnp.stack([middle, end]), jnp.array([[low, half], [half, high]])
        )
        return k + 1, jax.tree.map(lambda all, two: all.at[worst].set(two[0]).at[k].set(two[1]), pieces, both)

    _, pieces = jax.lax.while_loop(lacking, halve, (jnp.asarray(1), pieces))
    values = pieces.values.sum(0)
    return Attribution(values, gained - values.sum())


def as_floats(owner: str, layer: Layer, xs: Array) -> Float[Array, "T *batch n_in"]:
    """xs as they are, or the one-hot vectors of whole numbers."""
    checks.layer(owner, "layer", layer)
    if batch_first(layer.spec):
        rank = 2 if jnp.issubdtype(getattr(xs, "dtype", float), jnp.integer) else 3
        checks.array(owner, "xs", xs, rank, "[B, T, n_in], or whole numbers [B, T], for a batch_major layer")
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
    time = 1 if batch_first(layer.spec) else 0
    batch = (*inputs.shape[:time], *inputs.shape[time + 1 : -1])
    start = layer.carry(batch, params) if carry is None else carry

    def f(inputs: Array) -> Array:
        return of(layer.apply(params, start, inputs, mask=mask, reset=reset)[1])

    given = jax.eval_shape(f, inputs)
    if getattr(given, "shape", None) != () or not jnp.issubdtype(given.dtype, jnp.floating):
        raise ValueError(f"{owner}: of gives {describe(given)}, wanted one number, such as ys[-1, 0, 3]")
    return f
