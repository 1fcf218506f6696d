"""Piano rolls: what is read, how it is laid out, and how a model of them is judged."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import savemat
from tiny import close

from jaxrnn.runner.config import Polymusic
from jaxrnn.runner.tasks import polymusic
from jaxrnn.runner.tasks.polymusic import FOLDS, Rolls

LENGTHS = np.array([9, 2, 31, 5, 4, 17])


def rolls_of(lengths=LENGTHS):
    keys = np.random.default_rng(3).integers(2, size=(sum(lengths), 88), dtype=np.uint8)
    return Rolls(keys, lengths)


def parts_of(part):
    return np.split(part.keys, np.cumsum(part.lengths)[:-1])


def cells(parts):
    array = np.empty((1, len(parts)), object)
    array[0, :] = parts
    return array


def written(path, **changes):
    parts = {name: cells(parts_of(rolls_of())) for name in FOLDS.values()} | changes
    savemat(path, {name: value for name, value in parts.items() if value is not None})
    return path


def test_a_file_is_read_as_it_was_written(tmp_path):
    folds, found = polymusic.load(written(tmp_path / "music.mat"))
    for fold in folds.values():
        close(fold, rolls_of())
    assert found["known_as"] is None
    assert found["train"] == {"sequences": 6, "steps": 68}


WRONG = {
    "testdata": (None, "has no testdata, wanted traindata, validdata, testdata"),
    "validdata": (np.zeros((4, 88)), "validdata is float64[4, 88], wanted a cell array of piano rolls [steps, 88]"),
    "traindata": (
        cells([np.zeros((5, 88)), np.zeros((5, 87))]),
        "traindata 1 is float64[5, 87], wanted [steps, 88] with 2 steps or more",
    ),
    "too short": (cells([np.zeros((1, 88))] * 2), "is float64[1, 88], wanted [steps, 88] with 2 steps or more"),
    "not binary": (cells([np.zeros((3, 88)), np.full((3, 88), 2.0)]), "traindata 1 is 2.0 at [0, 0], wanted 0 or 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_file_is_refused_in_one_line(case, tmp_path):
    value, said = WRONG[case]
    path = written(tmp_path / "music.mat", **{case if case in FOLDS.values() else "traindata": value})
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        polymusic.load(path)
    assert str(raised.value).startswith(f"data: {path}")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_bytes_that_are_no_mat_file_are_refused_in_one_line(content, tmp_path):
    (tmp_path / "music.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"^data: ") as raised:
        polymusic.load(tmp_path / "music.mat")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("streams", [1, 4, 9])
def test_every_pair_of_steps_is_laid_once_and_sequences_stay_whole(streams):
    part = rolls_of()
    places = polymusic.lay(part.lengths, [3, 0, 5, 1, 4, 2], streams)
    ends = np.cumsum(part.lengths) - 1
    assert sorted(places[places >= 0].tolist()) == sorted(set(range(sum(LENGTHS))) - set(ends.tolist()))
    for stream in places.T:
        laid = stream[stream >= 0]
        assert (stream[: len(laid)] == laid).all()  # nothing after the end
        leaps = np.flatnonzero(np.diff(laid) != 1)
        assert {int(laid[at]) + 1 for at in leaps} <= set(ends.tolist())  # a sequence is left at its end alone


def test_windows_hold_steps_and_those_after_them_in_a_row_over_windows():
    """An epoch's windows, one after another, are its streams; where a sequence starts is told."""
    part, config = rolls_of(), Polymusic(batch=2, length=5)
    windows = [polymusic.training_window(config, part, 1, step) for step in range(6)]  # (68 - 6) // 10 an epoch
    xs, ys, starts, real = (np.concatenate(each) for each in zip(*windows, strict=True))
    places = polymusic.epoch(tuple(LENGTHS.tolist()), 2, 1, 0)[: len(xs)]
    inside = np.pad(places, ((0, len(xs) - len(places)), (0, 0)), constant_values=-1) >= 0
    assert (real == inside).all()
    assert (xs[real] == part.keys[places[places >= 0]]).all()
    assert (ys[real] == part.keys[places[places >= 0] + 1]).all()
    begins = (np.cumsum(LENGTHS) - LENGTHS).tolist()
    assert starts.sum() == sum(place in begins for place in places.ravel())


def test_a_batch_is_a_function_of_seed_and_step_and_epochs_differ():
    part, config = rolls_of(), Polymusic(batch=2, length=5)

    def batch(seed, step):
        return polymusic.training_window(config, part, seed, step).xs

    assert (batch(1, 8) == batch(1, 8)).all()
    assert (batch(1, 2) != batch(1, 8)).any()  # the same window of the next epoch
    assert (batch(1, 2) != batch(2, 2)).any()


def test_a_few_short_sequences_fill_no_window_and_are_read_all_the_same():
    window = polymusic.training_window(Polymusic(batch=4, length=50), rolls_of(np.array([3, 2])), 0, 7)
    assert window.real.shape == (50, 4)
    assert window.real.sum() == 3


@functools.cache
def model():
    config = Polymusic(cell="elman", units=3)
    layer = polymusic.network(config)
    params = jax.tree.map(lambda a: 3 * a, layer.init(jax.random.key(0)))
    return layer, params


def plain_nll(part, params):
    """Step by step, key by key, as Chung et al. 2014 judge it: a sum over keys, a mean over all steps predicted."""
    ((cell, _), out), terms = params, []
    for roll in parts_of(part):
        h = np.zeros(3)
        for x, y in itertools.pairwise(roll):
            h = np.tanh(x @ np.asarray(cell.w_x) + h @ np.asarray(cell.w_h) + np.asarray(cell.b))
            p = 1 / (1 + np.exp(-(h @ np.asarray(out.w) + np.asarray(out.b))))
            terms.append(sum(-math.log(p[k]) if y[k] else -math.log(1 - p[k]) for k in range(88)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("piece", [7, 256])
def test_the_judgement_is_that_of_a_plain_loop_however_it_is_cut(piece, monkeypatch):
    monkeypatch.setattr(polymusic, "PIECE", piece)
    monkeypatch.setattr(polymusic, "STREAMS", 4)
    part, (layer, params) = rolls_of(), model()
    ours = polymusic.make_evaluate(layer)(params, part, polymusic.streams_of(part))
    assert ours == pytest.approx(plain_nll(part, params), rel=1e-12)


def test_the_loss_of_a_window_leaves_out_where_streams_have_ended(tmp_path):
    written(tmp_path / "music.mat")
    config = Polymusic(data=tmp_path / "music.mat", cell="elman", units=3, batch=4, length=50)
    problem, (_, params) = polymusic.make(config), model()
    batch = problem.batch(0, 0)
    loss, _ = problem.loss(params, problem.carry(params), batch, jax.random.key(0))
    part = rolls_of()
    assert batch.real.sum() == 62  # all sequences in one window
    assert float(loss) == pytest.approx(plain_nll(part, params), rel=1e-12)


def test_anchors_are_those_of_plain_counting():
    part = rolls_of()
    own, pair = polymusic.anchors(part, part).values()
    steps, share = part.keys.astype(float), (part.keys.sum(0) + 1) / (len(part.keys) + 2)
    assert own == pytest.approx(-np.mean(np.sum(steps * np.log(share) + (1 - steps) * np.log(1 - share), 1)))
    ways = np.ones((88, 2, 2))
    for roll in parts_of(part):
        for x, y in itertools.pairwise(roll):
            ways[np.arange(88), x, y] += 1
    terms = [
        -np.log(ways[np.arange(88), x, y] / ways[np.arange(88), x].sum(-1)).sum()
        for roll in parts_of(part)
        for x, y in itertools.pairwise(roll)
    ]
    assert pair == pytest.approx(np.mean(terms))


def test_weight_noise_is_drawn_for_every_weight_and_none_is_no_noise():
    _, params = model()
    key = jax.random.key(1)
    close(polymusic.noisy(params, key, 0.0), params)
    off = jax.tree.map(lambda a, b: (a - b).ravel(), polymusic.noisy(params, key, 0.1), params)
    off = jnp.concatenate(jax.tree.leaves(off))
    assert float(off.std()) == pytest.approx(0.1, rel=0.1)
    assert len(set(off.tolist())) == off.size
