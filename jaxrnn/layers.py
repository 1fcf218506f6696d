"""Layers made of layers, and the layers that know no time."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxrnn import checks, initializers
from jaxrnn.exporting import exportable
from jaxrnn.masks import zeroed
from jaxrnn.policy import Policy, promote
from jaxrnn.types import Carry, Layer, Params, Spec, spec


class Directions(NamedTuple):
    """The params or carries of a bidirectional layer."""

    forward: Any
    backward: Any


class Dense(NamedTuple):
    w: Float[Array, "n_in n"]
    b: Float[Array, "n"]


class Embedding(NamedTuple):
    w: Float[Array, "vocab n"]


def stack(*layers: Layer) -> Layer:
    """One layer after another; params and carry are tuples with an entry a layer. Mask and reset go to each."""
    if not layers:
        raise ValueError("stack: no layers given, wanted at least one")
    for position, layer in enumerate(layers):
        checks.layer("stack", f"layer {position}", layer)
    placed = [_placed(f"stack: in layer {position}", layer) for position, layer in enumerate(layers)]

    def init(key: PRNGKeyArray) -> Params:
        checks.key("stack", key, optional=False)
        keys = jax.random.split(key, len(layers))
        return tuple(layer.init(key) for layer, key in zip(layers, keys, strict=True))

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Carry:
        each: Any = (None,) * len(layers) if params is None else params
        checks.parts("stack", "params", each, len(layers))
        return tuple(layer.carry(batch_shape, p) for layer, p in zip(placed, each, strict=True))

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.parts("stack", "params", params, len(layers))
        checks.parts("stack", "carry", carry, len(layers))
        keys = _keys("stack", key, len(layers))
        after = []
        for layer, p, c, k in zip(placed, params, carry, keys, strict=True):
            c, xs = layer.apply(p, c, xs, key=k, mask=mask, reset=reset)
            after.append(c)
        return tuple(after), xs

    return Layer(init, carry, apply, spec("stack", *layers))


def bidirectional(forward: Layer, backward: Layer) -> Layer:
    """Both directions over the same xs, ys joined along the features (Schuster & Paliwal 1997).

    `backward` is built with reverse=True: bidirectional(unroll(a), unroll(b, reverse=True)).
    """
    checks.layer("bidirectional", "forward", forward)
    checks.layer("bidirectional", "backward", backward)
    for name, layer, wanted in (("forward", forward, False), ("backward", backward, True)):
        if (not wanted) in _directions(layer.spec):
            raise ValueError(
                f"bidirectional: {name} was built with reverse={not wanted}, wanted unroll(cell, reverse={wanted})"
            )

    def init(key: PRNGKeyArray) -> Directions:
        checks.key("bidirectional", key, optional=False)
        key_f, key_b = jax.random.split(key)
        return Directions(forward.init(key_f), backward.init(key_b))

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> Directions:
        each: Any = (None, None) if params is None else params
        checks.parts("bidirectional", "params", each, 2)
        return Directions(forward.carry(batch_shape, each[0]), backward.carry(batch_shape, each[1]))

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.parts("bidirectional", "params", params, 2)
        checks.parts("bidirectional", "carry", carry, 2)
        key_f, key_b = _keys("bidirectional", key, 2)
        carry_f, ys_f = forward.apply(params[0], carry[0], xs, key=key_f, mask=mask, reset=reset)
        carry_b, ys_b = backward.apply(params[1], carry[1], xs, key=key_b, mask=mask, reset=reset)
        if ys_f.shape[:-1] != ys_b.shape[:-1]:
            both = f"{checks.describe(ys_f)} and {checks.describe(ys_b)}"
            raise ValueError(f"bidirectional: the layers give {both}, wanted the same shape but for the features")
        dtype = promote(ys_f.dtype, ys_b.dtype)
        return Directions(carry_f, carry_b), jnp.concatenate([ys_f.astype(dtype), ys_b.astype(dtype)], axis=-1)

    return Layer(init, carry, apply, spec("bidirectional", forward, backward))


def residual(layer: Layer) -> Layer:
    """xs + layer(xs); the layer gives as many features as it takes (He et al. 2016)."""
    checks.layer("residual", "layer", layer)

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        carry, ys = layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)
        if ys.shape != xs.shape:
            raise ValueError(
                f"residual: the layer gives {checks.describe(ys)}, wanted the shape it takes, {list(xs.shape)}"
            )
        dtype = promote(xs.dtype, ys.dtype)  # the stream past the layer is not rounded to what the layer gives
        return carry, zeroed(xs, mask).astype(dtype) + ys.astype(dtype)

    return layer._replace(apply=apply, spec=spec("residual", layer))


def last(layer: Layer) -> Layer:
    """The layer's ys at the last unmasked step, [*batch, n]; zeros where a sequence has none.

    A `dense` that should see the last state goes inside: last(stack(unroll(cell), dense(n, n_out))). Of a reversed
    layer this is the first step it reads; its state after reading everything is in the carry, as are both states of
    a bidirectional layer: carry.forward.h and carry.backward.h.
    """
    checks.layer("last", "layer", layer)
    if layer.spec and layer.spec.name in ("last", "batch_major"):
        raise ValueError(
            f"last: layer is {layer.spec.name}(...), wanted one with time first; last goes inside batch_major"
        )

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        carry, ys = layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)
        if ys.shape[0] == 0:
            return carry, jnp.zeros(ys.shape[1:], ys.dtype)
        if mask is None:
            return carry, ys[-1]
        where = ys.shape[0] - 1 - jnp.argmax(jnp.flip(mask, 0), axis=0)
        where = where.reshape(1, *where.shape, *(1,) * (ys.ndim - mask.ndim))
        return carry, zeroed(jnp.take_along_axis(ys, where, axis=0)[0], mask.any(axis=0))

    return layer._replace(apply=apply, spec=spec("last", layer))


def batch_major(layer: Layer) -> Layer:
    """The layer with the batch before time: xs, mask, reset and ys are [B, T, ...]; the carry is left alone.

    batch_major(last(layer)) gives [B, n], as last(layer) does.
    """
    checks.layer("batch_major", "layer", layer)
    timed = has_time(layer.spec)

    def swap(a: Array | None) -> Array | None:
        return None if a is None else jnp.swapaxes(a, 0, 1)

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.array("batch_major", "x", xs, 2, "[B, T, ...]")
        if not jnp.issubdtype(xs.dtype, jnp.integer):
            checks.array("batch_major", "x", xs, 3, "[B, T, n_in]")
        for name, a in (("mask", mask), ("reset", reset)):
            checks.steps("batch_major", name, a, xs.shape[: getattr(a, "ndim", 2)])
        carry, ys = layer.apply(params, carry, swap(xs), key=key, mask=swap(mask), reset=swap(reset))
        return carry, jnp.swapaxes(ys, 0, 1) if timed else ys

    return layer._replace(apply=apply, spec=spec("batch_major", layer))


def dense(n_in: int, n: int, *, policy: Policy = Policy()) -> Layer:
    """y_t = x_t w + b at every step, in the policy's accumulate dtype: logits meet the loss unrounded."""
    checks.size("dense", n_in=n_in, n=n)
    checks.policy("dense", policy)

    def init(key: PRNGKeyArray) -> Dense:
        dtype = policy.param_dtype
        return Dense(initializers.uniform(key, (n_in, n), n_in, dtype), jnp.zeros(n, dtype))

    def f(params: Dense, xs: Array, key: PRNGKeyArray | None) -> Array:
        return policy.affine(xs, params.w, params.b)

    return _timeless(
        init, lambda xs: checks.features("dense", xs, n_in), f, 1, spec("dense", n_in=n_in, n=n, policy=policy)
    )


def embed(vocab: int, n: int, *, policy: Policy = Policy()) -> Layer:
    """Row x_t of a [vocab, n] table for whole numbers xs [T, *batch] -> ys [T, *batch, n].

    A number outside [0, vocab) gives NaN, which is seen, where clamping would give a neighbour's row, which is not.
    Floating xs [T, *batch, vocab] are shares of all symbols, such as one-hot vectors, and give the mean of the rows so
    weighed: what a gradient can be taken for.
    """
    checks.size("embed", vocab=vocab, n=n)
    checks.policy("embed", policy)
    made_by = spec("embed", vocab=vocab, n=n, policy=policy)

    def init(key: PRNGKeyArray) -> Embedding:
        return Embedding(jax.random.normal(key, (vocab, n), policy.param_dtype))

    def row(params: Embedding, xs: Int[Array, "T *batch"], key: PRNGKeyArray | None) -> Array:
        rows = jnp.asarray(params.w).at[xs].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return policy.output(rows)

    def mean(params: Embedding, xs: Float[Array, "T *batch vocab"], key: PRNGKeyArray | None) -> Array:
        return policy.output(policy.dot(xs, params.w))

    rows = _timeless(init, lambda xs: checks.whole("embed", "x", xs, "[T, *batch]"), row, 0, made_by)
    means = _timeless(init, lambda xs: checks.features("embed", xs, vocab), mean, 1, made_by)

    def apply(params: Params, carry: Carry, xs: Array, **where: Any) -> tuple[Carry, Array]:
        shares = hasattr(xs, "dtype") and jnp.issubdtype(xs.dtype, jnp.floating) and xs.shape[-1:] == (vocab,)
        return (means if shares else rows).apply(params, carry, xs, **where)

    return rows._replace(apply=apply)


def dropout(rate: float) -> Layer:
    """Zero each feature with probability `rate` and scale the rest by 1 / (1 - rate); nothing without a key.

    Srivastava et al. 2014; a fresh draw at every step, on the way between layers (Zaremba et al. 2014).
    """
    checks.rate("dropout", "rate", rate)

    def f(params: tuple[()], xs: Array, key: PRNGKeyArray | None) -> Array:
        if key is None or rate == 0:
            return xs
        kept = jax.random.bernoulli(key, 1 - rate, xs.shape)
        return jnp.where(kept, xs / (1 - rate), jnp.zeros((), xs.dtype))

    def door(xs: Array) -> None:
        checks.floats("dropout", "x", xs, 2, "[T, *batch, n]")

    return _timeless(lambda key: (), door, f, 1, spec("dropout", rate=rate))


def weight_drop(layer: Layer, rate: float, names: tuple[str, ...] = ("w_h",)) -> Layer:
    """DropConnect on the weights named, one draw a call for all its steps and sequences (Merity et al. 2018).

    Each entry of the named matrices is zeroed with probability `rate`, the rest scaled by 1 / (1 - rate); nothing
    without a key. The dropped weights take the place of the params, so any cell and method can stand inside.
    """
    checks.layer("weight_drop", "layer", layer)
    checks.rate("weight_drop", "rate", rate)
    there = {_name(path): None for path, _ in jax.tree.leaves_with_path(jax.eval_shape(layer.init, jax.random.key(0)))}
    if not isinstance(names, tuple) or not names or not all(isinstance(n, str) and n in there for n in names):
        has = ", ".join(filter(None, there))
        raise ValueError(f"weight_drop: names is {checks.short(names)}, wanted a tuple of names among {has}")

    def drop(path: tuple[Any, ...], leaf: Array, key: PRNGKeyArray) -> Array:
        if _name(path) not in names:
            return leaf
        kept = jax.random.bernoulli(key, 1 - rate, leaf.shape)
        return jnp.where(kept, leaf / (1 - rate), jnp.zeros((), leaf.dtype))

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.key("weight_drop", key)
        if key is not None and rate > 0:
            key_w, key = jax.random.split(key)
            leaves, structure = jax.tree.flatten_with_path(params)
            keys = jax.random.split(key_w, len(leaves))
            params = structure.unflatten(drop(*leaf, k) for leaf, k in zip(leaves, keys, strict=True))
        return layer.apply(params, carry, xs, key=key, mask=mask, reset=reset)

    return layer._replace(apply=apply, spec=spec("weight_drop", layer, rate=rate, names=names))


def _timeless(
    init: Callable[..., Params], door: Callable[[Array], None], f: Callable[..., Array], features: int, made_by: Spec
) -> Layer:
    """A layer without a carry: ys = f(params, xs, key), zero where masked. xs has `features` axes past the batch.

    `door` refuses other xs, before a mask is compared with them.
    """
    name = made_by.name
    layout = "[T, *batch, n_in]" if features else "[T, *batch]"

    @functools.cache
    def wanted_params() -> Params:
        return jax.eval_shape(init, jax.random.key(0))

    def checked_init(key: PRNGKeyArray) -> Params:
        checks.key(name, key, optional=False)
        return init(key)

    def carry(batch_shape: tuple[int, ...], params: Params | None = None) -> tuple[()]:
        checks.batch_shape(name, batch_shape)
        if params is not None:
            checks.like(name, "params", params, wanted_params(), "layer.init(key) makes them")
        return ()

    def apply(params: Params, carry: Carry, xs: Array, *, key=None, mask=None, reset=None) -> tuple[Carry, Array]:
        checks.array(name, "x", xs, 1 + features, layout)
        door(xs)
        checks.like(name, "params", params, wanted_params(), "layer.init(key) makes them")
        checks.like(name, "carry", carry, (), "layer.carry(batch_shape) makes one")
        batch = xs.shape[: xs.ndim - features]
        checks.steps(name, "mask", mask, batch)
        checks.steps(name, "reset", reset, batch)
        checks.key(name, key)
        return (), zeroed(f(params, zeroed(xs, mask), key), mask)

    return Layer(checked_init, carry, apply, made_by)


def _placed(place: str, layer: Layer) -> Layer:
    """The layer, which notes its place on its errors: their words fit every layer of its kind."""
    kind = "a stack" if getattr(layer.spec, "name", None) == "stack" else layer  # which has noted the place within

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **where: Any) -> Any:
            try:
                return call(*given, **where)
            except Exception as error:
                error.add_note(f"{place}, {kind}")
                raise

        return called

    return layer._replace(carry=noting(layer.carry), apply=noting(layer.apply))


def _name(path: tuple[Any, ...]) -> str | None:
    """The field of a params tuple that holds a leaf."""
    return getattr(path[-1], "name", None) if path else None


def _directions(made_by: Spec | None) -> set[bool]:
    """The `reverse` of every unroll in a layer, as far as its spec tells; a bidirectional one counts as neither."""
    if made_by is None or made_by.name == "bidirectional":
        return set()
    if made_by.name == "unroll":
        return {bool(dict(made_by.options)["reverse"])}
    return set().union(*map(_directions, made_by.children))


def has_time(made_by: Spec | None) -> bool:
    """Whether a layer's ys have a time axis, as far as its spec tells: not under last, nor in two directions of it."""
    if made_by is None or made_by.name == "unroll":
        return True
    return made_by.name not in ("last", "first") and all(map(has_time, made_by.children))


def batch_first(made_by: Spec | None) -> bool:
    """Whether what meets xs first is a batch_major(...), as far as a layer's spec tells."""
    if made_by is None or made_by.name in ("batch_major", "unroll"):
        return made_by is not None and made_by.name == "batch_major"
    return bool(made_by.children) and batch_first(made_by.children[0])


def _keys(owner: str, key: PRNGKeyArray | None, n: int) -> Any:
    checks.key(owner, key)
    return (None,) * n if key is None else jax.random.split(key, n)


exportable(__name__)
