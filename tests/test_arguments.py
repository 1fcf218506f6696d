"""Every argument of every public function, given something that is not of its kind: one line that names the argument,
what came and what was wanted.

The table is held against the signatures, so that a new function or argument cannot be forgotten. What single functions
refuse beyond that stands in their own tests, and what layers refuse in test_errors.py.
"""

import inspect

import jax
import jax.numpy as jnp
import pytest
from tiny import N_IN, B, N, T

import jaxrnn
from jaxrnn import CELLS, attend, dense, embed, gru, lstm, mingru, stack, unroll, weight_drop
from jaxrnn.methods import serving

NOUNS = {
    "CELLS",
    "METHODS",
    "Cell",
    "EncoderDecoder",
    "Gated",
    "Layer",
    "Linear",
    "Spec",
}  # tables and tuples: nothing to refuse
FUNCTIONS = [name for name in jaxrnn.__all__ if name not in NOUNS]

KEY = jax.random.key(0)
LAYER = unroll(gru(N_IN, N))
WRITER = stack(embed(6, N), unroll(gru(N, N)), dense(N, 6))
ATTENTIVE = unroll(attend(gru(N_IN + N, N), "additive", N))
IDS = jnp.zeros((T, B), int)
XS = jnp.zeros((T, B, N_IN))
LOGITS = jnp.zeros((T, B, 6))
STARTS = IDS[0]


def params(layer):
    """Zeros in the place of params: to compute real ones would take seconds."""
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(layer.init, KEY))


CELL = {"cell": lstm(N_IN, N)}
WRITING = {"params": params(WRITER), "carry": WRITER.carry((B,))}
DECODING = {"decoder": WRITER, **WRITING, "starts": STARTS, "length": 3, "stop": 1}

# The arguments that a right call has, but for those with a default.
RIGHT = {
    **{name: {"n_in": N_IN, "n": N} for name in CELLS},
    "lstm_variant": {"n_in": N_IN, "n": N, "variant": "NP"},
    **dict.fromkeys(
        ("learned_carry", "zoneout", "variational_dropout", "clip_gradient", "chrono", "initialize", "unroll"), CELL
    ),
    **{name: {"layer": LAYER} for name in ("batch_major", "last", "residual")},
    "attend": {"cell": gru(N_IN + N, N), "attention": "additive", "n_memory": N},
    "bind": {"params": params(ATTENTIVE), "memory": jnp.zeros((3, B, N))},
    "bidirectional": {"forward": LAYER, "backward": unroll(gru(N_IN, N), reverse=True)},
    "ctc_greedy": {"logits": LOGITS},
    "ctc_loss": {"logits": LOGITS, "labels": IDS},
    "ctc_prefix_beam": {"logits": LOGITS},
    "dense": {"n_in": N_IN, "n": N},
    "embed": {"vocab": 6, "n": N},
    "encode": {
        "encoder": unroll(gru(N_IN, N)),
        "decoder": ATTENTIVE,
        "params": (params(LAYER), params(ATTENTIVE)),
        "sources": XS,
    },
    "generate": {"layer": WRITER, **WRITING, "prompt": IDS, "length": 3, "key": KEY},
    "greedy_search": DECODING,
    "beam_search": DECODING,
    "length_mask": {"lengths": jnp.full(B, T), "T": T},
    "pick": {"logits": LOGITS, "key": KEY},
    "teacher_forcing": {"decoder": WRITER, **WRITING, "targets": IDS, "starts": STARTS},
    "truncate": {"layer": LAYER, "every": 2},
    "weight_drop": {"layer": LAYER, "rate": 0.1},
}
RIGHT["clip_gradient"] = {**CELL, "limit": 1.0}
RIGHT["chrono"] = {**CELL, "longest": 9}

ATLEAST_0, ATLEAST_1 = "wanted a whole number of at least 0", "wanted a whole number of at least 1"
RATE = "wanted a number in [0, 1)"
A_CELL = "wanted a Cell such as lstm(n_in, n)"
LENGTHS = (jnp.full(3, T), "{f}: {a} is int64[3], wanted [2], one a sequence")
STEPS = (XS, "{f}: {a} is float64[5, 2, 3], wanted bool[5, 2], one a step and sequence as in x; ")

# An argument that means the same everywhere: (a wrong value, what is answered).
EVERYWHERE = {
    "n_in": (-1, "{f}: n_in is -1, " + ATLEAST_1),
    "n": (2.5, "{f}: n is 2.5, " + ATLEAST_1),
    "n_proj": (0, "{f}: n_proj is 0, " + ATLEAST_1),
    "vocab": (jnp.zeros(()), "{f}: vocab is float64[], " + ATLEAST_1),
    "policy": (jnp.float32, "{f}: policy is <class 'jax.numpy.float32'>, wanted a Policy such as "
               "Policy(compute=jnp.bfloat16)"),
    "forget_bias": (None, "{f}: forget_bias is None, wanted a number"),
    "eps": (0.0, "{f}: eps is 0.0, wanted a number above 0"),
    "peepholes": ("half", "{f} has no peepholes 'half'; it has None, diagonal, full"),
    "activation": (3, "{f} has no activation 3; it has tanh, relu, sigmoid, identity"),
    "form": (XS, "{f} has no form float64[5, 2, 3]; it has after, before, article"),
    "cell": (LAYER, "{f}: cell is a Layer, " + A_CELL),
    "layer": (None, "{f}: layer is a NoneType, wanted a Layer"),
    "rate": (XS, "{f}: rate is float64[5, 2, 3], " + RATE),
    "decoder": (gru(N, N), "{f}: decoder is a Cell, wanted a Layer; unroll(cell) makes one"),
    "params": ("mine.npz", "{f}: params is 'mine.npz', wanted arrays; layer.init(key) makes them"),
    "carry": (1, "{f}: carry is 1, wanted arrays; layer.carry(batch_shape, params) makes one"),
    "starts": (1, "{f}: starts is 1, wanted an array [*batch]; jnp.asarray(starts) makes one"),
    "length": (-1, "{f}: length is -1, " + ATLEAST_0),
    "stop": (None, "{f}: stop is None, " + ATLEAST_0),
    "width": (0, "{f}: width is 0, " + ATLEAST_1),
    "blank": (6, "{f}: blank is 6, wanted one of the 6 features of logits"),
    "logits": (LOGITS[0, 0], "{f}: logits has 1 axis, wanted [T, *batch, n] (logits: float64[6])"),
    "lengths": LENGTHS,
    "label_lengths": LENGTHS,
    "temperature": (-1, "{f}: temperature is -1, wanted 0 (the likeliest) or more"),
    "top_k": (0.5, "{f}: top_k is 0.5, " + ATLEAST_1),
    "top_p": (XS, "{f}: top_p is float64[5, 2, 3], wanted a number in (0, 1], or None"),
    "key": (7, "{f}: key is 7, wanted jax.random.key(seed), or None for no noise"),
    "mask": (STEPS[0], STEPS[1] + "jnp.asarray(mask, bool) converts"),
}  # fmt: skip
DTYPE = "wanted a floating dtype such as jnp.bfloat16, or None"
OWN = {
    "Policy": {
        "param": (XS, "Policy: param is float64[5, 2, 3], " + DTYPE),
        "compute": (int, "Policy: compute is <class 'int'>, " + DTYPE),
        "carry": (jnp.float32(1), "Policy: carry is float32[], " + DTYPE),
        "accumulate": ("double precision", "Policy: accumulate is 'double precision', " + DTYPE),
    },
    "attend": {
        "cell": (LAYER, "attend: cell is a Layer, wanted a Cell such as gru(n_in + n_memory, n)"),
        "attention": (None, "attend has no attention None; it has additive, general, dot"),
        "n_memory": ("4", "attend: n_memory is '4', " + ATLEAST_1),
    },
    "bidirectional": {
        "forward": (3, "bidirectional: forward is a int, wanted a Layer"),
        "backward": (lstm(N_IN, N), "bidirectional: backward is a Cell, wanted a Layer; unroll(cell) makes one"),
    },
    "bind": {
        "params": (None, "bind: params is None, wanted those of a layer with attend(cell, ...)"),
        "memory": (IDS, "bind: memory is int64[5, 2], wanted floating point; memory.astype(jnp.float32) converts, "
                   "embed(...) turns whole numbers into vectors"),
        "mask": (IDS, "bind: mask is int64[5, 2], wanted bool[3, 2], one a step and sequence as in memory; "
                 "length_mask(lengths, T) makes one"),
    },
    "chrono": {"longest": (2, "chrono: longest is 2, wanted a whole number of at least 3")},
    "clip_gradient": {"limit": (-1.0, "clip_gradient: limit is -1.0, wanted a number above 0")},
    "ctc_loss": {"labels": (LOGITS, "ctc_loss: labels is float64[5, 2, 6], wanted whole numbers [N, *batch]")},
    "encode": {
        "encoder": (None, "encode: encoder is a NoneType, wanted a Layer"),
        "params": (None, "encode: params is None, wanted a tuple of 2; layer.init and layer.carry make them"),
        "sources": (XS > 0, "encode: sources is bool[5, 2, 3], wanted floating point; "
                    "sources.astype(jnp.float32) converts, embed(...) turns whole numbers into vectors"),
        "mask": (XS, "gru: mask is float64[5, 2, 3], wanted bool[5, 2], one a step and sequence as in x; "
                 "jnp.asarray(mask, bool) converts"),
        "bridge": (3, "encode: bridge is 3, wanted a function from carry to carry, or None"),
        "key": (7, "gru: key is 7, wanted jax.random.key(seed), or None for no noise"),
    },
    "generate": {"prompt": (LOGITS, "generate: prompt is float64[5, 2, 6], wanted whole numbers [T, *batch]")},
    "beam_search": {"penalty": (float("nan"), "beam_search: penalty is nan, wanted a number")},
    "initialize": {"initializers": (0, "initialize has no param 'initializers'; it has w_x, w_h, b")},
    "irnn": {"scale": (None, "irnn: scale is None, wanted a number")},
    "length_mask": {
        "lengths": ([None], "length_mask: lengths is [None], wanted whole numbers [*batch]"),
        "T": (IDS, "length_mask: T is int64[5, 2], " + ATLEAST_0),
    },
    "lru": {
        "r_min": (None, "lru: r_min is None, wanted a number"),
        "r_max": (1.0, "lru: r_min and r_max are 0.0 and 1.0, wanted 0 <= r_min < r_max < 1"),
        "max_phase": (-1, "lru: max_phase is -1, wanted a number above 0"),
    },
    "lstm97": {
        "blocks": (0, "lstm97: blocks is 0, " + ATLEAST_1),
        "bias": ("some", "lstm97 has no bias 'some'; it has all, gates, None"),
        "input_bias": ("1", "lstm97: input_bias is '1', wanted a number"),
        "output_bias": ((1.0,), "lstm97: output_bias has 1 numbers, wanted one for each of 4 blocks"),
    },
    "lstm2000": {
        "blocks": (3, "lstm2000: n is 4, wanted a multiple of blocks, which is 3"),
        "input_bias": ((1.0, 2.0), "lstm2000: input_bias has 2 numbers, wanted one for each of 4 blocks"),
        "forget_bias": ("1", "lstm2000: forget_bias is '1', wanted a number"),
        "output_bias": ("1", "lstm2000: output_bias is '1', wanted a number"),
    },
    "lstm_projected": {
        "peepholes": ("full", "lstm_projected has no peepholes 'full'; it has None, diagonal"),
    },
    "lstm_variant": {
        "variant": ("LSTM", "lstm_variant has no variant 'LSTM'; it has NIG, NFG, NOG, NIAF, NOAF, CIFG, NP, FGR"),
    },
    "mgu": {"form": (None, "mgu has no form None; it has before, after")},
    "pick": {"logits": (IDS, "pick: logits is int64[5, 2], wanted floating point; logits.astype(jnp.float32) "
                        "converts, embed(...) turns whole numbers into vectors")},
    "slstm": {"forget": (1.0, "slstm has no forget 1.0; it has exponential, sigmoid")},
    "stack": {"layers": (lstm(N_IN, N), "stack: layer 0 is a Cell, wanted a Layer; unroll(cell) makes one")},
    "teacher_forcing": {
        "params": (1, "stack: params is 1, wanted a tuple of 3; layer.init and layer.carry make them"),
        "carry": (1, "stack: carry is 1, wanted a tuple of 3; layer.init and layer.carry make them"),
        "targets": (LOGITS, "teacher_forcing: targets is float64[5, 2, 6], wanted whole numbers [T, *batch]"),
        "mask": (XS, "embed: mask is float64[5, 2, 3], wanted bool[5, 2], one a step and sequence as in x; "
                 "jnp.asarray(mask, bool) converts"),
        "key": (7, "stack: key is 7, wanted jax.random.key(seed), or None for no noise"),
    },
    "truncate": {"every": (2.0, "truncate: every is 2.0, " + ATLEAST_1)},
    "unroll": {
        "method": ("magic", "lstm has no method 'magic'; it has " + ", ".join(["auto", *serving(lstm(N_IN, N))])),
        "reverse": (1, "lstm: reverse is 1, wanted True or False"),
        "checkpoint": (-1, "lstm: checkpoint is -1, " + ATLEAST_1),
    },
    "variational_dropout": {
        "inputs": (None, "variational_dropout: inputs is None, " + RATE),
        "recurrent": (1.0, "variational_dropout: recurrent is 1.0, " + RATE),
        "outputs": (-0.1, "variational_dropout: outputs is -0.1, " + RATE),
    },
    "weight_drop": {"names": ("w_h", "weight_drop: names is 'w_h', wanted a tuple of names among w_x, w_h, b, b_n")},
    "zoneout": {"h": (1, "zoneout: h is 1, " + RATE), "c": (IDS, "zoneout: c is int64[5, 2], " + RATE)},
}  # fmt: skip


def signature(name):
    return inspect.signature(getattr(jaxrnn, name)).parameters


def called(name, argument, value):
    """The call with one argument wrong."""
    function = getattr(jaxrnn, name)
    if signature(name)[argument].kind is inspect.Parameter.VAR_POSITIONAL:
        return function(value)
    return function(**{**RIGHT.get(name, {}), argument: value})


@pytest.mark.parametrize(("name", "argument"), [(name, a) for name in FUNCTIONS for a in signature(name)])
def test_every_argument_is_refused_by_its_name(name, argument):
    wrong, message = OWN.get(name, {}).get(argument) or EVERYWHERE[argument]
    with pytest.raises(ValueError) as error:  # noqa: PT011
        called(name, argument, wrong)
    assert str(error.value) == message.format(f=name, a=argument)


def test_no_row_is_left_over():
    assert OWN.keys() <= set(FUNCTIONS)
    assert all(OWN[name].keys() <= signature(name).keys() for name in OWN)
    assert EVERYWHERE.keys() <= {a for name in FUNCTIONS for a in signature(name)}


def test_weights_that_no_layer_has_are_not_dropped_in_silence():
    for layer, has in ((unroll(mingru(N_IN, N)), "w_x, b"), (dense(N_IN, N), "w, b")):
        with pytest.raises(ValueError, match="weight_drop: names is") as error:
            weight_drop(layer, 0.5)
        assert str(error.value) == f"weight_drop: names is ('w_h',), wanted a tuple of names among {has}"
