"""States, gates and gradients seen from outside: of every cell, however it is wrapped and stacked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DERIVED, N_IN, TESTED, B, N, T, cells, close, example, randomized

import jaxrnn
from jaxrnn import (
    Policy,
    batch_major,
    bidirectional,
    dense,
    dropout,
    embed,
    gru,
    last,
    length_mask,
    lstm,
    residual,
    stack,
    truncate,
    unroll,
    weight_drop,
)
from jaxrnn.analysis import observe, observe_loss
from jaxrnn.observer import gates_told

AT = 3  # where example's mask has the first sequence masked and the second real
WEIGHTS = jax.random.normal(jax.random.key(3), (T, B, N))


def weighed(ys, at=slice(None)):
    return jnp.sum(jnp.sin(ys) * WEIGHTS[at, ..., : ys.shape[-1]])


def started(layer, xs, seed=0):
    """Random params, and a carry that is not zero."""
    key = jax.random.key(seed)
    params = randomized(key, jax.eval_shape(layer.init, key))
    batch = xs.shape[1 : 2 if jnp.issubdtype(xs.dtype, jnp.integer) else -1]
    return params, randomized(key, layer.carry(batch, params))


# Each of another kind: full peepholes, a product after the gates, gates in the carry, complex states that y is computed
# from, states that are stabilised, and wrappers that change the step or draw noise.
SEEN = ["elman", "lstm_full", "gru_before", "lstm_fgr", "lru", "slstm", "clip_gradient", "zoneout_noise"]


@cells(SEEN)
def test_sees_what_apply_gives_and_the_gradient_of_what_follows(name):
    """dL/dh_t is what the rest of the sequence gives as the gradient of its start, and what y_t itself adds.

    Each carry seen is the one that the layer hands on there; where masked, gates are zero and nothing but the rest of
    the sequence depends on the state.
    """
    e = example(name)
    layer = unroll(e.cell, "scan")

    @jax.jit
    def both(params, carry, xs, mask, reset):
        seen = observe(layer, params, carry, xs, mask=mask, reset=reset, key=e.key, loss=weighed)
        (trace,) = seen.layers.values()
        middle = jax.tree.map(lambda a: a[AT], trace.carry)
        if e.key is not None:  # the rest cannot be run by itself with the same noise
            return seen, layer.apply(params, carry, xs, mask=mask, reset=reset, key=e.key), None

        def rest(middle):
            _, ys = layer.apply(params, middle, xs[AT + 1 :], mask=mask[AT + 1 :], reset=reset[AT + 1 :])
            return weighed(ys, slice(AT + 1, T))

        return seen, layer.apply(params, carry, xs, mask=mask, reset=reset), jax.grad(rest)(middle)

    seen, (carry, ys), followed = both(*e.arguments)
    (trace,) = seen.layers.values()
    close((seen.carry, seen.ys), (carry, ys))
    close(jax.tree.map(lambda a: a[-1], trace.carry), carry)
    for gate in trace.gates.values():
        np.testing.assert_array_equal(gate[~np.asarray(e.mask)], 0)
    if followed is None:
        return
    got, real = jax.tree.map(lambda a: a[AT], trace.gradient), np.asarray(e.mask)[AT]
    assert real.tolist() == [False, True]
    for field in got._fields:
        close(getattr(got, field)[~real], getattr(followed, field)[~real], DERIVED)
    if "h" in got._fields:  # y is h
        by_y = jnp.cos(trace.ys[AT]) * WEIGHTS[AT, :, : ys.shape[-1]]
        close(got.h[real], (followed.h + by_y)[real], DERIVED)


def test_the_gradient_of_an_lstms_cell_state_goes_through_h_too():
    """dL/dc_t = dL/dc_t by way of c_{t+1} + dL/dh_t o_t (1 - tanh(c_t)^2), with c_{t+1} = f_{t+1} c_t + ..."""
    e = example("lstm")
    seen = observe(unroll(e.cell), e.params, e.carry, e.xs, loss=weighed)
    t = seen.layers["lstm"]
    later = jnp.concatenate([t.gradient.c[1:] * t.gates["f"][1:], jnp.zeros((1, B, N))])
    close(t.gradient.c, later + t.gradient.h * t.gates["o"] * (1 - jnp.tanh(t.carry.c) ** 2), DERIVED)


def test_gates_obey_the_equations():
    """c_t = f c_{t-1} + i g and h_t = o tanh(c_t) by an lstm's names, h_t = (1 - z) n + z h_{t-1} by a gru's."""
    e = example("lstm")
    t = observe(unroll(e.cell), e.params, e.carry, e.xs).layers["lstm"]
    before = jnp.concatenate([e.carry.c[None], t.carry.c[:-1]])
    close(t.gates["f"] * before + t.gates["i"] * t.gates["g"], t.carry.c)
    close(t.gates["o"] * jnp.tanh(t.carry.c), t.carry.h)
    e = example("gru")
    t = observe(unroll(e.cell), e.params, e.carry, e.xs).layers["gru"]
    before = jnp.concatenate([e.carry.h[None], t.carry.h[:-1]])
    close((1 - t.gates["z"]) * t.gates["n"] + t.gates["z"] * before, t.carry.h)


GATES = {
    **dict.fromkeys(("lstm", "lstm_diagonal", "lstm_full", "lstm_projected", "lstm_layernorm", "lstm_np"), "ifgo"),
    **dict.fromkeys(("gru", "gru_before", "gru_article", "gru_projected", "gru_layernorm"), "rzn"),
    **dict.fromkeys(("lstm_niaf", "lstm_noaf", "lstm_fgr"), "ifgo"),
    **{"lstm_nig": "fgo", "lstm_nfg": "igo", "lstm_nog": "ifg", "lstm_cifg": "igo", "lstm97": "io", "lstm2000": "ifo"},
    **{"mgu": "fn", "mgu_after": "fn", "slstm": "ifzo", "slstm_sigmoid": "ifzo", "mingru": "z", "minlstm": "fi"},
    **{"rglru": "ri", "elman": "", "elman_sigmoid": "", "irnn": "", "indrnn": "", "lru": ""},
    **{"learned_carry": "ifgo", "learned_carry_linear": "z", "clip_gradient": "rzn", "zoneout": "ifgo"},
    **{"zoneout_noise": "ifgo", "dropout_noise": "rzn"},
}


def test_every_cell_names_its_gates():
    for name, make in TESTED.items():
        cell = make(N_IN, N)

        def gates(key, xs, cell=cell):
            params = cell.init(key)
            us = cell.project(params, xs, None)
            with gates_told() as found:
                cell.step(params, cell.carry((B,), params), jax.tree.map(lambda u: u[0], us))
            return dict(found)

        assert set(jax.eval_shape(gates, jax.random.key(0), jnp.zeros((T, B, N_IN)))) == set(GATES[name]), name


def test_without_an_observer_nothing_is_added():
    """Names and nudges are in no jaxpr: not of a step that tells its gates, and not of a layer that was looked on."""
    e = example("lstm")
    u = e.cell.project(e.params, e.xs)[0]

    def told(*arguments):
        with gates_told():
            return e.cell.step(*arguments)

    alone = jax.make_jaxpr(e.cell.step)(e.params, e.carry, u)
    assert str(jax.make_jaxpr(told)(e.params, e.carry, u)) == str(alone)
    layer = unroll(e.cell, "scan")
    jax.eval_shape(lambda: observe(layer, e.params, e.carry, e.xs, loss=weighed))
    (run,) = (eqn for eqn in jax.make_jaxpr(layer.apply)(e.params, e.carry, e.xs).eqns if "jaxpr" in eqn.params)
    (scan,) = (eqn for eqn in run.params["jaxpr"].eqns if eqn.primitive.name == "scan")
    looped, stepped = ([eqn.primitive for eqn in j.eqns] for j in (scan.params["jaxpr"].jaxpr, alone.jaxpr))
    assert looped == stepped


def network():
    both = bidirectional(unroll(gru(N, N)), unroll(lstm(N, N), reverse=True))
    return stack(embed(7, N), residual(unroll(lstm(N, N))), dropout(0.5), stack(both, dense(2 * N, N)))


def test_a_network_in_both_directions_is_seen_at_its_own_times():
    layer, xs = network(), jax.random.randint(jax.random.key(1), (T, B), 0, 7)
    params, carry = started(layer, xs)
    mask = length_mask(jnp.array([T, 2]), T)
    key = jax.random.key(9)
    seen = jax.jit(lambda: observe(layer, params, carry, xs, mask=mask, loss=weighed, key=key))()
    assert sorted(seen.layers) == ["gru 3.0.forward", "lstm 1", "lstm 3.0.backward"]
    after, ys = jax.jit(lambda: layer.apply(params, carry, xs, mask=mask, key=key))()
    close((seen.carry, seen.ys), (after, ys))
    close(jax.tree.map(lambda a: a[0], seen.layers["lstm 3.0.backward"].carry), after[3][0].backward)
    close(jax.tree.map(lambda a: a[-1], seen.layers["gru 3.0.forward"].carry), after[3][0].forward)
    held = seen.layers["lstm 3.0.backward"].carry.h[2:, 1]  # what comes before its first real step, read from the end
    close(held, jnp.broadcast_to(carry[3][0].backward.h[1], held.shape))


def test_a_layer_that_reads_from_the_end_has_its_gradient_at_its_own_times():
    """It is the same layer on the sequence turned round."""
    forward, backward = unroll(gru(N_IN, N)), unroll(gru(N_IN, N), reverse=True)
    xs = jax.random.normal(jax.random.key(0), (T, B, N_IN))
    params, carry = started(forward, xs)
    there = observe(backward, params, carry, xs, loss=lambda ys: (ys[0] * WEIGHTS[0]).sum()).layers["gru"]
    back = observe(forward, params, carry, xs[::-1], loss=lambda ys: (ys[-1] * WEIGHTS[0]).sum()).layers["gru"]
    close(there.gradient.h, back.gradient.h[::-1])


def test_a_state_that_is_held_has_the_gradient_of_the_one_it_holds():
    layer = unroll(gru(N_IN, N))
    xs = jax.random.normal(jax.random.key(0), (T, B, N_IN))
    params, carry = started(layer, xs)
    mask = jnp.ones((T, B), bool).at[2].set(False)
    seen = observe(layer, params, carry, xs, mask=mask, loss=lambda ys: (ys[-1] * WEIGHTS[0]).sum())
    h = seen.layers["gru"].gradient.h
    assert jnp.abs(h[2]).min() > 0
    close(h[2], h[1])


def test_last_and_batch_major_are_looked_through():
    layer = batch_major(last(stack(unroll(gru(N_IN, N)), dense(N, 1))))
    xs = jax.random.normal(jax.random.key(0), (B, T, N_IN))
    params, carry = started(layer, xs.swapaxes(0, 1))
    trace = observe(layer, params, carry, xs, loss=lambda ys: ys.sum()).layers["gru 0"]
    assert trace.carry.h.shape == (T, B, N)
    by_w = jnp.broadcast_to(params[1].w[:, 0], (B, N))
    close(trace.gradient.h[-1], by_w)


def test_truncation_cuts_the_gradient_between_windows():
    inner = unroll(gru(N_IN, N))
    layer, xs = truncate(inner, 2), example("gru").xs
    params, carry = started(layer, xs)
    seen = observe(layer, params, carry, xs, loss=lambda ys: ys[-1].sum())
    close(seen.ys, inner.apply(params, carry, xs)[1])
    norms = jnp.linalg.norm(seen.layers["gru"].gradient.h, axis=(1, 2))
    assert norms.shape == (T,)
    np.testing.assert_array_equal(norms > 0, [False] * (T - 1) + [True])  # windows of 2, 2 and 1


def test_layers_that_share_their_params_are_told_apart():
    layer = unroll(gru(N, N))
    xs = jax.random.normal(jax.random.key(0), (T, B, N))
    params, carry = started(layer, xs)

    def twice(params, xs):
        _, ys = layer.apply(params, carry, xs)
        return layer.apply(params, carry, ys)[1].sum(), None

    assert list(observe_loss(twice, params, xs)[1]) == ["gru", "gru (2)"]


def test_dropped_weights_keep_their_place():
    layer = stack(dense(N_IN, N), weight_drop(unroll(gru(N, N)), 0.5))
    xs = example("gru").xs
    params, carry = started(layer, xs)
    seen = observe(layer, params, carry, xs, key=jax.random.key(1))
    close(seen.ys, layer.apply(params, carry, xs, key=jax.random.key(1))[1])
    assert list(seen.layers) == ["gru 1"]


def test_states_rounded_to_the_carry_are_nudged_before():
    """In bfloat16 the carry is rounded, y is not: the gradient by way of y must not be lost."""
    half = Policy(compute=jnp.bfloat16, carry=jnp.bfloat16)
    layer, xs = unroll(jaxrnn.elman(N_IN, N, policy=half)), example("elman").xs.astype(jnp.float32)
    params, carry = layer.init(jax.random.key(0)), layer.carry((B,))
    seen = observe(layer, params, carry, xs, loss=lambda ys: ys[-1].astype(jnp.float32).sum())
    np.testing.assert_array_equal(seen.layers["elman"].gradient.h[-1], 1)


def test_seeds_may_be_mapped_over():
    layer, xs = unroll(gru(N_IN, N)), example("gru").xs
    many = jax.vmap(layer.init)(jax.random.split(jax.random.key(0), 3))

    def norms(params):
        return observe(layer, params, layer.carry((B,)), xs, loss=weighed).layers["gru"].gradient.h

    close(jax.vmap(norms)(many)[1], norms(jax.tree.map(lambda a: a[1], many)))


def test_what_cannot_be_seen_is_refused():
    layer, xs = unroll(gru(N_IN, N)), example("gru").xs
    params, carry = started(layer, xs)
    with pytest.raises(ValueError, match="observe: layer is a Cell, wanted a Layer; unroll"):
        observe(gru(N_IN, N), params, carry, xs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="observe: no layer made by unroll was applied"):
        observe(dense(N_IN, N), *started(dense(N_IN, N), xs), xs)
    hidden = layer._replace(apply=jax.jit(lambda *args, **where: layer.apply(*args, **where)))
    with pytest.raises(ValueError, match="observe: gru is applied inside a jit, scan or vmap"):
        observe(hidden, params, carry, xs)
