"""CTC against the sum over every path, on sequences so short that they can all be listed."""

# pyright: reportArgumentType=false
# Some of the mistakes are wrong types, which is the point.

import functools
import itertools
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny import close

from jaxrnn import ctc_greedy, ctc_loss, ctc_prefix_beam
from jaxrnn.ctc import Prefixes

T, N = 4, 3


def logits_of(batch=(), seed=0, T=T, n=N):
    return np.random.default_rng(seed).normal(size=(T, *batch, n)) * 2


def spelled(path, blank=0):
    once = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in once if label != blank)


def every(logits, blank=0):
    """p of every labelling of one sequence [T, n], by listing its n^T paths."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    sums = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        key = spelled(path, blank)
        sums[key] = sums.get(key, 0) + np.prod([p[t, c] for t, c in enumerate(path)])
    return sums


def padded(labels, room=T, blank=0):
    return np.array([*labels, *[blank] * (room - len(labels))])


@pytest.mark.parametrize("blank", [0, 2])
def test_the_loss_is_the_sum_over_all_paths(blank):
    logits = logits_of()
    sums = every(logits, blank)
    labellings = sorted(sums)
    labels = np.stack([padded(key) for key in labellings], axis=1)
    lengths = np.array([len(key) for key in labellings])
    batch = np.broadcast_to(logits[:, None], (T, len(labellings), N))
    losses = ctc_loss(jnp.asarray(batch), jnp.asarray(labels), None, jnp.asarray(lengths), blank)
    close(losses, -np.log([sums[key] for key in labellings]), 1e-10)


def test_the_loss_of_short_sequences_is_that_of_each_alone():
    logits, lengths = logits_of((2, 2)), np.array([[4, 3], [2, 0]])
    labels, label_lengths = np.array([[[1, 2], [2, 1]], [[1, -1], [-1, 7]]]), np.array([[2, 1], [1, 0]])
    losses = ctc_loss(*map(jnp.asarray, (logits, labels, lengths, label_lengths)))
    wanted = np.zeros((2, 2))
    for k in np.ndindex(2, 2):
        key = tuple(labels[: label_lengths[k], *k])
        wanted[k] = -np.log(every(logits[: lengths[k], *k])[key])
    close(losses, wanted, 1e-10)


def test_nan_in_padding_reaches_neither_loss_nor_gradient():
    logits, lengths = logits_of((3,)), jnp.array([4, 2, 0])
    labels, label_lengths = jnp.array([[1, 2, 0], [2, 0, 0]]), jnp.array([2, 1, 0])
    real = np.arange(T)[:, None, None] < np.asarray(lengths)[:, None]
    f = jax.jit(jax.value_and_grad(lambda logits: ctc_loss(logits, labels, lengths, label_lengths).sum()))
    dirty = f(jnp.where(real, logits, jnp.nan))
    close(dirty, f(jnp.where(real, logits, 0)))
    assert not np.asarray(dirty[1])[~real[..., 0]].any()


def test_devices_that_share_a_batch_have_the_loss_and_the_gradient_of_one():
    logits, labels, lengths = jnp.asarray(logits_of((2,))), jnp.array([[1, 2], [2, 0]]), jnp.array([4, 3])
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = P(None, "data"), P(None, "data"), P("data"), P("data")
    shared = jax.jit(jax.shard_map(ctc_loss, mesh=mesh, in_specs=specs, out_specs=P("data")))
    one, two = (jax.vjp(lambda x, f=f: f(x, labels, lengths, jnp.array([2, 1])), logits) for f in (ctc_loss, shared))
    close(two[0], one[0])
    close(two[1](jnp.ones(2)), one[1](jnp.ones(2)))


def test_devices_that_share_a_batch_find_the_labels_of_one():
    logits, lengths = jnp.asarray(logits_of((2,))), jnp.array([4, 3])
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    search = functools.partial(ctc_prefix_beam, width=3)
    f = jax.shard_map(
        lambda logits, lengths: search(logits, lengths=lengths),
        mesh=mesh,
        in_specs=(P(None, "data"), P("data")),
        out_specs=Prefixes(P(None, "data"), P("data"), P("data")),
    )
    close(f(logits, lengths), search(logits, lengths=lengths))


def test_no_labels_at_all_are_spelled_by_blanks():
    logits = logits_of()
    close(ctc_loss(jnp.asarray(logits), jnp.zeros(0, int)), -np.log(every(logits)[()]))


def test_the_second_derivative_is_right_where_paths_are_equally_likely():
    """Against differences of the gradient."""
    logits = jnp.zeros((3, 3))
    gradient = jax.jit(jax.grad(lambda logits: ctc_loss(logits, jnp.array([1, 2]))))
    hessian = jax.jacfwd(gradient)(logits)
    step = 1e-5 * jnp.eye(9).reshape(9, 3, 3)
    differences = jnp.stack([(gradient(logits + d) - gradient(logits - d)) / 2e-5 for d in step], -1)
    close(hessian.reshape(3, 3, 9), differences, 1e-7)


def test_labels_that_do_not_fit_cost_much_and_finitely():
    loss, grad = jax.value_and_grad(ctc_loss)(jnp.asarray(logits_of(T=2)), jnp.array([1, 1]))
    assert loss == 1e5
    assert not grad.any()


def test_labels_of_forbidden_logits_cost_much_and_finitely():
    logits = jnp.asarray(logits_of()).at[:, 1].set(-jnp.inf)
    labels = jnp.array([[1, 2], [2, 2]])
    losses, back = jax.vjp(lambda logits: ctc_loss(jnp.stack([logits, logits], 1), labels), logits)
    close(losses, jnp.array([1e5, -np.log(every(np.asarray(logits))[2, 2])]), 1e-10)
    assert not back(jnp.array([1.0, 0.0]))[0].any()
    grad = back(jnp.array([0.0, 1.0]))[0]
    assert np.isfinite(grad).all()
    assert grad[:, 2].any()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_labels_of_any_cost_are_told_from_those_that_cannot_be(dtype):
    """Beside the blank each label costs 200: all but nothing is due to paths with 800 of them, anywhere in the 2000."""
    logits = jnp.zeros((2000, 3), dtype).at[:, 0].set(200)
    loss, grad = jax.value_and_grad(ctc_loss)(logits, jnp.array([1, 2] * 400))
    wanted = 800 * 200 - math.log(math.comb(2000, 800))
    np.testing.assert_allclose(loss, wanted, rtol=1e-4 if dtype == jnp.float32 else 1e-12)
    np.testing.assert_allclose(grad.sum(0), [800, -400, -400], rtol=2e-2 if dtype == jnp.float32 else 1e-9)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_the_loss_is_in_float32_at_least(dtype):
    loss = ctc_loss(jnp.asarray(logits_of(), dtype), jnp.array([1, 2]))
    assert loss.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32)


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_spells_the_likeliest_path(blank):
    logits, lengths = logits_of((20,), T=7), np.arange(20) % 8
    labels, found = map(np.asarray, ctc_greedy(jnp.asarray(logits), jnp.asarray(lengths), blank))
    for k, length in enumerate(lengths):
        wanted = spelled(logits[:length, k].argmax(-1), blank)
        np.testing.assert_array_equal(labels[:, k], padded(wanted, 7, blank))
        assert found[k] == len(wanted)


def test_greedy_of_no_steps_is_nothing():
    labels, lengths = ctc_greedy(jnp.zeros((0, 2, N)))
    assert labels.shape == (0, 2)
    assert not lengths.any()


def assert_prefixes(found, sums, blank=0, top=None):
    """The found labellings are the likeliest of all, in order, with their exact scores."""
    labels, lengths, scores = map(np.asarray, found)
    wanted = sorted(sums.items(), key=lambda item: -item[1])[: top or len(scores)]
    for k, (key, p) in enumerate(wanted):
        np.testing.assert_array_equal(labels[:, k], padded(key, len(labels), blank))
        assert lengths[k] == len(key)
        assert scores[k] == pytest.approx(np.log(p), abs=1e-10)
    if len(scores) > len(sums):
        assert (scores[len(sums) :] == -np.inf).all()
        assert not lengths[len(sums) :].any()
        assert (labels[:, len(sums) :] == blank).all()


@pytest.mark.parametrize(("T", "n", "blank"), [(0, 2, 0), (1, 3, 0), (4, 3, 1), (5, 2, 0), (3, 4, 3)])
def test_a_wide_enough_beam_is_exact(T, n, blank):
    """There are fewer labellings than 100, so none is ever given up, and the rest of the beam is empty."""
    for seed in range(3):
        logits = logits_of(seed=seed, T=T, n=n)
        sums = every(logits, blank)
        assert len(sums) < 100
        assert_prefixes(ctc_prefix_beam(jnp.asarray(logits), 100, blank=blank), sums, blank)


def test_labels_that_cannot_be_are_given_up_and_may_come_back():
    numbers = np.random.default_rng(0)
    logits = np.where(numbers.random((5, 40, N)) < 0.4, -np.inf, logits_of((40,), T=5))
    logits[..., 2] = np.where(np.isinf(logits).all(-1), 0.0, logits[..., 2])  # something must be
    found = ctc_prefix_beam(jnp.asarray(logits), 100)
    for k in range(40):
        sums = {key: p for key, p in every(logits[:, k]).items() if p > 0}
        assert_prefixes((found.labels[:, k], found.lengths[k], found.scores[k]), sums)


def test_the_beam_reads_a_batch_as_it_reads_each_alone():
    logits, lengths = logits_of((2, 3)), np.array([[4, 3, 2], [1, 0, 4]])
    dirty = np.where(np.arange(T)[:, None, None, None] < lengths[..., None], logits, np.nan)
    found = ctc_prefix_beam(jnp.asarray(dirty), 40, jnp.asarray(lengths))
    for k in np.ndindex(2, 3):
        one = found.labels[:, *k], found.lengths[k], found.scores[k]
        assert_prefixes(one, every(logits[: lengths[k], *k]) if lengths[k] else {(): 1.0})


def by_dictionary(logits, width):
    """Hannun et al. 2014 with plain dictionaries: {prefix: (p of paths ending in a blank, p of the others)}."""
    beam = {(): (1.0, 0.0)}
    for row in np.exp(logits) / np.exp(logits).sum(-1, keepdims=True):
        new = {}

        def add(prefix, blank=0.0, label=0.0):
            b, l = new.get(prefix, (0.0, 0.0))
            new[prefix] = b + blank, l + label

        for prefix, (b, l) in beam.items():
            add(prefix, blank=(b + l) * row[0])
            for c in range(1, len(row)):
                if prefix and prefix[-1] == c:
                    add(prefix, label=l * row[c])
                    add((*prefix, c), label=b * row[c])
                else:
                    add((*prefix, c), label=(b + l) * row[c])
        beam = dict(sorted(new.items(), key=lambda item: -sum(item[1]))[:width])
    return {prefix: b + l for prefix, (b, l) in beam.items()}


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_narrow_beam_gives_up_what_the_dictionaries_give_up(width):
    logits = logits_of((10,), T=12, n=4)
    found = ctc_prefix_beam(jnp.asarray(logits), width)
    for k in range(10):
        one = found.labels[:, k], found.lengths[k], found.scores[k]
        assert_prefixes(one, by_dictionary(logits[:, k], width))


def test_the_beam_finds_what_greedy_misses():
    """Two blanks are the likeliest path, but the paths of label 1 are likelier together: 0.64 against 0.36."""
    logits = jnp.log(jnp.array([[0.6, 0.4], [0.6, 0.4]]))
    assert ctc_greedy(logits).lengths == 0
    best = ctc_prefix_beam(logits, 4)
    assert best.labels[0, 0] == 1
    assert best.scores[0] == pytest.approx(np.log(0.64), abs=1e-12)


def test_importing_the_library_leaves_optax_alone():
    code = "import sys, jaxrnn; [getattr(jaxrnn, name) for name in jaxrnn.__all__]; assert 'optax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


LOGITS = jnp.zeros((T, 2, N))
LABELS = jnp.ones((3, 2), int)
MISTAKES = [
    (
        lambda: ctc_loss(LOGITS, LABELS.T),
        "ctc_loss: labels is int64[2, 3], wanted [N, 2], as many sequences as in logits",
    ),
    (
        lambda: ctc_loss(LOGITS, LABELS, jnp.array([1])),
        "ctc_loss: lengths is int64[1], wanted [2], one a sequence",
    ),
    (
        lambda: ctc_loss(LOGITS, LABELS, label_lengths=jnp.ones(2)),
        "ctc_loss: label_lengths is float64[2], wanted whole numbers [*batch]",
    ),
    (lambda: ctc_loss(LOGITS, LABELS, jnp.array([5, 4])), "ctc_loss: lengths has 5, wanted 0 to T = 4"),
    (
        lambda: ctc_loss(LOGITS, LABELS, label_lengths=jnp.array([4, 3])),
        "ctc_loss: label_lengths has 4, wanted 0 to N = 3",
    ),
    (lambda: ctc_greedy(LOGITS, jnp.array([4, -1])), "ctc_greedy: lengths has -1, wanted 0 to T = 4"),
    (lambda: ctc_loss(LOGITS[:0], LABELS), "ctc_loss: logits is float64[0, 2, 3], wanted at least one step"),
    (lambda: ctc_loss(LOGITS, LABELS, blank=3), "ctc_loss: blank is 3, wanted one of the 3 features of logits"),
    (
        lambda: ctc_greedy(LOGITS, [4, 4]),
        "ctc_greedy: lengths is [4, 4], wanted an array [*batch]; jnp.asarray(lengths) makes one",
    ),
    (lambda: ctc_greedy(LOGITS, blank=-1), "ctc_greedy: blank is -1, wanted a whole number of at least 0"),
    (lambda: ctc_prefix_beam(LOGITS, 0), "ctc_prefix_beam: width is 0, wanted a whole number of at least 1"),
    (
        lambda: ctc_prefix_beam(LOGITS[0, 0]),
        "ctc_prefix_beam: logits has 1 axis, wanted [T, *batch, n] (logits: float64[3])",
    ),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_answered(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert str(error.value) == message
