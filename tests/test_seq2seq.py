"""Encoder and decoder; beam search against every sequence there is."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import close, randomized

from jaxrnn import (
    Policy,
    attend,
    beam_search,
    bidirectional,
    bind,
    dense,
    embed,
    encode,
    greedy_search,
    gru,
    length_mask,
    lstm,
    stack,
    teacher_forcing,
    unroll,
)
from jaxrnn.seq2seq import EncoderDecoder, Hypotheses, Written
from jaxrnn.types import Layer

VOCABULARY, STOP, S, B, LENGTH = 3, 2, 4, 3, 4
ENCODER = bidirectional(unroll(gru(2, 3)), unroll(gru(2, 3), reverse=True))
DECODER = stack(embed(VOCABULARY, 2), unroll(attend(lstm(2 + 6, 4), "additive", 6)), dense(4 + 6, VOCABULARY))
SOURCES = jnp.asarray(np.random.default_rng(0).normal(size=(S, B, 2)))
MASK = length_mask(jnp.array([4, 2, 0]), S)
STARTS = jnp.array([0, 1, 0])


@functools.cache
def prepared(scale=3.0):
    """The decoder's params, with memory, and its first carry; weights large enough for clear preferences."""
    shapes = jax.eval_shape(lambda key: EncoderDecoder(ENCODER.init(key), DECODER.init(key)), jax.random.key(0))
    params = jax.tree.map(lambda a: scale * a, randomized(jax.random.key(4), shapes))
    params, carry = encode(ENCODER, DECODER, params, SOURCES, mask=MASK)
    return params, jax.tree.map(lambda a: a + 0.5, carry)


@functools.cache
def log_p():
    """log p of the next id after every sequence of ids shorter than LENGTH, read from the start: {ids: [B, vocab]}."""
    params, carry = prepared()
    sequences = list(itertools.product(range(VOCABULARY), repeat=LENGTH - 1))
    reads = np.array([[STARTS, *([x] * B for x in ids)] for ids in sequences])
    logits = np.asarray(jax.jit(jax.vmap(lambda read: DECODER.apply(params, carry, read)[1]))(reads))
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return {ids[:n]: logp[i, n] for i, ids in enumerate(sequences) for n in range(LENGTH)}


@functools.cache
def every(k, penalty):
    """All that sequence k could become, best first: [(score, ids)], each ending at its first STOP or at LENGTH."""
    found = []
    for ids in itertools.product(range(VOCABULARY), repeat=LENGTH):
        n = ids.index(STOP) + 1 if STOP in ids else LENGTH
        if set(ids[n:]) <= {STOP}:
            total = sum(log_p()[ids[:t]][k, ids[t]] for t in range(n))
            found.append((total / n**penalty, ids, n))
    return sorted(found, reverse=True)


def searched(width, penalty=0.0, length=LENGTH):
    params, carry = prepared()
    return jax.tree.map(np.asarray, beam_search(DECODER, params, carry, STARTS, length, STOP, width, penalty))


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_a_beam_that_holds_everything_finds_everything_in_order(penalty):
    ids, lengths, scores = searched(VOCABULARY**LENGTH, penalty)
    for k in range(B):
        wanted = every(k, penalty)
        for place, (score, best, n) in enumerate(wanted):
            assert scores[k, place] == pytest.approx(score, abs=1e-9)
            assert tuple(ids[:, k, place]) == best
            assert lengths[k, place] == n
        assert (scores[k, len(wanted) :] == -np.inf).all()


def test_length_normalisation_changes_what_is_best():
    assert any(every(k, 0.0)[0][1] != every(k, 1.0)[0][1] for k in range(B))


def by_hand(k, width, penalty):
    """Beam search with plain lists."""
    beam = [(0.0, (), False)]
    score = lambda total, n: total / max(n, 1) ** penalty  # noqa: E731
    for _ in range(LENGTH):
        grown = []
        for total, ids, done in beam:
            if done:
                grown.append((total, ids, True))
                continue
            for x in range(VOCABULARY):
                grown.append((total + log_p()[ids][k, x], (*ids, x), x == STOP))
        beam = sorted(grown, key=lambda h: -score(h[0], len(h[1])))[:width]
    return [(score(total, len(ids)), ids) for total, ids, _ in beam]


@pytest.mark.parametrize(("width", "penalty"), [(2, 0.0), (3, 1.0)])
def test_a_narrow_beam_keeps_what_plain_lists_keep(width, penalty):
    ids, lengths, scores = searched(width, penalty)
    for k in range(B):
        for place, (score, wanted) in enumerate(by_hand(k, width, penalty)):
            assert scores[k, place] == pytest.approx(score, abs=1e-9)
            assert tuple(ids[: lengths[k, place], k, place]) == wanted
            assert (ids[lengths[k, place] :, k, place] == STOP).all()


def test_greedy_takes_the_likeliest_at_every_step_and_ends_with_stop():
    params, carry = prepared()
    ids, lengths = map(np.asarray, greedy_search(DECODER, params, carry, STARTS, LENGTH, STOP))
    for k in range(B):
        written = ()
        while len(written) < LENGTH and STOP not in written:
            written = (*written, int(log_p()[written][k].argmax()))
        assert tuple(ids[:, k]) == written + (STOP,) * (LENGTH - len(written))
        assert lengths[k] == len(written)
    assert len(set(lengths)) > 1  # some stop early, some do not


def test_a_beam_of_one_is_greedy():
    params, carry = prepared()
    ids, lengths = greedy_search(DECODER, params, carry, STARTS, 9, STOP)
    one = searched(1, length=9)
    np.testing.assert_array_equal(one.ids[..., 0], ids)
    np.testing.assert_array_equal(one.lengths[..., 0], lengths)


def test_the_score_is_what_teacher_forcing_gives_the_same_ids():
    params, carry = prepared()
    ids, lengths, scores = searched(2)
    logits = teacher_forcing(DECODER, params, carry, jnp.asarray(ids[..., 0]), STARTS)
    logp = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), ids[..., 0][..., None], -1)[..., 0]
    close(scores[:, 0], (logp * (np.arange(LENGTH)[:, None] < lengths[:, 0])).sum(0), 1e-10)


def test_teacher_forcing_reads_the_start_and_then_the_targets():
    params, carry = prepared()
    targets = jnp.array([[0, 1, 1], [1, 0, 2]])
    logits = teacher_forcing(DECODER, params, carry, targets, STARTS)
    close(jax.nn.log_softmax(logits[0]), log_p()[()], 1e-10)
    for k in range(B):
        close(jax.nn.log_softmax(logits[1, k]), log_p()[(int(targets[0, k]),)][k], 1e-10)


PLAIN = stack(embed(VOCABULARY, 2), unroll(gru(2, 3)), dense(3, VOCABULARY))


def test_the_memory_of_an_attentive_decoder_is_made_in_its_policy():
    policy = Policy(compute=jnp.bfloat16)
    encoder, decoder = unroll(gru(3, 4)), stack(embed(5, 3), unroll(attend(gru(7, 4), "general", 4, policy=policy)))
    params = encoder.init(jax.random.key(0)), decoder.init(jax.random.key(1))
    sources = jax.random.normal(jax.random.key(2), (6, 2, 3))
    bound, _ = encode(encoder, decoder, params, sources)
    memory = encoder.apply(params[0], encoder.carry((2,)), sources)[1]
    found, wanted, exact = (
        np.asarray(tree[1].memory.keys)
        for tree in (bound, bind(params[1], memory, policy=policy), bind(params[1], memory))
    )
    np.testing.assert_array_equal(found, wanted)
    assert np.abs(found - exact).max() > 1e-4


def test_a_bridge_hands_the_last_state_over_and_the_gradient_back():
    encoder = unroll(gru(2, 3))
    params = EncoderDecoder(encoder.init(jax.random.key(0)), PLAIN.init(jax.random.key(1)))
    targets, lengths = jnp.ones((2, B), int), jnp.array([4, 2, 0])

    def logits(params):
        inner, carry = encode(
            encoder, PLAIN, params, SOURCES, mask=length_mask(lengths, S), bridge=lambda carry: ((), carry, ())
        )
        return teacher_forcing(PLAIN, inner, carry, targets, STARTS)

    last, _ = encoder.apply(params.encoder, encoder.carry((B,)), SOURCES, mask=length_mask(lengths, S))
    read = jnp.concatenate([STARTS[None], targets[:1]])
    close(logits(params), PLAIN.apply(params.decoder, ((), last, ()), read)[1])
    grads = jax.jit(jax.grad(lambda p: logits(p).var()))(params)
    assert all(np.asarray(g).any() for g in jax.tree.leaves(grads.encoder))


@pytest.mark.parametrize("batch", [(), (2, 2)])
def test_any_batch_rank(batch):
    params = jax.tree.map(lambda a: 4 * a, randomized(jax.random.key(2), jax.eval_shape(PLAIN.init, jax.random.key(0))))
    starts = jnp.zeros(batch, int)
    alone = beam_search(PLAIN, params, PLAIN.carry((1,)), jnp.zeros(1, int), LENGTH, STOP, 3)
    found = beam_search(PLAIN, params, PLAIN.carry(batch), starts, LENGTH, STOP, 3)
    written = greedy_search(PLAIN, params, PLAIN.carry(batch), starts, LENGTH, STOP)
    assert found.ids.shape == (LENGTH, *batch, 3)
    assert written.ids.shape == (LENGTH, *batch)
    for k in np.ndindex(*batch):
        np.testing.assert_array_equal(found.ids[:, *k], alone.ids[:, 0])
        close(found.scores[k], alone.scores[0])


def test_devices_that_share_a_batch_write_what_one_writes():
    params = jax.tree.map(lambda a: 4 * a, randomized(jax.random.key(2), jax.eval_shape(PLAIN.init, jax.random.key(0))))
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def written(params, starts):
        carry = PLAIN.carry(starts.shape)
        return (
            greedy_search(PLAIN, params, carry, starts, LENGTH, STOP),
            beam_search(PLAIN, params, carry, starts, LENGTH, STOP, 2),
        )

    shapes = Written(P(None, "data"), P("data")), Hypotheses(P(None, "data"), P("data"), P("data"))
    shared = jax.jit(jax.shard_map(written, mesh=mesh, in_specs=(P(), P("data")), out_specs=shapes))
    starts = jnp.array([0, 1, 1, 0])
    close(shared(params, starts), written(params, starts))


WIDE = 300


def wide(ids_after):
    """A decoder of many ids that has no carry, and always writes the id named here for the one read."""

    def apply(params, carry, xs, *, key=None, mask=None, reset=None):
        return carry, 20 * jax.nn.one_hot(jnp.array(ids_after)[xs], WIDE)

    return Layer(lambda key: (), lambda *_: (), apply)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16, jnp.int32, jnp.int64])
def test_no_id_is_cut_to_the_dtype_of_the_starts(dtype):
    decoder, starts = wide([299] * 299 + [290]), jnp.zeros(B, dtype)
    greedy = greedy_search(decoder, (), (), starts, 2, 5)
    beam = beam_search(decoder, (), (), starts, 2, 5, 2)
    for ids in (greedy.ids, beam.ids[..., 0]):
        np.testing.assert_array_equal(ids, [[299] * B, [290] * B])
        assert ids.dtype == (dtype if jnp.iinfo(dtype).max >= 299 else jnp.int32)


@pytest.mark.parametrize(("starts", "targets"), [("int32", "uint8"), ("uint8", "int16"), ("int64", "uint64")])
def test_teacher_forcing_reads_ids_uncut_whichever_dtype_they_come_in(starts, targets):
    start, target = (min(jnp.iinfo(dtype).max, 290) for dtype in (starts, targets))
    read = teacher_forcing(wide(range(WIDE)), (), (), jnp.full((2, 1), target, targets), jnp.full(1, start, starts))
    np.testing.assert_array_equal(read.argmax(-1), [[start], [target]])


def test_nothing_to_write():
    params, carry = prepared()
    ids, lengths, scores = beam_search(DECODER, params, carry, STARTS, 0, STOP, 2)
    assert ids.shape == (0, B, 2)
    assert not lengths.any()
    assert (scores[:, 0] == 0).all()


IDS = jnp.zeros((2, B), int)
MISTAKES = [
    (
        lambda: encode(unroll(gru(2, 3)), PLAIN, (None, ()), SOURCES),
        "encode: the decoder hears nothing of the source, wanted attend(cell, ...) in it or a bridge",
    ),
    (
        lambda: encode(ENCODER, DECODER, (), SOURCES),
        "encode: params has 0 entries, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    (
        lambda: teacher_forcing(DECODER, *prepared(), IDS, STARTS[:1]),
        "teacher_forcing: starts is int64[1], wanted [3], one a sequence of targets, int64[2, 3]",
    ),
    (
        lambda: greedy_search(ENCODER, *prepared(), STARTS, 3, STOP),
        "greedy_search: decoder has bidirectional(...), wanted one that reads from the start and gives a y a step",
    ),
    (
        lambda: greedy_search(DECODER, *prepared(), 0, 3, STOP),
        "greedy_search: starts is 0, wanted an array [*batch]; jnp.asarray(starts) makes one",
    ),
    (
        lambda: greedy_search(DECODER, *prepared(), STARTS, 3, None),
        "greedy_search: stop is None, wanted a whole number of at least 0",
    ),
    (
        lambda: beam_search(DECODER, *prepared(), STARTS, 3, STOP, 0),
        "beam_search: width is 0, wanted a whole number of at least 1",
    ),
    (
        lambda: beam_search(DECODER, *prepared(), STARTS, 3, STOP, 2, None),
        "beam_search: penalty is None, wanted a number",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
