"""Picking an id from logits, and writing on from a prompt."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import randomized

import jaxrnn
from jaxrnn import dense, embed, generate, gru, pick, stack, unroll
from jaxrnn.types import Layer

VOCABULARY = 5
LAYER = stack(embed(VOCABULARY, 3), unroll(gru(3, 4)), dense(4, VOCABULARY))
PARAMS = jax.tree.map(lambda a: 4 * a, randomized(jax.random.key(0), jax.eval_shape(LAYER.init, jax.random.key(0))))
LOGITS = np.array([[0.1, 2.0, -1.0, 0.5, 1.2], [3.0, -2.0, 0.0, 0.0, 1.0]])
KEY = jax.random.key(3)

OPTIONS = {
    "as they are": {},
    "temperature": {"temperature": 0.5},
    "top_k": {"top_k": 2},
    "top_p": {"top_p": 0.7},
    "top_p of 1": {"top_p": 1.0},
    "top_p of nearly nothing": {"top_p": 1e-9},
    "all": {"temperature": 2.0, "top_k": 3, "top_p": 0.8},
}


def probabilities(logits, temperature=1.0, top_k=VOCABULARY, top_p=1.0):
    """One row: temperature, then the k likeliest, then the shortest run of the likeliest that reaches top_p."""
    p = np.exp(logits / temperature)
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))[:top_k]
    total, nucleus, reached = sum(p[i] for i in ranked), [], 0.0
    for i in ranked:
        nucleus.append(i)
        reached += p[i] / total
        if reached >= top_p:
            break
    kept = np.array([p[i] if i in nucleus else 0 for i in range(len(p))])
    return kept / kept.sum()


@pytest.mark.parametrize("name", OPTIONS)
def test_pick_draws_with_the_probabilities_of_its_definition(name):
    n = 4000
    drawn = pick(jnp.broadcast_to(LOGITS, (n, *LOGITS.shape)), KEY, **OPTIONS[name])
    for row, logits in enumerate(LOGITS):
        p = probabilities(logits, **OPTIONS[name])
        share = np.bincount(np.asarray(drawn[:, row]), minlength=VOCABULARY) / n
        assert (share[p == 0] == 0).all()
        assert (np.abs(share - p) <= 5 * (p * (1 - p) / n) ** 0.5 + 1e-12).all()


def test_temperature_0_takes_the_likeliest_without_a_key():
    np.testing.assert_array_equal(pick(jnp.asarray(LOGITS), temperature=0), LOGITS.argmax(-1))


def test_top_k_of_ties_keeps_k_of_them():
    drawn = pick(jnp.zeros((200, 6)), KEY, top_k=2)
    assert set(np.asarray(drawn)) == {0, 1}


def test_top_p_never_leaves_nothing():
    assert int(pick(jnp.array([-jnp.inf, 5.0, -jnp.inf]), KEY, top_p=1e-300)) == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_pick_takes_other_floats(dtype):
    assert int(pick(jnp.array([0, 50, 0], dtype), KEY, 0.9, 2, 0.9)) == 1


PROMPT = jnp.array([[1, 2], [0, 4], [3, 3]])


@functools.cache
def start(batch=(2,)):
    return LAYER.carry(batch, PARAMS)


def reread(ids):
    """The logits after the ids, read from the very beginning."""
    return np.asarray(LAYER.apply(PARAMS, start(ids.shape[1:]), ids)[1][-1])


def test_greedy_writing_takes_the_likeliest_after_all_that_stands_before():
    _, ids = generate(LAYER, PARAMS, start(), PROMPT, 4, temperature=0)
    whole = np.concatenate([PROMPT, ids])
    for k in range(4):
        np.testing.assert_array_equal(ids[k], reread(jnp.asarray(whole[: 3 + k])).argmax(-1))


def test_writing_draws_each_id_from_what_the_ids_before_it_predict():
    n = 3000
    prompt = jnp.broadcast_to(jnp.array([[2]]), (1, n))
    ids = np.asarray(generate(LAYER, PARAMS, start((n,)), prompt, 2, key=KEY, top_k=3)[1])
    first = probabilities(reread(jnp.array([[2]]))[0], top_k=3)
    seconds = [probabilities(reread(jnp.array([[2], [i]]))[0], top_k=3) for i in range(VOCABULARY)]
    p = first[:, None] * np.array(seconds)
    share = np.bincount(ids[0] * VOCABULARY + ids[1], minlength=VOCABULARY**2).reshape(p.shape) / n
    assert (np.abs(share - p) <= 5 * (p * (1 - p) / n) ** 0.5 + 1e-12).all()


def test_writing_goes_on_from_the_carry_returned():
    _, whole = generate(LAYER, PARAMS, start(), PROMPT, 5, temperature=0)
    carry, some = generate(LAYER, PARAMS, start(), PROMPT, 2, temperature=0)
    _, more = generate(LAYER, PARAMS, carry, some[-1:], 3, temperature=0)
    np.testing.assert_array_equal(jnp.concatenate([some, more]), whole)


@pytest.mark.parametrize("batch", [(), (2, 1)])
def test_any_batch_rank(batch):
    prompt = PROMPT[:, 0].reshape(3, *(1,) * len(batch)) * jnp.ones(batch, int)
    _, ids = generate(LAYER, PARAMS, start(batch), prompt, 4, temperature=0)
    _, alone = generate(LAYER, PARAMS, start(), PROMPT, 4, temperature=0)
    np.testing.assert_array_equal(ids, np.broadcast_to(alone[:, 0].reshape(4, *(1,) * len(batch)), ids.shape))
    assert ids.shape == (4, *batch)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16, jnp.uint32, jnp.int64])
def test_no_id_is_cut_to_the_dtype_of_the_prompt(dtype):
    """By a layer that writes, of 300 ids, 299 and then 290."""
    after = jnp.array([299] * 299 + [290])
    layer = Layer(lambda key: (), lambda *_: (), lambda p, c, xs, **_: (c, 20 * jax.nn.one_hot(after[xs], 300)))
    _, ids = generate(layer, (), (), jnp.zeros((2, 1), dtype), 2, temperature=0)
    np.testing.assert_array_equal(ids, [[299], [290]])
    assert ids.dtype == (dtype if jnp.iinfo(dtype).max >= 299 else jnp.int32)


@pytest.mark.parametrize("at", ["prompt", "key"])
def test_devices_write_each_its_own(at):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    plain = stack(embed(VOCABULARY, 3), dense(3, VOCABULARY))
    params = plain.init(KEY)
    keys = jax.random.split(KEY)

    def written(prompt, keys):
        return generate(plain, params, plain.carry((2,)), prompt, 3, key=keys[0])[1]

    specs = (P(None, "data"), P()) if at == "prompt" else (P(), P("data"))
    shared = jax.jit(jax.shard_map(written, mesh=mesh, in_specs=specs, out_specs=P(None, "data")))
    prompt = jnp.array([[0, 1, 2, 3]]) if at == "prompt" else jnp.array([[0, 1]])
    pieces = [(prompt[:, :2], keys), (prompt[:, 2:], keys)] if at == "prompt" else [(prompt, keys), (prompt, keys[1:])]
    np.testing.assert_array_equal(shared(prompt, keys), jnp.concatenate([written(*piece) for piece in pieces], 1))


def test_the_same_key_writes_the_same_and_another_does_not():
    one, same, other = (generate(LAYER, PARAMS, start(), PROMPT, 9, key=jax.random.key(k))[1] for k in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_a_second_call_traces_nothing():
    calls = []

    def apply(*arguments, **options):
        calls.append(1)
        return LAYER.apply(*arguments, **options)

    counting = LAYER._replace(apply=apply)
    generate(counting, PARAMS, start(), PROMPT, 3, temperature=0)
    traced = len(calls)
    generate(counting, PARAMS, start(), PROMPT[::-1], 3, temperature=0)
    assert len(calls) == traced > 0


BACKWARD = unroll(gru(3, 4), reverse=True)
MISTAKES = [
    (lambda: pick(jnp.zeros(3)), "pick: key is None, wanted jax.random.key(seed); only temperature=0 needs none"),
    (lambda: pick(jnp.zeros(3), 1), "pick: key is 1, wanted jax.random.key(seed), or None for no noise"),
    (lambda: pick(jnp.zeros(3), KEY, -1.0), "pick: temperature is -1.0, wanted 0 (the likeliest) or more"),
    (lambda: pick(jnp.zeros(3), KEY, float("nan")), "pick: temperature is nan, wanted a number"),
    (lambda: pick(jnp.zeros(3), KEY, top_k=0), "pick: top_k is 0, wanted a whole number of at least 1"),
    (lambda: pick(jnp.zeros(3), KEY, top_p=0.0), "pick: top_p is 0.0, wanted a number in (0, 1], or None"),
    (lambda: pick(jnp.zeros(3), KEY, top_p=1.5), "pick: top_p is 1.5, wanted a number in (0, 1], or None"),
    (
        lambda: generate(LAYER, PARAMS, start(), PROMPT[:0], 3, temperature=0),
        "generate: prompt is int64[0, 2], wanted at least one id to begin with",
    ),
    (
        lambda: generate(LAYER, PARAMS, start(), PROMPT.astype(float), 3, temperature=0),
        "generate: prompt is float64[3, 2], wanted whole numbers [T, *batch]",
    ),
    (
        lambda: generate(LAYER, PARAMS, start(), PROMPT, -1, temperature=0),
        "generate: length is -1, wanted a whole number of at least 0",
    ),
    (
        lambda: generate(stack(BACKWARD), PARAMS, start(), PROMPT, 3, temperature=0),
        "generate: layer has unroll(..., reverse=True), wanted one that reads from the start and gives a y a step",
    ),
    (
        lambda: generate(jaxrnn.bidirectional(unroll(gru(3, 4)), BACKWARD), PARAMS, start(), PROMPT, 3, temperature=0),
        "generate: layer has bidirectional(...), wanted one that reads from the start and gives a y a step",
    ),
    (
        lambda: generate(gru(3, 4), PARAMS, start(), PROMPT, 3, temperature=0),
        "generate: layer is a Cell, wanted a Layer; unroll(cell) makes one",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
