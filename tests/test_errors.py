"""What a mistake is answered with: one line that names the argument, what came, what was wanted and the way out.

Every message stands here as the user reads it, whether the call is eager or inside jit.
"""

# pyright: reportArgumentType=false
# Many of the mistakes are wrong types, which is the point.

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from tiny import N_IN, B, N, T

from jaxrnn import (
    CELLS,
    Policy,
    batch_major,
    bidirectional,
    dense,
    dropout,
    elman,
    embed,
    gru,
    last,
    length_mask,
    lstm,
    residual,
    stack,
    truncate,
    unroll,
)

LSTM = unroll(lstm(N_IN, N))
BACKWARD = unroll(lstm(N_IN, N), reverse=True)
GRU = unroll(gru(N_IN, N))
WIDE = unroll(lstm(N_IN, 8))
LSTM_16 = unroll(lstm(16, N))
DENSE = dense(N_IN, N)
EMBED = embed(6, N)
STACK = stack(LSTM, dense(N, 2))
BOTH = bidirectional(LSTM, BACKWARD)
SINGLE = jnp.float32
HOW = "layer.carry((2,), params) makes one for x float64[5, 2, 3], where axis 0 is time"


class Given(NamedTuple):
    """The arrays of a right call: T=5, B=2, N_IN=3, N=4. Under jit they are traced."""

    xs: jax.Array
    ids: jax.Array
    mask: jax.Array
    lstm: Any
    gru: Any
    wide: Any
    lstm_16: Any
    dense: Any
    embed: Any
    c: Any


def params(layer):
    """Zeros in the place of params: to compute real ones would take seconds."""
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(layer.init, jax.random.key(0)))


GIVEN = Given(
    xs=jnp.zeros((T, B, N_IN)),
    ids=jnp.zeros((T, B), int),
    mask=jnp.zeros((T, B), bool),
    lstm=params(LSTM),
    gru=params(GRU),
    wide=params(WIDE),
    lstm_16=params(LSTM_16),
    dense=params(DENSE),
    embed=params(EMBED),
    c=LSTM.carry((B,)),
)


def complaint(call, *arguments):
    """The words of the ValueError that the call raises."""
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)


MISTAKES = [
    # x
    (
        lambda a: LSTM_16.apply(a.lstm_16, LSTM_16.carry((8,)), jnp.zeros((50, 8, 12), SINGLE)),
        "lstm: x has 12 features, weights expect 16 (x: float32[50, 8, 12])",
    ),
    (
        lambda a: DENSE.apply(a.dense, (), a.xs[..., :2]),
        "dense: x has 2 features, weights expect 3 (x: float64[5, 2, 2])",
    ),
    (
        lambda a: stack(LSTM, DENSE).apply((a.lstm, a.dense), (a.c, ()), a.xs),
        "dense: x has 4 features, weights expect 3 (x: float64[5, 2, 4])",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs[0, 0]),
        "lstm: x has 1 axis, wanted [T, *batch, n_in] (x: float64[3])",
    ),
    (
        lambda a: dropout(0.1).apply((), (), a.xs[0, 0]),
        "dropout: x has 1 axis, wanted [T, *batch, n_in] (x: float64[3])",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.ids),
        "lstm: x is int64[5, 2], wanted floating point; "
        "x.astype(jnp.float32) converts, embed(...) turns whole numbers into vectors",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, None),
        "lstm: x is None, wanted an array [T, *batch, n_in]; jnp.asarray(x) makes one",
    ),
    (
        lambda a: EMBED.apply(a.embed, (), a.xs),
        "embed: x is float64[5, 2, 3], wanted whole numbers [T, *batch]",
    ),
    # carry
    (
        lambda a: LSTM.apply(a.lstm, LSTM.carry((7,)), a.xs),
        f"lstm: carry.h is float64[7, 4], wanted [2, 4]; {HOW}",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c._replace(c=a.c.c[:, :1]), a.xs),
        f"lstm: carry.c is float64[2, 1], wanted [2, 4]; {HOW}",
    ),
    (
        lambda a: LSTM.apply(a.lstm, LSTM.carry((5,)), a.xs),
        "lstm: carry.h is float64[5, 4], wanted [2, 4]; "
        "is x float64[5, 2, 3] batch first? Axis 0 is time; batch_major(layer) reads it as it is",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs[:, 0]),
        "lstm: carry.h is float64[2, 4], wanted [4]; "
        "layer.carry((), params) makes one for x float64[5, 3], where axis 0 is time",
    ),
    (
        lambda a: STACK.apply((a.lstm, a.dense), None, a.xs),
        "stack: carry is None, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    (
        lambda a: BOTH.apply((a.lstm, a.lstm), (a.c,), a.xs),
        "bidirectional: carry has 1 entries, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    (lambda a: LSTM.carry(8), "lstm: batch_shape is 8, wanted a tuple such as (8,), or () for one sequence"),
    (lambda a: STACK.carry(None), "lstm: batch_shape is None, wanted a tuple such as (8,), or () for one sequence"),
    # params
    (
        lambda a: LSTM.apply(a.wide, a.c, a.xs),
        "lstm: params.w_x is float64[3, 32], wanted [3, 16]; layer.init(key) makes them",
    ),
    (
        lambda a: STACK.apply(a.lstm, (a.c, ()), a.xs),
        "stack: params has 4 entries, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    (
        lambda a: BOTH.apply(a.lstm, (a.c, a.c), a.xs),
        "bidirectional: params has 4 entries, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    # mask and reset
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, mask=a.mask.T),
        "lstm: mask is bool[2, 5], wanted bool[5, 2], one a step and sequence as in x",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, mask=a.mask.astype(SINGLE)),
        "lstm: mask is float32[5, 2], wanted bool[5, 2], one a step and sequence as in x; "
        "jnp.asarray(mask, bool) converts",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, reset=a.mask[:, 0]),
        "lstm: reset is bool[5], wanted bool[5, 2], one a step and sequence as in x",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, reset=a.ids),
        "lstm: reset is int64[5, 2], wanted bool[5, 2], one a step and sequence as in x; "
        "jnp.asarray(reset, bool) converts",
    ),
    (
        lambda a: batch_major(LSTM).apply(a.lstm, a.c, a.xs, mask=a.mask.T),
        "batch_major: mask is bool[2, 5], wanted bool[5, 2], one a step and sequence as in x",
    ),
    (lambda a: length_mask(a.xs, T), "length_mask: lengths is float64[5, 2, 3], wanted whole numbers [*batch]"),
    (lambda a: length_mask(a.ids, -1), "length_mask: T is -1, wanted a whole number of at least 0"),
    (lambda a: length_mask(a.ids, 5.0), "length_mask: T is 5.0, wanted a whole number of at least 0"),
    # key
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, key=jax.random.split(jax.random.key(0))),
        "lstm: key is key<fry>[2], wanted jax.random.key(seed), or None for no noise",
    ),
    (
        lambda a: STACK.apply((a.lstm, a.dense), (a.c, ()), a.xs, key=a.xs),
        "stack: key is float64[5, 2, 3], wanted jax.random.key(seed), or None for no noise",
    ),
    # options
    (
        lambda a: lstm(N_IN, N, peepholes="diagnal"),
        "lstm has no peepholes 'diagnal'; it has None, diagonal, full; did you mean 'diagonal'?",
    ),
    (lambda a: lstm(N_IN, N, peepholes=True), "lstm has no peepholes True; it has None, diagonal, full"),
    (lambda a: gru(N_IN, N, "aftr"), "gru has no form 'aftr'; it has after, before, article; did you mean 'after'?"),
    (lambda a: gru(N_IN, N, None), "gru has no form None; it has after, before, article"),
    (
        lambda a: elman(N_IN, N, "tahn"),
        "elman has no activation 'tahn'; it has tanh, relu, sigmoid, identity; did you mean 'tanh'?",
    ),
    (lambda a: elman(N_IN, N, None), "elman has no activation None; it has tanh, relu, sigmoid, identity"),
    (
        lambda a: unroll(lstm(N_IN, N), "sacn"),
        "lstm has no method 'sacn'; it has auto, scan, fused; did you mean 'scan'?",
    ),
    (lambda a: unroll(lstm(N_IN, N), checkpoint=0), "lstm: checkpoint is 0, wanted a whole number of at least 1"),
    (lambda a: dropout(1), "dropout: rate is 1, wanted a number in [0, 1)"),
    (lambda a: dropout(-0.1), "dropout: rate is -0.1, wanted a number in [0, 1)"),
    (lambda a: dropout(True), "dropout: rate is True, wanted a number in [0, 1)"),
    (lambda a: dropout(float("nan")), "dropout: rate is nan, wanted a number in [0, 1)"),
    (
        lambda a: Policy(param="float23"),
        "Policy: param is 'float23', wanted a floating dtype such as jnp.bfloat16, or None",
    ),
    (
        lambda a: Policy(compute="int8"),
        "Policy: compute is 'int8', wanted a floating dtype such as jnp.bfloat16, or None",
    ),
    (lambda a: Policy(carry=3), "Policy: carry is 3, wanted a floating dtype such as jnp.bfloat16, or None"),
    (
        lambda a: Policy(accumulate=bool),
        "Policy: accumulate is <class 'bool'>, wanted a floating dtype such as jnp.bfloat16, or None",
    ),
    # layers made of layers
    (lambda a: stack(), "stack: no layers given, wanted at least one"),
    (lambda a: stack(LSTM, lstm(N, N)), "stack: layer 1 is a Cell, wanted a Layer; unroll(cell) makes one"),
    (lambda a: stack([LSTM, DENSE]), "stack: layer 0 is a list, wanted a Layer"),
    (lambda a: residual(lstm(N, N)), "residual: layer is a Cell, wanted a Layer; unroll(cell) makes one"),
    (lambda a: last(lstm(N, N)), "last: layer is a Cell, wanted a Layer; unroll(cell) makes one"),
    (lambda a: batch_major(lstm(N, N)), "batch_major: layer is a Cell, wanted a Layer; unroll(cell) makes one"),
    (
        lambda a: bidirectional(LSTM, lstm(N_IN, N)),
        "bidirectional: backward is a Cell, wanted a Layer; unroll(cell) makes one",
    ),
    (
        lambda a: bidirectional(LSTM, LSTM),
        "bidirectional: backward was built with reverse=False, wanted unroll(cell, reverse=True)",
    ),
    (
        lambda a: bidirectional(BACKWARD, BACKWARD),
        "bidirectional: forward was built with reverse=True, wanted unroll(cell, reverse=False)",
    ),
    (
        lambda a: residual(LSTM).apply(a.lstm, a.c, a.xs),
        "residual: the layer gives float64[5, 2, 4], wanted the shape it takes, [5, 2, 3]",
    ),
    (
        lambda a: batch_major(EMBED).apply(a.embed, (), a.ids[:, 0]),
        "batch_major: x has 1 axis, wanted [B, T, ...] (x: int64[5])",
    ),
    # the parts of a pytree are quoted, those of `wanted` twice
    (
        lambda a: LSTM.apply(a.lstm, None, a.xs),
        f"lstm: carry is None, wanted Carry(h=float64[2, 4], c=float64[2, 4]); {HOW}",
    ),
    (
        lambda a: LSTM.apply(a.lstm, GRU.carry((B,)), a.xs),
        f"lstm: carry is Carry(h=float64[2, 4]), wanted Carry(h=float64[2, 4], c=float64[2, 4]); {HOW}",
    ),
    (
        lambda a: LSTM.apply(a.gru, a.c, a.xs),
        "lstm: params is Params(w_x=float64[3, 12], w_h=float64[4, 12], b=float64[12], b_n=float64[4]), "
        "wanted Params(w_x=float64[3, 16], w_h=float64[4, 16], b=float64[16], peepholes=None); "
        "layer.init(key) makes them",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, key=0),
        "lstm: key is 0, wanted jax.random.key(seed), or None for no noise",
    ),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, mask=True),
        "lstm: mask is True, wanted bool[5, 2], one a step and sequence as in x; jnp.asarray(mask, bool) converts",
    ),
    # the owner is called "layer"
    (
        lambda a: DENSE.apply(a.dense, (), a.xs, mask=a.mask.T),
        "dense: mask is bool[2, 5], wanted bool[5, 2], one a step and sequence as in x",
    ),
    (
        lambda a: dropout(0.1).apply((), (), a.xs, key=a.xs),
        "dropout: key is float64[5, 2, 3], wanted jax.random.key(seed), or None for no noise",
    ),
    (
        lambda a: EMBED.apply(a.embed, (), None),
        "embed: x is None, wanted an array [T, *batch]; jnp.asarray(x) makes one",
    ),
    # accepted in silence
    (
        lambda a: LSTM.apply(a.lstm, jax.tree.map(lambda c: c.astype(int), a.c), a.xs),
        f"lstm: carry.h is int64[2, 4], wanted floating point; {HOW}",
    ),
    (
        lambda a: DENSE.apply(a.dense._replace(b=a.dense.b[:1]), (), a.xs),
        "dense: params.b is float64[1], wanted [4]; layer.init(key) makes them",
    ),
    (
        lambda a: bidirectional(stack(LSTM), stack(LSTM)),
        "bidirectional: backward was built with reverse=False, wanted unroll(cell, reverse=True)",
    ),
    # answered by another
    (
        lambda a: batch_major(LSTM).apply(a.lstm, LSTM.carry(()), a.xs[:, 0]),
        "batch_major: x has 2 axes, wanted [B, T, n_in] (x: float64[5, 3])",
    ),
    (lambda a: LSTM.init(0), "lstm: key is 0, wanted jax.random.key(seed)"),
    (lambda a: LSTM.carry((2.0,)), "lstm: batch_shape is (2.0,), wanted a tuple such as (8,), or () for one sequence"),
    (
        lambda a: STACK.carry((B,), ()),
        "stack: params has 0 entries, wanted a tuple of 2; layer.init and layer.carry make them",
    ),
    (
        lambda a: DENSE.apply(None, (), a.xs),
        "dense: params is None, wanted Dense(w=float64[3, 4], b=float64[4]); layer.init(key) makes them",
    ),
    (
        lambda a: unroll(lstm(N_IN, N), checkpoint="sqr"),
        "lstm: checkpoint is 'sqr', wanted a number of steps, 'sqrt' or None",
    ),
    (lambda a: unroll(LSTM), "unroll: cell is a Layer, wanted a Cell such as lstm(n_in, n)"),
    (
        lambda a: lstm(N_IN, N, policy="bfloat16"),
        "lstm: policy is 'bfloat16', wanted a Policy such as Policy(compute=jnp.bfloat16)",
    ),
    (lambda a: lstm(N_IN, N, forget_bias=float("nan")), "lstm: forget_bias is nan, wanted a number"),
    (lambda a: unroll(lstm(N_IN, N), reverse="no"), "lstm: reverse is 'no', wanted True or False"),
    (lambda a: LSTM.carry((-1,)), "lstm: batch_shape is (-1,), wanted a tuple such as (8,), or () for one sequence"),
    (
        lambda a: LSTM.apply(a.lstm, a.c, a.xs, mask=a.ids[0]),
        "lstm: mask is int64[2], wanted bool[5, 2], one a step and sequence as in x; length_mask(lengths, T) makes one",
    ),
    (
        lambda a: last(batch_major(LSTM)),
        "last: layer is batch_major(...), wanted one with time first; last goes inside batch_major",
    ),
    (
        lambda a: DENSE.apply(a.dense, (), a.xs, reset=a.mask.T),
        "dense: reset is bool[2, 5], wanted bool[5, 2], one a step and sequence as in x",
    ),
    (
        lambda a: DENSE.apply(a.dense, None, a.xs),
        "dense: carry is None, wanted (); layer.carry(batch_shape) makes one",
    ),
    (
        lambda a: bidirectional(last(LSTM), BACKWARD).apply((a.lstm, a.lstm), (a.c, a.c), a.xs),
        "bidirectional: the layers give float64[2, 4] and float64[5, 2, 4], wanted the same shape but for the features",
    ),
    (
        lambda a: DENSE.apply(a.dense, (), a.ids, mask=a.mask),
        "dense: x is int64[5, 2], wanted floating point; "
        "x.astype(jnp.float32) converts, embed(...) turns whole numbers into vectors",
    ),
    (
        lambda a: DENSE.carry((B,), a.embed),
        "dense: params is Embedding(w=float64[6, 4]), wanted Dense(w=float64[3, 4], b=float64[4]); "
        "layer.init(key) makes them",
    ),
    (
        lambda a: truncate(LSTM, 2).apply("mine.npz", a.c, a.xs),
        "truncate: params is 'mine.npz', wanted arrays; layer.init(key) makes them",
    ),
    (lambda a: lstm(N_IN, N, forget_bias="1"), "lstm: forget_bias is '1', wanted a number"),
    (lambda a: length_mask(None, T), "length_mask: lengths is None, wanted whole numbers [*batch]"),
]

mistakes = pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])


@mistakes
def test_a_mistake_is_answered(call, message):
    assert complaint(call, GIVEN) == message


@mistakes
def test_a_mistake_under_jit_is_answered_the_same(call, message):
    assert complaint(jax.jit(call), GIVEN) == message


@pytest.mark.parametrize("outer", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_stack_tells_the_place_of_the_layer_that_complains(outer):
    """Beside the layer's own message, and for each of the stacks it stands in, the innermost first."""
    inner = stack(LSTM, dense(N, N), DENSE)
    layer = stack(inner, dense(N, 2))
    given = params(layer)
    with pytest.raises(ValueError, match="dense: x has 4 features, weights expect 3 ") as error:
        outer(layer.apply)(given, layer.carry((B,)), GIVEN.xs)
    notes = [note for note in error.value.__notes__ if note.startswith("stack")]  # JAX adds one of its own
    assert notes == ["stack: in layer 2, dense(n_in=3, n=4)", "stack: in layer 0, a stack"]
    with pytest.raises(ValueError, match=r"dense: params\.w is ") as error:
        layer.carry((B,), (given[0], GIVEN.dense))
    assert error.value.__notes__ == ["stack: in layer 1, dense(n_in=4, n=2)"]


SIZED = {**{name: (cell, ("n_in", "n")) for name, cell in CELLS.items()}, "dense": (dense, ("n_in", "n"))}
SIZED["embed"] = (embed, ("vocab", "n"))


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "4", None], ids=repr)
@pytest.mark.parametrize("name", SIZED)
def test_a_size_is_a_whole_number_of_at_least_1(name, size):
    make, sizes = SIZED[name]
    owner = make(3, 4).spec.name
    for wrong in sizes:
        answer = complaint(lambda: make(**{**dict.fromkeys(sizes, 3), wrong: size}))
        assert answer == f"{owner}: {wrong} is {size!r}, wanted a whole number of at least 1"
