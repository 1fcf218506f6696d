"""From one sequence to another: an encoder reads, a decoder writes (Sutskever et al. 2014; Cho et al. 2014).

The decoder is a Layer from ids [T, *batch] to logits [T, *batch, vocab], such as stack(embed, unroll(cell), dense). It
hears of the source through its first carry (`bridge`), through attention (`attend`), or both:

    params, carry = encode(encoder, decoder, params, sources, mask=mask, bridge=bridge)
    logits = teacher_forcing(decoder, params, carry, targets, starts)          training
    ids, lengths = greedy_search(decoder, params, carry, starts, length, stop)        and decoding, a step at a time
    ids, lengths, scores = beam_search(decoder, params, carry, starts, length, stop, width=4)

`starts` [*batch] are the ids that are read first. Writing ends with the id `stop`, which counts to the length and is
repeated after it, or after `length` ids. What is written has the dtype of the starts, or int32 where that does not
hold the vocabulary.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.attention import bind, has_attention, policy_in
from jaxrnn.exporting import exportable
from jaxrnn.generation import id_dtype
from jaxrnn.policy import promote
from jaxrnn.sharding import axes_of, vary
from jaxrnn.types import Carry, Layer, Params


class EncoderDecoder(NamedTuple):
    """The params of both."""

    encoder: Any
    decoder: Any


class Written(NamedTuple):
    ids: Int[Array, "length *batch"]
    lengths: Int[Array, "*batch"]


class Hypotheses(NamedTuple):
    """The best of each sequence first; a place that no hypothesis fills has score -inf."""

    ids: Int[Array, "length *batch width"]
    lengths: Int[Array, "*batch width"]
    scores: Float[Array, "*batch width"]


def encode(
    encoder: Layer,
    decoder: Layer,
    params: EncoderDecoder,
    sources: Array,
    *,
    mask: Bool[Array, "S *batch"] | None = None,
    bridge: Callable[[Carry], Carry] | None = None,
    key: PRNGKeyArray | None = None,
) -> tuple[Params, Carry]:
    """The decoder's params and first carry for these sources [S, *batch, ...].

    Attentive cells of the decoder get the encoder's ys as their memory. `bridge` makes the decoder's first carry from
    the encoder's last; without it the decoder starts as it would alone. `mask` says which places are real.
    Raises ValueError when neither is there, as the decoder would know nothing of the source.
    """
    checks.layer("encode", "encoder", encoder)
    checks.layer("encode", "decoder", decoder)
    checks.parts("encode", "params", params, 2)
    if bridge is not None and not callable(bridge):
        raise ValueError(f"encode: bridge is {checks.short(bridge)}, wanted a function from carry to carry, or None")
    attentive = has_attention(params[1])
    if bridge is None and not attentive:
        raise ValueError("encode: the decoder hears nothing of the source, wanted attend(cell, ...) in it or a bridge")
    batch = _batch(sources)
    last, memory = encoder.apply(params[0], encoder.carry(batch, params[0]), sources, key=key, mask=mask)
    carry = decoder.carry(batch, params[1]) if bridge is None else bridge(last)
    bound = bind(params[1], memory, mask, policy=policy_in(decoder.spec)) if attentive else params[1]
    return bound, carry


def teacher_forcing(
    decoder: Layer,
    params: Params,
    carry: Carry,
    targets: Int[Array, "T *batch"],
    starts: Int[Array, "*batch"],
    *,
    mask: Bool[Array, "T *batch"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "T *batch vocab"]:
    """The logits of each target, given the targets before it (Williams & Zipser 1989)."""
    checks.forward("teacher_forcing", "decoder", decoder)
    _ids("teacher_forcing", starts)
    checks.array("teacher_forcing", "targets", targets, 1, "[T, *batch]")
    checks.whole("teacher_forcing", "targets", targets, "[T, *batch]")
    if targets.shape[1:] != starts.shape:
        wanted = f"{list(targets.shape[1:])}, one a sequence of targets, {checks.describe(targets)}"
        raise ValueError(f"teacher_forcing: starts is {checks.describe(starts)}, wanted {wanted}")
    dtype = _holding(starts.dtype, targets.dtype)
    read = jnp.concatenate([starts.astype(dtype)[None], targets.astype(dtype)])[:-1]
    return decoder.apply(params, carry, read, mask=mask, key=key)[1]


def greedy_search(
    decoder: Layer, params: Params, carry: Carry, starts: Int[Array, "*batch"], length: int, stop: int
) -> Written:
    """The likeliest id at every step, at most `length` of them. Raises ValueError on arguments that do not fit."""
    _door("greedy_search", decoder, params, carry, starts, length, stop)
    return _greedy_search(decoder, params, carry, jnp.asarray(starts), int(length), int(stop))


def beam_search(
    decoder: Layer,
    params: Params,
    carry: Carry,
    starts: Int[Array, "*batch"],
    length: int,
    stop: int,
    width: int = 4,
    penalty: float = 0.0,
) -> Hypotheses:
    """The best `width` hypotheses of at most `length` ids that a beam of that width finds.

    The score is log p(ids) / (number of ids)^penalty: 0 compares probabilities, 1 their mean logarithm, which favours
    longer ones. It ranks within the beam too, where the finished stay and compete. A width of 1 is `greedy_search`,
    one of vocab^length an exhaustive search. Raises ValueError on arguments that do not fit.
    """
    _door("beam_search", decoder, params, carry, starts, length, stop)
    checks.size("beam_search", width=width)
    checks.number("beam_search", penalty=penalty)
    return _beam_search(decoder, params, carry, jnp.asarray(starts), int(length), int(stop), int(width), float(penalty))


@functools.partial(jax.jit, static_argnames=("decoder", "length", "stop"))
def _greedy_search(decoder: Layer, params: Params, carry: Carry, starts: Array, length: int, stop: int) -> Written:
    def write(state: tuple[Carry, Array, Array], _: None) -> tuple[tuple[Carry, Array, Array], tuple[Array, Array]]:
        carry, x, done = state
        carry, logits = decoder.apply(params, carry, x[None])
        x = jnp.where(done, stop, jnp.argmax(logits[-1], axis=-1)).astype(x.dtype)
        return (carry, x, done | (x == stop)), (x, ~done)

    logits = jax.eval_shape(decoder.apply, params, carry, starts[None])[1]
    _is_id("greedy_search", stop, logits)
    x = starts.astype(id_dtype(starts.dtype, logits.shape[-1]))
    params, *first = vary((params, carry, x, jnp.zeros(x.shape, bool)), axes_of(params, carry, x))  # as in unroll
    _, (ids, written) = jax.lax.scan(write, tuple(first), None, length)
    return Written(ids, written.sum(0))


class Beam(NamedTuple):
    """The hypotheses of every sequence, less the ids that led to them; `width` is the first axis."""

    carry: Any  # [width, *batch, ...]
    x: Int[Array, "width *batch"]
    total: Float[Array, "width *batch"]  # log p
    lengths: Int[Array, "width *batch"]
    done: Bool[Array, "width *batch"]


@functools.partial(jax.jit, static_argnames=("decoder", "length", "stop", "width", "penalty"))
def _beam_search(
    decoder: Layer, params: Params, carry: Carry, starts: Array, length: int, stop: int, width: int, penalty: float
) -> Hypotheses:
    # The beam is a vmap over carries and ids alone, so that params, and the memory in them, are not repeated.
    read = jax.vmap(lambda carry, x: decoder.apply(params, carry, x[None]))

    def step(beam: Beam, _: None) -> tuple[Beam, tuple[Array, Array]]:
        after, logits = read(beam.carry, beam.x)
        return _advance(beam._replace(carry=after), _continued(logits[:, -1], beam.done, stop), stop, penalty)

    first = _first(carry, starts, width)
    logits = jax.eval_shape(read, first.carry, first.x)[1]
    _is_id("beam_search", stop, logits)
    x = first.x.astype(id_dtype(starts.dtype, logits.shape[-1]))
    first = first._replace(x=x, total=first.total.astype(promote(logits.dtype, jnp.float32)))
    params, first = vary((params, first), axes_of(params, carry, starts))  # as in unroll
    beam, (parents, xs) = jax.lax.scan(step, first, None, length)
    found = _trace(parents, xs), beam.lengths, _score(beam.total, beam.lengths, penalty)
    return Hypotheses(*(jnp.moveaxis(a, axis, -1) for a, axis in zip(found, (1, 0, 0), strict=True)))


def _advance(beam: Beam, logp: Float[Array, "width *batch vocab"], stop: int, penalty: float) -> tuple[Beam, Any]:
    """The beam one id on, and for each of its places the place that it came from and its id."""
    width, *batch, vocab = logp.shape
    totals = beam.total[..., None] + logp
    lengths = beam.lengths + (~beam.done).astype(beam.lengths.dtype)

    def flat(a: Array) -> Array:
        return jnp.moveaxis(a, 0, -2).reshape(*batch, width * vocab)

    _, best = jax.lax.top_k(flat(_score(totals, lengths[..., None], penalty)), width)
    total = jnp.moveaxis(jnp.take_along_axis(flat(totals), best, axis=-1), -1, 0)
    best = jnp.moveaxis(best, -1, 0)
    parent, x = best // vocab, (best % vocab).astype(beam.x.dtype)
    carry, lengths, done = jax.tree.map(lambda leaf: _take(leaf, parent), (beam.carry, lengths, beam.done))
    return Beam(carry, x, total, lengths, done | (x == stop)), (parent, x)


def _score(total: Array, lengths: Array, penalty: float) -> Array:
    return total / jnp.maximum(lengths, 1).astype(total.dtype) ** penalty


def _first(carry: Carry, starts: Array, width: int) -> Beam:
    """One hypothesis with nothing written; the other places are empty: log p = -inf."""

    def repeat(a: Array) -> Array:
        return jnp.broadcast_to(a, (width, *a.shape))

    x = repeat(starts)
    total = jnp.full(x.shape, -jnp.inf, jnp.float32).at[0].set(0)
    return Beam(jax.tree.map(repeat, carry), x, total, jnp.zeros(x.shape, jnp.int32), jnp.zeros(x.shape, bool))


def _continued(logits: Float[Array, "*any vocab"], done: Bool[Array, "*any"], stop: int) -> Array:
    """log p of every next id; one that is done goes on with `stop` alone, at no cost."""
    logp = jax.nn.log_softmax(logits.astype(promote(logits.dtype, jnp.float32)), axis=-1)
    idle = jnp.where(jnp.arange(logp.shape[-1]) == stop, 0.0, -jnp.inf).astype(logp.dtype)
    return jnp.where(done[..., None], idle, logp)


def _trace(parents: Int[Array, "T width *batch"], xs: Int[Array, "T width *batch"]) -> Int[Array, "T width *batch"]:
    """The ids of each hypothesis, followed from its end to its beginning."""
    if len(xs) == 0:
        return xs
    width = xs.shape[1]
    place = jnp.arange(width, dtype=parents.dtype).reshape(width, *(1,) * (xs.ndim - 2))
    place = vary(jnp.broadcast_to(place, xs.shape[1:]), axes_of(parents))

    def back(place: Array, moment: tuple[Array, Array]) -> tuple[Array, Array]:
        parent, x = moment
        return _take(parent, place), _take(x, place)

    return jax.lax.scan(back, place, (parents, xs), reverse=True)[1]


def _take(leaf: Array, place: Int[Array, "width *batch"]) -> Array:
    """leaf[place] along the width, for every sequence by itself."""
    return jnp.take_along_axis(leaf, place.reshape(*place.shape, *(1,) * (leaf.ndim - place.ndim)), axis=0)


def _batch(sources: Array) -> tuple[int, ...]:
    """Of ids [S, *batch] or features [S, *batch, n]."""
    checks.array("encode", "sources", sources, 1, "[S, *batch, ...]")
    if jnp.issubdtype(sources.dtype, jnp.integer):
        return sources.shape[1:]
    checks.floats("encode", "sources", sources, 2, "[S, *batch, n]")
    return sources.shape[1:-1]


def _ids(owner: str, starts: Array) -> None:
    checks.array(owner, "starts", starts, 0, "[*batch]")
    checks.whole(owner, "starts", starts, "[*batch]")


def _holding(*dtypes: np.dtype) -> np.dtype:
    """The whole-number dtype that holds the ids of them all."""
    wide = promote(*dtypes)
    wide = wide if jnp.issubdtype(wide, jnp.integer) else jnp.dtype(jnp.int64)  # of uint64 and a signed one: a float
    return jax.dtypes.canonicalize_dtype(wide)


def _is_id(owner: str, stop: int, logits: Any) -> None:
    vocab = logits.shape[-1]
    if stop >= vocab:
        raise ValueError(f"{owner}: stop is {stop}, wanted an id below {vocab}, as many as the decoder tells apart")


def _door(owner: str, decoder: Layer, params: Params, carry: Carry, starts: Array, length: int, stop: int) -> None:
    checks.forward(owner, "decoder", decoder)
    checks.arrays(owner, params=params, carry=carry)
    _ids(owner, starts)
    checks.size(owner, at_least=0, length=length, stop=stop)


exportable(__name__)
