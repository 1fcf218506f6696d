"""What JAX does to whole layers: export with symbolic sizes, several devices, donated buffers."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from tiny import N_IN, B, N, close, example

from jaxrnn import CELLS, bidirectional, dense, gru, last, learned_carry, length_mask, lstm, stack, unroll

LAYERS = {
    **{name: lambda name=name: unroll(CELLS[name](N_IN, N)) for name in CELLS},
    "stack": lambda: stack(unroll(lstm(N_IN, N)), dense(N, 2)),
    "bidirectional": lambda: bidirectional(unroll(lstm(N_IN, N)), unroll(lstm(N_IN, N), reverse=True)),
    "last": lambda: last(unroll(lstm(N_IN, N))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_an_export_with_symbolic_time_and_batch_equals_the_layer(name):
    layer = LAYERS[name]()
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


TWO_DEVICES = """
import re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
from jaxrnn import bidirectional, dense, gru, last, lstm, stack, unroll

both = bidirectional(unroll(lstm(3, 4)), unroll(gru(3, 4), reverse=True))
layer = last(stack(both, dense(8, 2)))
params = layer.init(jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (5, 4, 3))

def local(params, xs):
    mask = jnp.ones(xs.shape[:2], bool)
    return layer.apply(params, layer.carry((xs.shape[1],), params), xs, mask=mask)[1]

mesh = Mesh(np.array(jax.devices()), ("data",))
sharded = jax.shard_map(local, mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P("data"))
grad = jax.jit(jax.grad(lambda params: (sharded(params, xs) ** 2).sum()))
one = jax.grad(lambda params: (local(params, xs) ** 2).sum())(params)
for a, b in zip(jax.tree.leaves(grad(params)), jax.tree.leaves(one)):
    np.testing.assert_allclose(a, b, atol=1e-6)
computations = re.split(r"\\n(?=%|ENTRY)", grad.lower(params).compile().as_text())
reducing = [c.split()[0] for c in computations if " all-reduce(" in c]
assert reducing == ["ENTRY"], reducing
"""


def test_two_devices_equal_one_and_reduce_once_outside_the_loop():
    flags = "--xla_force_host_platform_device_count=2"
    subprocess.run([sys.executable, "-c", TWO_DEVICES], env=os.environ | {"XLA_FLAGS": flags}, check=True)
