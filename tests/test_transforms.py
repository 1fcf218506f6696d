"""What JAX does to layers: the contract of transformations.py, layers of layers, donated buffers, other processes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P
from tiny import DERIVED, FEW, N_IN, TESTED, B, N, close, example, loss, marks, pairs_of, randomized
from transformations import ALONG_BATCH, CHECKS, assert_reduces_outside_loops, sharded_loss_and_grads

from jaxrnn import bidirectional, dense, gru, last, learned_carry, length_mask, lstm, stack, unroll

BOTH = bidirectional(unroll(lstm(N_IN, N)), unroll(gru(N_IN, N), reverse=True))
LAYERS = {"stack": stack(BOTH, dense(2 * N, 2)), "last": last(stack(BOTH, dense(2 * N, 2)))}
layers = pytest.mark.parametrize("name", LAYERS)
OF_EACH_CELL = ("`grad`",)  # the other columns ask little of a cell's own equations
NEWEST = ("lstm_full",)  # for the second Python of .ci/run


def entry(name, method, column):
    """At each change all cells meet some of it by every method but `scan`, with --heavy everything."""
    heavy = name not in FEW and (column not in OF_EACH_CELL or method == "scan")
    thorough = [pytest.mark.thorough] * (name not in NEWEST)
    return pytest.param(*(name, method, column), marks=[*marks(name, heavy), *thorough], id=f"{name}-{method}-{column}")


ENTRIES = [entry(*pair, column) for pair in pairs_of(TESTED) for column in CHECKS]


@pytest.mark.parametrize(("name", "method", "column"), ENTRIES)
def test_a_transformation_does_what_the_table_in_README_says(name, method, column):
    CHECKS[column](name, method)


@layers
def test_layers_of_layers_exported_with_symbolic_time_and_batch_are_the_same(name):
    layer = LAYERS[name]
    params = layer.init(jax.random.key(0))

    def f(params, xs, lengths, reset):
        mask = length_mask(lengths, xs.shape[0])
        return layer.apply(params, layer.carry(xs.shape[1:-1], params), xs, mask=mask, reset=reset)

    t, b = jax.export.symbolic_shape("T, B")
    exported = jax.export.export(jax.jit(f))(
        jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params),
        jax.ShapeDtypeStruct((t, b, N_IN), jnp.float64),
        jax.ShapeDtypeStruct((b,), jnp.int64),
        jax.ShapeDtypeStruct((t, b), jnp.bool_),
    )
    again = jax.export.deserialize(exported.serialize())
    e = example("elman")
    lengths = jnp.array([4, 0])
    close(again.call(params, e.xs, lengths, e.reset), jax.jit(f)(params, e.xs, lengths, e.reset))


def test_a_fresh_process_that_has_jax_and_jaxrnn_reads_an_export(tmp_path):
    layer = bidirectional(unroll(learned_carry(gru(N_IN, N))), unroll(lstm(N_IN, N), reverse=True))
    params = layer.init(jax.random.key(0))
    arguments = params, layer.carry((B,), params), example("elman").xs
    (tmp_path / "exported").write_bytes(jax.export.export(jax.jit(layer.apply))(*arguments).serialize())
    code = """
import sys, jax, jaxrnn
exported = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
arguments, _ = exported.in_tree.unflatten([jax.numpy.ones(a.shape, a.dtype) for a in exported.in_avals])
carry, ys = exported.call(*arguments)
print(jax.tree.structure(carry), float(ys.sum()))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "exported")]
    told = subprocess.check_output(command, env=os.environ | {"JAX_ENABLE_X64": "1"}, text=True)
    carry, ys = layer.apply(*jax.tree.map(jnp.ones_like, arguments))
    assert told.split("\n")[0] == f"{jax.tree.structure(carry)} {float(ys.sum())}"


def test_a_fresh_carry_can_be_donated():
    layer = unroll(lstm(N_IN, N))
    params, xs = layer.init(jax.random.key(0)), jnp.zeros((3, B, N_IN))
    carry, _ = jax.jit(layer.apply, donate_argnums=1)(params, layer.carry((B,), params), xs)
    close(carry, layer.apply(params, layer.carry((B,), params), xs)[0])


@layers
def test_layers_of_layers_on_two_devices_equal_one(name):
    layer, e = LAYERS[name], example("elman")
    params, carry = randomized(jax.random.key(0), (layer.init(jax.random.key(0)), layer.carry((B,))))
    arguments = params, carry, e.xs, e.mask, e.reset
    batch = P("data") if name == "last" else ALONG_BATCH
    compiled = sharded_loss_and_grads(layer, ys=batch).lower(*arguments).compile()
    alone = jax.jit(jax.value_and_grad(lambda *a: loss(layer, *a), (0, 1, 2)))
    close(compiled(*arguments), alone(*arguments), DERIVED)
    assert_reduces_outside_loops(compiled.as_text())
