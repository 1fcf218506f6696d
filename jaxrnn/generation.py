"""Writing on from a prompt: an id at a time is drawn from the logits and read in turn.

    temperature    p = softmax(logits / temperature); 0 always takes the likeliest
    top_k          only the k likeliest ids remain (Fan et al. 2018, "Hierarchical neural story generation")
    top_p          only the likeliest ids that together reach probability p remain: the nucleus (Holtzman et al.
                   2020, "The curious case of neural text degeneration")

They act in this order, each on what the one before has left. Between ids that are equally likely the lower one wins.
"""

import functools
import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.policy import promote
from jaxrnn.sharding import axes_of, vary
from jaxrnn.types import Carry, Layer, Params


def pick(
    logits: Float[Array, "*batch vocab"],
    key: PRNGKeyArray | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int[Array, "*batch"]:
    """One id for each row of logits, drawn; temperature 0 needs no key and takes the likeliest.

    Raises ValueError on options out of their range, and without a key where there is something to draw.
    """
    checks.floats("pick", "logits", logits, 1, "[*batch, vocab]")
    _options("pick", key, temperature, top_k, top_p)
    if temperature == 0:
        return jnp.argmax(logits, axis=-1)
    assert key is not None
    logits = logits.astype(promote(logits.dtype, jnp.float32))
    logits = (logits - logits.max(axis=-1, keepdims=True)) / temperature  # no temperature is too low to divide by
    return jax.random.categorical(key, _likeliest(logits, top_k, top_p))


def generate(
    layer: Layer,
    params: Params,
    carry: Carry,
    prompt: Int[Array | np.ndarray, "T *batch"],
    length: int,
    *,
    key: PRNGKeyArray | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Carry, Int[Array, "length *batch"]]:
    """Read the prompt of at least one id, then write `length` ids; compiled once per layer, shapes and options.

    `layer` turns ids [T, *batch] into logits [T, *batch, vocab], such as stack(embed, unroll(cell), dense). The carry
    returned has read everything but the last id, so that generate(layer, params, carry, ids[-1:], more) goes on.
    The ids have the prompt's dtype, or int32 where it does not hold the vocabulary.
    Raises ValueError on an empty prompt, a layer that reads from the end, and what `pick` refuses.
    """
    checks.forward("generate", "layer", layer)
    checks.array("generate", "prompt", prompt, 1, "[T, *batch]")
    checks.whole("generate", "prompt", prompt, "[T, *batch]")
    if prompt.shape[0] == 0:
        raise ValueError(f"generate: prompt is {checks.describe(prompt)}, wanted at least one id to begin with")
    checks.size("generate", at_least=0, length=length)
    _options("generate", key, temperature, top_k, top_p)
    checks.arrays("generate", params=params, carry=carry)
    return _write(layer, params, carry, jnp.asarray(prompt), int(length), key, temperature, top_k, top_p)


@functools.partial(jax.jit, static_argnames=("layer", "length", "temperature", "top_k", "top_p"))
def _write(
    layer: Layer, params: Params, carry: Carry, prompt: Array, length: int, key: Array | None, temperature, top_k, top_p
) -> tuple[Carry, Array]:
    def write(state: tuple[Carry, Array], key: Array | None) -> tuple[tuple[Carry, Array], Array]:
        carry, x = state
        carry, logits = layer.apply(params, carry, x[None])
        x = pick(logits[-1], key, temperature, top_k, top_p).astype(x.dtype)
        return (carry, x), x

    params, carry, prompt = vary((params, carry, prompt), axes_of(params, carry, prompt, key))  # as in unroll
    carry, logits = layer.apply(params, carry, prompt[:-1])
    first = prompt[-1].astype(id_dtype(prompt.dtype, logits.shape[-1]))
    keys = None if temperature == 0 or key is None else jax.random.split(key, length)
    (carry, _), ids = jax.lax.scan(write, (carry, first), keys, length)
    return carry, ids


def id_dtype(given: np.dtype, vocab: int) -> np.dtype:
    """In what ids below `vocab` are written on: as those given, or in int32 where that does not hold them."""
    return given if jnp.iinfo(given).max >= vocab - 1 else jnp.dtype(jnp.int32)


def _likeliest(logits: Array, top_k: int | None, top_p: float | None) -> Array:
    """The logits, with -inf where an id is not among the likeliest."""
    if top_k is None and top_p in (None, 1):  # rounding could put the tail of a sum beyond 1
        return logits
    order = jnp.argsort(-logits, axis=-1, stable=True)
    ranked = jnp.take_along_axis(logits, order, axis=-1)
    kept = _kept(ranked, top_k, top_p)
    place = jnp.argsort(order, axis=-1)
    return jnp.where(jnp.take_along_axis(kept, place, axis=-1), logits, -jnp.inf)


def _kept(ranked: Array, top_k: int | None, top_p: float | None) -> Bool[Array, "*batch vocab"]:
    """Which of the logits, the likeliest first, remain; the first always does."""
    kept = jnp.broadcast_to(jnp.arange(ranked.shape[-1]) < (top_k or ranked.shape[-1]), ranked.shape)
    if top_p in (None, 1):
        return kept
    p = jax.nn.softmax(jnp.where(kept, ranked, -jnp.inf), axis=-1)
    before = jnp.cumsum(p[..., :-1], axis=-1)  # what the likelier ids have together
    return kept.at[..., 1:].set(kept[..., 1:] & (before < top_p))


def _options(owner: str, key: object, temperature: float, top_k: int | None, top_p: float | None) -> None:
    checks.number(owner, temperature=temperature)
    if temperature < 0:
        raise ValueError(f"{owner}: temperature is {temperature!r}, wanted 0 (the likeliest) or more")
    if top_k is not None:
        checks.size(owner, top_k=top_k)
    if top_p is not None and (isinstance(top_p, bool) or not isinstance(top_p, numbers.Real) or not 0 < top_p <= 1):
        raise ValueError(f"{owner}: top_p is {checks.short(top_p)}, wanted a number in (0, 1], or None")
    if temperature != 0 and key is None:
        raise ValueError(f"{owner}: key is None, wanted jax.random.key(seed); only temperature=0 needs none")
    checks.key(owner, key)
