"""What states know: labels planted in them are found again, and those that are not there score as chance does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Policy, gru, unroll
from jaxrnn.analysis import pca, probe, projected, track, trajectory
from jaxrnn.analysis.tracking import rolled

T, B, N = 400, 2, 6
STATES = jax.random.normal(jax.random.key(0), (T, B, N))
COIN = jax.random.bernoulli(jax.random.key(1), 0.5, (T, B))


def test_correlations_are_those_of_numpy():
    labels = STATES[..., 2] ** 3 + COIN.astype(float)
    found = track(STATES, labels)
    wanted = [np.corrcoef(np.ravel(STATES[..., k]), np.ravel(labels))[0, 1] for k in range(N)]
    np.testing.assert_allclose(found.correlations, wanted, atol=1e-12)
    assert found.by_chance < 0.2 < abs(found.correlations[2])


def test_masked_steps_do_not_count():
    mask = jax.random.bernoulli(jax.random.key(2), 0.5, (T, B))
    spoilt = jnp.where(mask[..., None], STATES, jnp.nan), jnp.where(mask, STATES[..., 1], jnp.nan)
    wanted = [np.corrcoef(STATES[mask][:, k], STATES[mask][:, 1])[0, 1] for k in range(N)]
    np.testing.assert_allclose(track(*spoilt, mask=mask).correlations, wanted, atol=1e-12)
    plain = np.asarray(mask)
    found = track(*spoilt, mask=plain)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found.correlations, wanted, atol=1e-12)
    assert probe(*spoilt, mask=mask).score > 0.999
    assert jnp.isfinite(pca(spoilt[0], mask=mask).axes).all()


def test_labels_of_any_pytree_have_what_each_has_alone():
    labels = {"unit 2": STATES[..., 2], "coin": COIN, "both": (jnp.argmax(STATES[..., :3], -1), np.asarray(COIN))}
    for ask in (track, probe):
        found = ask(STATES, labels)
        for name, alone in (("unit 2", STATES[..., 2]), ("coin", COIN)):
            jax.tree.map(np.testing.assert_array_equal, found[name], ask(STATES, alone))
        jax.tree.map(np.testing.assert_array_equal, found["both"][1], found["coin"])
        assert isinstance(found["both"], tuple)
        owner = ask.__name__
        with pytest.raises(ValueError, match=rf"{owner}: labels\['coin'\] is bool\[400\], wanted \[400, 2\], one a"):
            ask(STATES, {**labels, "coin": COIN[:, 0]})
        for nothing in ({}, None, [1.0, 2.0]):
            with pytest.raises(ValueError, match=rf"{owner}: labels is .*, wanted an array \[T, \*batch\], or a dict"):
                ask(STATES, nothing)
    with pytest.raises(
        ValueError, match=r"probe: labels\['odd'\] is int64.* with -1 in it, wanted classes from 0; mask"
    ):
        probe(STATES, {"odd": jnp.full((T, B), -1)})


def test_padding_is_neither_a_class_nor_shifted_among_the_real():
    lengths = np.array([T, 100])
    mask = np.arange(T)[:, None] < lengths
    which = jnp.where(mask, COIN.astype(int), -1)
    held = np.arange(T)[:, None] % 4 == 0
    alone = probe(STATES[mask], COIN[mask].astype(int), held_out=(held & mask)[mask])
    found = probe(STATES, which, mask=jnp.asarray(mask), held_out=jnp.broadcast_to(held, mask.shape))
    np.testing.assert_allclose(found.score, alone.score)
    slow = jnp.where(mask, jnp.sin(jnp.arange(T) / 20)[:, None], jnp.nan)
    for by in (40, 123, 360):
        moved = rolled(slow, jnp.asarray(mask), jnp.array(by))
        for b, n in enumerate(lengths):
            np.testing.assert_array_equal(moved[:n, b], np.roll(slow[:n, b], round(by * n / T)))
    drift = jnp.where(mask, jnp.arange(T)[:, None] / lengths, jnp.nan)
    assert track(drift[..., None], slow, mask=jnp.asarray(mask)).by_chance > 0.1


def test_a_slow_drift_is_known_as_chance():
    """A unit that only drifts goes with any label that does; the chance level says so."""
    drift = jnp.arange(T) / T
    found = track(jnp.stack([drift, drift**2], -1), jnp.sin(drift))
    assert jnp.abs(found.correlations).max() - found.by_chance < 0.6
    assert found.by_chance > 0.3


def test_a_line_through_the_state_is_found():
    w = jnp.arange(1.0, N + 1)
    found = probe(STATES, STATES @ w + 3, ridge=1e-9)
    np.testing.assert_allclose(found.w[:, 0], w, atol=1e-6)
    np.testing.assert_allclose(found.b, 3, atol=1e-6)
    assert found.score > 0.999999 > 0.1 > found.chance


def test_classes_are_told_apart_where_the_state_has_them():
    which = jnp.argmax(STATES[..., :3], -1)
    assert probe(STATES, which).score > 0.9
    assert probe(STATES, STATES[..., 0] > 0.5).score > 0.95
    nothing = probe(STATES, COIN)
    assert abs(nothing.score - 0.5) < 0.15
    kept = np.asarray(COIN)[T - T // 4 :]
    commonest = np.asarray(COIN)[: T - T // 4].mean() > 0.5
    np.testing.assert_allclose(nothing.chance, (kept == commonest).mean())


def test_what_is_held_out_is_not_fitted():
    """Labels that turn round in the held-out steps are scored below chance."""
    late = jnp.broadcast_to(jnp.arange(T)[:, None] >= T // 2, (T, B))
    found = probe(STATES, (STATES[..., 0] > 0) ^ late, held_out=late)
    assert found.score < 0.1
    with pytest.raises(ValueError, match="800 steps to fit and 0 to score"):
        probe(STATES, COIN, held_out=jnp.zeros((T, B), bool))
    with pytest.raises(ValueError, match="wanted classes from 0"):
        probe(STATES, jnp.full((T, B), -1))
    with pytest.raises(ValueError, match="labels is float64\\[400\\], wanted \\[400, 2\\]"):
        probe(STATES, STATES[:, 0, 0])


def test_axes_are_the_directions_that_were_stretched():
    turned, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (N, N)))
    deviations = jnp.array([5.0, 2.0, 1.0, 0.1, 0.1, 0.1])
    whitened = jnp.linalg.qr(STATES.reshape(-1, N) - STATES.mean((0, 1)))[0]  # orthonormal columns of mean 0
    states = whitened * deviations @ turned.T + 7
    found = pca(states, 3)
    np.testing.assert_allclose(jnp.abs(jnp.sum(found.axes * turned.T[:3], -1)), 1, atol=1e-10)
    np.testing.assert_allclose(found.explained, deviations[:3] ** 2 / (deviations**2).sum(), atol=1e-10)
    np.testing.assert_allclose(projected(found, states).std(0) * len(states) ** 0.5, deviations[:3], atol=1e-10)


def test_axes_of_bfloat16_states_are_those_of_float32():
    layer = unroll(gru(2, 4, policy=Policy(jnp.float32, carry=jnp.bfloat16)))
    params = layer.init(jax.random.key(0))
    states = trajectory(layer, params, layer.carry((), params), jnp.ones((10, 2), jnp.float32)).h
    assert states.dtype == jnp.bfloat16
    found, wanted = pca(states, 2), pca(states.astype(jnp.float32), 2)
    assert found.axes.dtype == jnp.float32
    np.testing.assert_array_equal(found.axes, wanted.axes)
    np.testing.assert_array_equal(projected(found, states), projected(wanted, states.astype(jnp.float32)))
