"""jaxrnn.nnx.RNN inside NNX models is the Layer that it wraps: values, gradients, noise, streams and state."""

# pyright: reportArgumentType=false
# Many of the mistakes are wrong types, which is the point.

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import N_IN, B, N, T, close

from jaxrnn import (
    CELLS,
    batch_major,
    bidirectional,
    dense,
    dropout,
    embed,
    last,
    learned_carry,
    lstm,
    stack,
    unroll,
    weight_drop,
    zoneout,
)

pytest.importorskip("flax", reason="the extra `flax` brings Flax")
import optax
from flax import nnx

from jaxrnn.nnx import RNN, Carry

LSTM = unroll(lstm(N_IN, N))
NET = stack(unroll(learned_carry(zoneout(lstm(N_IN, N, peepholes="diagonal")))), dropout(0.5))
XS = jax.random.normal(jax.random.key(1), (T, B, N_IN))
MASK = jnp.arange(T)[:, None] < jnp.array([T, 3])
RESET = jnp.zeros((T, B), bool).at[3, 0].set(True)


def equal(a, b):
    """Two trees are the same, bit for bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def streaming(layer, batch):
    rnn = RNN(layer, rngs=nnx.Rngs(0))
    rnn.stream(batch)
    return rnn


class Tagger(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(7, N_IN, param_dtype=jnp.float64, rngs=rngs)
        self.rnn = RNN(NET, rngs=rngs)
        self.head = nnx.Linear(N, 3, param_dtype=jnp.float64, rngs=rngs)

    def __call__(self, ids):
        return self.head(self.rnn(self.embed(ids), mask=MASK, reset=RESET))


IDS = jax.random.randint(jax.random.key(2), (T, B), 0, 7)


def loss(model):
    return jnp.sum(jnp.sin(model(IDS)))


def test_a_model_trains_as_the_functions_do():
    """Two steps of nnx.Optimizer under nnx.jit, noise included, against jax.grad and optax."""
    model = Tagger(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)
    noise = nnx.clone(model.rnn.rngs)
    tables = (model.embed.embedding, model.rnn.params, model.head.kernel, model.head.bias)
    params = nnx.as_pure(tables)
    sgd = optax.sgd(0.1, momentum=0.9)
    state = sgd.init(params)

    @nnx.jit
    def train_step(model, optimizer):
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value, grads

    @jax.jit
    def functional(params, key):
        def loss(params):
            table, mine, kernel, bias = params
            _, ys = NET.apply(mine, NET.carry((B,), mine), table[IDS], key=key, mask=MASK, reset=RESET)
            return jnp.sum(jnp.sin(ys @ kernel + bias))

        return jax.value_and_grad(loss)(params)

    for _ in range(2):
        value, grads = train_step(model, optimizer)
        wanted, wanted_grads = functional(params, noise())
        equal(value, wanted)
        got = dict(nnx.to_flat_state(nnx.as_pure(grads)))
        for path, g in jax.tree.leaves_with_path(wanted_grads[1]):
            equal(got["rnn", "params", *(getattr(p, "name", getattr(p, "idx", None)) for p in path)], g)
        updates, state = sgd.update(wanted_grads, state)
        params = optax.apply_updates(params, updates)
        close(nnx.as_pure(tables), params)


def test_params_stand_under_the_library_s_names_and_come_back():
    params = NET.init(jax.random.key(3))
    rnn = RNN(NET, params, rngs=nnx.Rngs(0))
    paths = {path[1:] for path, _ in nnx.to_flat_state(nnx.state(rnn, nnx.Param))}
    names = {("w_x",), ("w_h",), ("b",), ("peepholes", "i"), ("peepholes", "f"), ("peepholes", "o")}
    assert paths == {(0, "cell", *name) for name in names} | {(0, "start", "h"), (0, "start", "c")}
    equal(nnx.as_pure(rnn.params), params)
    assert all(
        type(leaf) is nnx.Param for leaf in jax.tree.leaves(rnn.params, is_leaf=lambda v: isinstance(v, nnx.Param))
    )


@pytest.mark.parametrize(
    ("layer", "xs"),
    [
        (LSTM, XS),
        (LSTM, XS[:, 0]),
        (LSTM, jnp.stack([XS, XS], 2)),
        (stack(embed(7, 3), LSTM), IDS),
        (last(bidirectional(LSTM, unroll(lstm(N_IN, N), reverse=True))), XS),
        (stack(dense(3, 3), dropout(0.5)), XS),
    ],
    ids=["one batch axis", "no batch", "two batch axes", "whole numbers", "last", "no time"],
)
def test_the_start_has_the_batch_of_the_input(layer, xs):
    rnn = RNN(layer, deterministic=True, return_carry=True, rngs=nnx.Rngs(0))
    params, batch = nnx.as_pure(rnn.params), (xs.shape if xs is IDS else xs.shape[:-1])[1:]
    wanted = layer.apply(params, layer.carry(batch, params), xs)
    equal(rnn(xs), wanted)
    if batch:
        major = RNN(batch_major(layer), params, deterministic=True, rngs=nnx.Rngs(0))
        ys = major(jnp.swapaxes(xs, 0, 1))
        equal(ys if layer.spec.name == "last" else jnp.swapaxes(ys, 0, 1), wanted[1])


def test_noise_follows_train_and_eval():
    rnn = RNN(NET, rngs=nnx.Rngs(0))
    params = nnx.as_pure(rnn.params)
    before = NET.carry((B,), params)
    key = nnx.clone(rnn.rngs)()
    silent = NET.apply(params, before, XS)[1]
    equal(rnn(XS), NET.apply(params, before, XS, key=key)[1])
    assert not np.array_equal(rnn(XS), rnn(XS))
    equal(rnn(XS, deterministic=True), silent)
    equal(nnx.view(rnn, deterministic=True)(XS), silent)
    rnn.eval()
    equal(rnn(XS), silent)
    rnn.train()
    assert not np.array_equal(rnn(XS), silent)


def test_a_layer_without_noise_has_no_stream():
    for make in CELLS.values():
        made = nnx.eval_shape(lambda make=make: RNN(unroll(make(2, 2)), rngs=nnx.Rngs(params=0)))
        assert made.rngs is None
    for noisy in (NET, weight_drop(LSTM, 0.5), LSTM._replace(spec=None)):
        assert RNN(noisy, rngs=nnx.Rngs(0)).rngs is not None


def test_a_stream_is_the_whole_sequence():
    rnn = RNN(NET, deterministic=True, rngs=nnx.Rngs(0))
    params = nnx.as_pure(rnn.params)
    params = (params[0]._replace(start=jax.tree.map(jnp.ones_like, params[0].start)), ())
    rnn = RNN(NET, params, deterministic=True, rngs=nnx.Rngs(0))
    step = nnx.jit(lambda rnn, x, mask, reset: rnn(x, mask=mask, reset=reset))
    begin = nnx.jit(lambda rnn: rnn.stream((B,)))
    after, ys = rnn(XS, mask=MASK, reset=RESET, return_carry=True)
    for _ in range(2):  # the second time from the start again
        begin(rnn)
        close(jnp.concatenate([step(rnn, XS[t : t + 1], MASK[t : t + 1], RESET[t : t + 1]) for t in range(T)]), ys)
        close(nnx.as_pure(rnn.carry), after)
    rnn.stream(None)
    assert not nnx.to_flat_state(nnx.state(rnn, Carry))
    equal(rnn(XS, mask=MASK, reset=RESET), ys)


def test_an_initial_carry_takes_the_place_of_the_one_that_is_kept():
    rnn = RNN(LSTM, rngs=nnx.Rngs(0))
    middle, _ = rnn(XS[:3], return_carry=True)
    wanted = rnn(XS[3:], initial_carry=middle, return_carry=True)
    close(wanted[1], rnn(XS)[3:])
    rnn.stream((B,))
    rnn(XS[3:], initial_carry=middle)
    equal(nnx.as_pure(rnn.carry), wanted[0])


def test_an_ensemble_is_its_members():
    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def make(rngs):
        rnn = RNN(NET, deterministic=True, rngs=rngs)
        rnn.stream((B,))
        return rnn

    ensemble = make(nnx.Rngs(0))
    run = nnx.vmap(lambda rnn, xs: rnn(xs), in_axes=(0, None))
    ys = jnp.concatenate([run(ensemble, XS[:2]), run(ensemble, XS[2:])], axis=1)
    apply = jax.jit(lambda params: NET.apply(params, NET.carry((B,), params), XS)[1])
    for k in range(3):
        close(ys[k], apply(jax.tree.map(lambda a, k=k: a[k], nnx.as_pure(ensemble.params))))
    assert not np.array_equal(ys[0], ys[1])


def test_a_checkpoint_goes_on_where_it_was_made(tmp_path):
    """In the middle of a stream, with noise: the state has the params, the carry and the noise to come."""
    ocp = pytest.importorskip("orbax.checkpoint", reason="the extra `cli` brings Orbax")
    rnn = streaming(NET, (B,))
    rnn(XS[:2])
    graph, state = nnx.split(rnn)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        fresh = nnx.eval_shape(lambda: nnx.state(streaming(NET, (B,))))
        restored = checkpointer.restore(tmp_path / "state", fresh)
    equal(nnx.merge(graph, restored)(XS[2:]), rnn(XS[2:]))


MISTAKES = [
    (lambda: RNN(lstm(3, 4), rngs=nnx.Rngs(0)), "layer is a Cell, wanted a Layer; unroll(cell) makes one"),
    (lambda: RNN(LSTM, rngs=0), "rngs is 0, wanted nnx.Rngs(seed)"),
    (lambda: RNN(LSTM, deterministic=1, rngs=nnx.Rngs(0)), "deterministic is 1, wanted True or False"),
    (
        lambda: RNN(LSTM, unroll(lstm(2, 4)).init(jax.random.key(0)), rngs=nnx.Rngs(0)),
        "params.w_x is float64[2, 16], wanted [3, 16]; layer.init(key) makes them",
    ),
    (lambda: RNN(LSTM, rngs=nnx.Rngs(0))(3), "x is 3, wanted an array [T, *batch, n_in]; jnp.asarray(x) makes one"),
    (
        lambda: RNN(LSTM, rngs=nnx.Rngs(0))(XS, initial_carry=LSTM.carry((3,))),
        "initial_carry.h is float64[3, 4], wanted [2, 4]; layer.carry((2,)) begins one for x float64[5, 2, 3]",
    ),
    (
        lambda: streaming(LSTM, (3,))(XS),
        "carry.h is float64[3, 4], wanted [2, 4]; stream((2,)) begins one for x float64[5, 2, 3], and stream(None) "
        "ends streaming",
    ),
    (
        lambda: streaming(LSTM, 3),
        "batch_shape is 3, wanted a tuple such as (8,), or () for one sequence",
    ),
    (
        lambda: streaming(bidirectional(LSTM, unroll(lstm(3, 4), reverse=True)), (2,)),
        "layer reads from the end of the sequence, wanted one that reads forward to stream",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError, match=r"^RNN: ") as error:
        call()
    assert str(error.value) == f"RNN: {message}"


def test_without_flax_one_line_says_what_is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "jaxrnn.nnx")
    monkeypatch.setitem(sys.modules, "flax", None)
    with pytest.raises(ImportError, match=r"^jaxrnn\.nnx needs `pip install flax` \(no module named 'flax'\)$"):
        importlib.import_module("jaxrnn.nnx")
