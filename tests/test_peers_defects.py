"""What is wrong elsewhere, by the threads of other libraries and by reading and running them, is right here.

A test a defect. ELSEWHERE lists those that the laws, or the tests of one module, answer already. Versions read: flax
0.12.8 (linen, nnx), Keras 3.15.1, jax.experimental.rnn of jax 0.10.2, torch 2.13, rnn-jax 0.0.2. No peer is needed.
"""

import functools
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from features import missing
from jax.extend.core import jaxprs_in_params
from tiny import DERIVED, N_IN, B, N, T, close, loss

from jaxrnn import (
    CELLS,
    Policy,
    bidirectional,
    gru,
    length_mask,
    lstm,
    stack,
    unroll,
    variational_dropout,
)

KEY = jax.random.key(2)
cells = pytest.mark.parametrize("name", CELLS)

ELSEWHERE = {
    "linen gives the last padded state for length 0, and cuDNN fails (jax#17966)": (
        "test_laws.py::test_length_0_gives_the_carry_back"
    ),
    "cuDNN: NaN gradients with padding (jax#15183)": (
        "test_laws.py::test_nan_in_padding_reaches_neither_loss_nor_gradients"
    ),
    "cuDNN: other values with padding than without (jax#15183)": (
        "test_laws.py::test_a_padded_sequence_equals_the_shorter_one"
    ),
    "linen: padding read first by the reverse direction (flax#2170)": (
        "test_layers.py::test_a_batch_equals_each_sequence_alone_cut_and_split"
    ),
    "linen, jax: a mask declined, lengths alone (flax#3507, jax#18664)": "test_laws.py::test_equals_the_oracle",
    "TorchRL: states zeroed where no episode ended (pytorch/rl#3711)": (
        "test_laws.py::test_a_sequence_may_be_cut_where_masks_and_resets_are"
    ),
    "TorchRL: sequences split and padded at every reset (pytorch/rl#2325)": "test_laws.py::test_a_reset_starts_afresh",
    "linen, nnx: SimpleCell(dtype=bfloat16) fails in the scan, the others go back to float32": (
        "test_laws.py::test_the_carry_keeps_its_shape_and_dtype"
    ),
    "Keras on a GPU: mixed bfloat16 fails when lowered": (
        "test_precision.py::test_values_and_gradients_stand_within_the_rounding"
    ),
    "Keras: half-precision states handed on (keras#20605)": ("test_laws.py::test_the_carry_keeps_its_shape_and_dtype"),
    "rnn-jax: the forget bias stands in the block of g": ("test_layers.py::test_the_forget_bias_begins_in_f_alone"),
    "rnn-jax: the GRU's candidate reuses the input gate's weights and gate": (
        "test_laws.py::test_equals_the_oracle[gru]"
    ),
    "cuDNN in JAX and in torch: no second derivatives (pytorch#5261, #134901)": (
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says"
    ),
    "cuDNN in JAX, torch's GRU: no vmap (pytorch#134606)": (
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says"
    ),
    "cuDNN in JAX: dropout of one fixed seed": "test_layers.py::test_dropout_draws_otherwise_for_another_key",
    "cuDNN in JAX: not exportable; torch: packed sequences under the compiler (pytorch#112044)": (
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says"
    ),
    "jax#13359: a scanned LSTM differs from its single steps": "test_laws.py::test_a_sequence_equals_its_single_steps",
    "Keras: no faster on several devices (keras#20998); ours sum gradients once": (
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says"
    ),
    "linen: wrong shapes in two directions go unnoticed (flax#4513)": "test_errors.py::test_a_mistake_is_answered",
    "torch's two biases (flax#3746)": "interop/test_torch.py::test_values_and_gradients_are_those_of_torch",
    "MIOpen's block order is not cuDNN's (jax#34269); ours is held to cuDNN's reference": (
        "interop/test_cudnn.py::test_values_and_gradients_are_those_of_its_reference"
    ),
    "jax2onnx: a reversed scan cannot go to ONNX (keras#22443)": (
        "interop/test_onnx.py::test_values_and_final_states_are_those_of_onnxruntime"
    ),
    "jax#2509, #15041: scan has no axis but the first, and batches often stand there": (
        "test_layers.py::test_batch_major_swaps_everything_but_the_carry"
    ),
    "haste: zoneout on h alone (haste#29)": (
        "test_wrappers.py::test_zoneout_keeps_some_states_as_they_were_and_steps_the_others"
    ),
}


@pytest.mark.parametrize("defect", ELSEWHERE)
def test_the_test_that_answers_it_exists(defect):
    assert missing(ELSEWHERE[defect]) is None


def drawn(layer, xs_shape):
    """(params, carry, xs) with normal numbers in every leaf, by NumPy: nothing to compile."""
    numbers = np.random.default_rng(0)
    shapes = jax.eval_shape(layer.init, KEY), jax.eval_shape(lambda: layer.carry(xs_shape[1:-1]))
    xs = jax.ShapeDtypeStruct(xs_shape, jnp.float64)
    return jax.tree.map(lambda a: jnp.asarray(numbers.normal(size=a.shape) / 2, a.dtype), (*shapes, xs))


# Lengths and padding, in the network of most threads: two layers of two directions


LENGTHS = ((T, 0), (1, 3))


@functools.cache
def deep():
    """(arguments, f) with f(params, carry, xs, mask) -> ((loss, (carry, ys)), gradients), compiled once."""
    both = [bidirectional(unroll(lstm(n_in, 2)), unroll(lstm(n_in, 2), reverse=True)) for n_in in (N_IN, 4)]
    layer = stack(*both)
    params, carry, xs = drawn(layer, (T, 2, 2, N_IN))

    def f(params, carry, xs, mask):
        return loss(layer, params, carry, xs, mask), layer.apply(params, carry, xs, mask=mask)

    compiled = jax.jit(jax.value_and_grad(f, (0, 1, 2), has_aux=True))
    return (params, carry, xs, length_mask(jnp.array(LENGTHS), T)), compiled


@functools.cache
def padded_with(number):
    """What `deep` gives when padding is filled with a number."""
    (params, carry, xs, mask), f = deep()
    return f(params, carry, jnp.where(mask[..., None], xs, number), mask)


def test_length_0_among_others_gives_its_carry_back():
    """linen and nnx give the state after all the padding; jax.experimental.rnn fails (jax#17966)."""
    (_, carry, _, _), _ = deep()
    (_, (after, ys)), _ = padded_with(0.0)
    close(jax.tree.map(lambda a: a[0, 1], after), jax.tree.map(lambda a: a[0, 1], carry), 0)
    assert not ys[:, 0, 1].any()


def test_lengths_may_have_two_batch_axes():
    """linen and nnx raise when lengths of two batch axes meet return_carry; padding must not be read backwards."""
    (params, carry, xs, _), _ = deep()
    (_, (after, ys)), _ = padded_with(0.0)
    params, carry, xs, after, ys = jax.tree.map(np.asarray, (params, carry, xs, after, ys))
    for k in np.ndindex(2, 2):
        length = LENGTHS[k[0]][k[1]]
        hs = xs[:length, *k]
        for p, c, end in zip(params, carry, after, strict=True):
            ways = [
                oracle.run(oracle.ORACLES["lstm"], p[way], [a[k] for a in c[way]], hs, reverse=bool(way))
                for way in range(2)
            ]
            close([[a[k] for a in way] for way in end], [list(way[0]) for way in ways])
            hs = np.concatenate([way[1] for way in ways], axis=-1)
        close(ys[:length, *k], hs)


def test_nan_in_padding_gives_no_nan_in_any_gradient():
    """jax.experimental.rnn: gradients were NaN, and values others, where sequences are padded (jax#15183)."""
    close(padded_with(jnp.nan), padded_with(0.0), DERIVED)


def test_the_backward_half_is_not_reversed_under_dropout():
    """Keras's Bidirectional(LSTM(dropout>0)) on a GPU flips the backward half's ys a second time."""
    forward, backward = (variational_dropout(lstm(N_IN, N), inputs=0.2, recurrent=0.2) for _ in range(2))
    layer = bidirectional(unroll(forward), unroll(backward, reverse=True))
    params, carry, xs = drawn(layer, (T, B, N_IN))
    at = 3
    f = jax.jit(lambda xs: layer.apply(params, carry, xs, key=KEY)[1])
    moved = np.asarray(f(xs)) != np.asarray(f(xs.at[at].set(9.0)))
    assert [half.any() for half in moved[..., N:]] == [t <= at for t in range(T)]
    assert [half.any() for half in moved[..., :N]] == [t >= at for t in range(T)]


# Parameters as they begin


def test_the_gru_has_a_bias_inside_the_reset():
    """nnx.GRUCell names b_hn and has none, so that no weights of torch, cuDNN or linen can be its own."""
    layer = unroll(gru(N_IN, N))
    params, carry, xs = drawn(layer, (1, B, N_IN))

    def h(r, b_n, outside=0.0):
        """The state when the bias of r is +-100, with more on b_n, or on the bias that stands outside."""
        more = np.repeat([100.0 * r, 0.0, outside], N)
        return np.asarray(layer.apply(params._replace(b=params.b + more, b_n=params.b_n + b_n), carry, xs)[0].h)

    close(h(-1, 0.5), h(-1, 0.0))  # r = 0 takes h W_hn + b_n away
    close(h(1, 0.5), h(1, 0.0, outside=0.5))  # r = 1 leaves it there
    assert (h(1, 0.5) != h(1, 0.0)).all()


def test_every_gate_begins_orthogonal():
    """nnx.OptimizedLSTMCell, nnx.GRUCell and Keras draw one orthogonal [n, 4n], of which no gate's own block is."""
    small = ("lstm97", "lstm2000")  # uniform, as in their papers
    shapes = {name: jax.eval_shape(make(N_IN, N).init, KEY) for name, make in CELLS.items() if name not in small}
    square = [k for k, p in shapes.items() if "w_h" in p._fields and p.w_h.shape in [(N, m * N) for m in range(1, 5)]]
    assert {"elman", "lstm", "gru", "mgu", "lstm_fgr", "slstm"} <= set(square)
    begun = jax.jit(lambda key: {name: CELLS[name](N_IN, N).init(key).w_h for name in square})(KEY)
    for name, w_h in begun.items():
        for block in np.split(np.asarray(w_h), w_h.shape[1] // N, axis=1):
            np.testing.assert_allclose(block @ block.T, np.eye(N), atol=1e-12, err_msg=name)


def test_bfloat16_params_begin():
    """linen and nnx: param_dtype=bfloat16 raises NotImplementedError, for want of a QR in that dtype."""
    policy = Policy(param=jnp.bfloat16)
    begin = jax.jit(lambda key: {name: make(N_IN, N, policy=policy).init(key) for name, make in CELLS.items()})
    lowered = begin.lower(KEY)  # where a missing QR is noticed
    assert {leaf.dtype for leaf in jax.tree.leaves(lowered.out_info)} == {jnp.dtype(jnp.bfloat16)}


# What the loop holds


def jaxpr_of(layer, n_in, steps=T):
    shapes = jax.eval_shape(layer.init, KEY), jax.eval_shape(lambda: layer.carry((B,)))
    xs = jax.ShapeDtypeStruct((steps, B, n_in), jnp.float32)
    return jax.make_jaxpr(lambda *a: layer.apply(*a))(*shapes, xs)


def products(jaxpr):
    """The matrix products of a jaxpr and of all those in it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@cells
def test_the_products_with_x_are_one_for_all_steps(name):
    """Every gate's product with x is taken at each step by linen, nnx, haiku, equinox and Keras's LSTM."""
    found = products(jaxpr_of(unroll(CELLS[name](7, N)), 7).jaxpr)
    reading = [v.aval for equation in found for v in equation.invars if v.aval.shape[-1] == 7]  # nothing else is 7 wide
    assert [x.size for x in reading] == [T * B * 7]


@cells
def test_products_of_bfloat16_are_summed_in_float32(name):
    """flax#5254: the products of recurrent cells have no preferred_element_type."""
    policy = Policy(param=jnp.float32, compute=jnp.bfloat16)
    found = list(products(jaxpr_of(unroll(CELLS[name](N_IN, N, policy=policy)), N_IN).jaxpr))
    assert found
    for equation in found:
        assert {v.aval.dtype for v in equation.invars} == {jnp.dtype(jnp.bfloat16)}
        assert equation.outvars[0].aval.dtype == jnp.float32


@cells
def test_no_array_hides_in_a_layer(name):
    """flax#4871: arrays that a scanned function closes over are kept for every step, and memory explodes."""
    assert not jaxpr_of(unroll(CELLS[name](N_IN, N)), N_IN).consts


def size(jaxpr):
    """How many operations are compiled: those of a loop as often as an iteration has steps."""
    return sum(1 + e.params.get("unroll", 1) * sum(map(size, jaxprs_in_params(e.params))) for e in jaxpr.eqns)


def test_the_program_does_not_grow_with_time():
    """jax#2777, #3596: an unrolled loop takes minutes to compile."""
    layer = stack(unroll(lstm(N_IN, N)), unroll(gru(N, N), reverse=True))
    short, long = (size(jaxpr_of(layer, N_IN, steps).jaxpr) for steps in (10**6, 10**7))  # both in chunks
    assert long <= short


def test_checkpointing_keeps_what_it_says():
    """jax#15906: the backward pass of a scan keeps every step's intermediates."""

    def kept(steps, checkpoint):
        """How many numbers the backward pass needs from the forward one."""
        layer = unroll(lstm(N_IN, N), checkpoint=checkpoint)
        shapes = jax.eval_shape(layer.init, KEY), jax.eval_shape(lambda: layer.carry((B,)))
        xs = jax.ShapeDtypeStruct((steps, B, N_IN), jnp.float64)
        back = jax.eval_shape(lambda *a: jax.vjp(layer.apply, *a)[1], *shapes, xs)
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(back))

    inputs, carry = B * N_IN, B * 2 * N
    assert kept(400, "sqrt") - kept(100, "sqrt") <= 300 * inputs + 10 * carry  # 20 carries for 10, and xs
    assert kept(400, None) - kept(100, None) > 300 * (inputs + 3 * carry)


# What a user meets


def test_the_carry_has_names_and_a_bare_pair_is_refused():
    """flax#4124: is it (c, h) or (h, c)? A pair the wrong way round has the right shapes."""
    layer = unroll(lstm(N_IN, N))
    params, carry, xs = drawn(layer, (T, B, N_IN))
    assert carry._fields == ("h", "c")
    with pytest.raises(ValueError, match="wanted Carry"):
        layer.apply(params, (carry.c, carry.h), xs)


QUIET = """
import sys, warnings, jax
before, filters = dict(jax.config.values), list(warnings.filters)
import jaxrnn
[getattr(jaxrnn, name) for name in jaxrnn.__all__]
assert dict(jax.config.values) == before and warnings.filters == filters
assert "torch" not in sys.modules
"""


def test_importing_it_changes_no_setting_of_jax():
    """rnn-jax sets jax_debug_nans for the whole process, and needs torch."""
    subprocess.run([sys.executable, "-c", QUIET], check=True)
