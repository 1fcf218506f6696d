"""Labelled sequences: what a file may hold, padding that no score sees, and a rule that must be learnt."""

import json

import jax
import numpy as np
import pytest

from jaxrnn.runner.config import Sequences
from jaxrnn.runner.judges import of_classes, of_numbers
from jaxrnn.runner.labelled import read_labelled
from jaxrnn.runner.run import train
from jaxrnn.runner.tasks import sequences

N, T = 24, 6


@pytest.fixture(autouse=True)
def as_a_run_has_it():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def made():
    """xs [N, T, 2] with nonsense in the padding, lengths, and which of the last step's two numbers is the larger."""
    numbers = np.random.default_rng(0)
    lengths = numbers.integers(1, T + 1, N)
    xs = numbers.normal(size=(N, T, 2))
    xs[np.arange(T) >= lengths[:, None]] = np.nan
    last = xs[np.arange(N), lengths - 1]
    return xs, lengths, np.where(last[:, 0] > last[:, 1], "left", "right")


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def flat(xs, lengths):
    return np.concatenate([x[:length] for x, length in zip(xs, lengths, strict=True)])


def as_csv(path, xs, lengths, ys):
    """The same sequences as rows; ys one a sequence or one a step."""
    rows = ["who,a,b,label"]
    for n, length in enumerate(lengths):
        for t in range(length):
            y = ys[n] if np.ndim(ys) == 1 else ys[n][t]
            rows.append(f"s{n},{xs[n, t, 0]!r},{xs[n, t, 1]!r},{y}".replace("np.float64(", "").replace(")", ""))
    path.write_text("\n".join(rows))
    return path


def test_three_ways_to_write_the_same_sequences(tmp_path):
    xs, lengths, ys = made()
    padded = read_labelled(saved(tmp_path / "p.npz", xs=xs, lengths=lengths, ys=ys))
    ragged = read_labelled(saved(tmp_path / "r.npz", xs=flat(xs, lengths), lengths=lengths, ys=ys))
    table = read_labelled(as_csv(tmp_path / "t.csv", xs, lengths, ys))
    for found in (padded, ragged, table):
        np.testing.assert_array_equal(found.xs, flat(xs, lengths))
        assert found.lengths.tolist() == lengths.tolist()
        np.testing.assert_array_equal(found.ys, ys)
        assert found.per == "sequence"


def test_labels_of_steps_are_told_from_those_of_sequences(tmp_path):
    xs, lengths, _ = made()
    ys = np.random.default_rng(1).integers(0, 3, (N, T))
    for found in (
        read_labelled(saved(tmp_path / "p.npz", xs=xs, lengths=lengths, ys=ys)),
        read_labelled(saved(tmp_path / "r.npz", xs=flat(xs, lengths), lengths=lengths, ys=flat(ys, lengths))),
        read_labelled(as_csv(tmp_path / "t.csv", xs, lengths, ys)),
    ):
        assert found.per == "step"
        np.testing.assert_array_equal(np.asarray(found.ys), flat(ys, lengths))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("per", ["sequence", "step"])
def test_padding_changes_no_score(per, bidirectional):
    config = Sequences(units=3, bidirectional=bidirectional)
    layer = sequences.network(config, 2, 2, per)
    params = layer.init(jax.random.key(0))
    xs, lengths, _ = made()
    starts = np.cumsum(lengths) - lengths
    ys = np.arange(N if per == "sequence" else lengths.sum(), dtype=np.int32) % 2
    data = sequences.Data(flat(xs, lengths).astype(np.float32), starts, lengths, ys)
    outputs = sequences.make_outputs(layer, per)
    together = outputs(params, data, np.arange(N))
    alone = []
    for n in range(3):  # each cut to its own length, no mask
        _, y = layer.apply(params, layer.carry((), params), data.xs[starts[n] : starts[n] + lengths[n]])
        alone.append(np.atleast_2d(y))
    alone = np.concatenate(alone)
    np.testing.assert_allclose(together[: len(alone)], alone, rtol=0, atol=1e-6)
    batch = sequences.padded(data, np.array([0, 5]), 50, per)
    assert batch.xs.shape == (50, 2, 2)
    assert (batch.xs[lengths[0] :, 0] == 0).all()
    each = [(1 if per == "sequence" else lengths[n]) * batch.share[k] for k, n in enumerate((0, 5))]
    assert np.mean(each) == pytest.approx(1)  # the loss is a mean over the labels


def test_standardisation_is_that_of_the_train_part_alone(tmp_path):
    xs, lengths, ys = made()
    config = Sequences(data=saved(tmp_path / "a.npz", xs=xs, lengths=lengths, ys=ys), valid=0.2, test=0.2, batch=2)
    places = sequences.load(config, None).places
    assert sorted(np.concatenate(list(places.values()))) == list(range(N))
    other = xs.copy()
    other[places["valid"]] += 50
    other[places["test"]] -= 9
    found = [
        sequences.make(config),
        sequences.make(
            Sequences(data=saved(tmp_path / "b.npz", xs=other, lengths=lengths, ys=ys), valid=0.2, test=0.2)
        ),
    ]
    assert found[0].assets == found[1].assets
    real = np.concatenate([xs[n, : lengths[n]] for n in places["train"]])
    np.testing.assert_allclose(found[0].assets["mean"], real.mean(0))
    np.testing.assert_allclose(found[0].assets["std"], real.std(0))


def test_what_does_not_change_is_not_blown_up(tmp_path):
    """Numbers of 0.1 have a mean that is rounded, and so a deviation of 1e-15."""
    xs, ys = np.full((7, 700, 2), 0.1), np.full(7, 0.1)
    xs[..., 1] = np.arange(700)
    config = Sequences(data=saved(tmp_path / "s.npz", xs=xs, ys=ys), kind="numbers")
    assets = sequences.make(config).assets
    assert assets["std"][0] == assets["label_std"] == 1.0
    assert assets["mean"][0] == assets["label_mean"] == 0.1


def test_classes_are_judged_as_by_hand():
    judge = of_classes(["a", "b", "c"], [5, 3, 0])
    ys = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.5, 0.25, 0.25]], np.float32)) + 7
    labels = np.array([0, 1, 2])
    scores = judge.scores(ys, labels)
    assert scores["cross_entropy"] == pytest.approx(-np.log([0.5, 0.8, 0.25]).mean(), rel=1e-6)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["accuracy_of_the_commonest_class"] == pytest.approx(1 / 3)
    level = -np.log(np.array([6, 4, 1]) / 11).mean()
    assert list(judge.anchors(labels).values()) == [pytest.approx(level)]
    assert judge.columns(ys) == {"label": ["a", "b", "a"], "probability": [0.5, 0.8, 0.5]}


def test_numbers_are_judged_in_their_own_units_too():
    judge = of_numbers(10.0, 2.0)
    scores = judge.scores(np.array([[0.5], [-1.0]], np.float32), np.array([0.0, 1.0], np.float32))
    assert scores == pytest.approx({"mse": 2.125, "mae": 1.25, "mse_in_own_units": 8.5, "mae_in_own_units": 2.5})
    assert judge.anchors(np.array([0.0, 1.0])) == {"always the mean, 10": 0.5}
    assert judge.columns(np.array([[0.5]])) == {"label": [11.0]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequences")
    xs, lengths, ys = made()
    path = saved(folder / "train.npz", xs=xs, lengths=lengths, ys=ys)
    options = {"units": 6, "steps": 100, "batch": 8, "rate": 0.03, "evaluate_every": 50}
    config = Sequences(data=path, test_data=path, out=folder / "run", **options)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        train("sequences", config)
        assets = json.loads((folder / "run" / "run.json").read_text())["assets"]
        return folder, config, sequences.make(config, assets)


def test_the_last_step_is_learnt(run):
    folder, _, problem = run
    metrics = json.loads((folder / "run" / "run.json").read_text())["metrics"]
    assert metrics["test_accuracy"] > 0.8 > metrics["test_accuracy_of_the_commonest_class"]
    assert (folder / "run" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert problem.assets["classes"] == ["left", "right"]


def test_predict_reads_a_file_with_labels_or_without(run, tmp_path):
    _, _, problem = run
    xs, lengths, ys = made()
    params = problem.layer.init(jax.random.key(0))
    known = problem.predict(params, saved(tmp_path / "with.npz", xs=xs, lengths=lengths, ys=ys))
    assert known == problem.predict(params, saved(tmp_path / "without.npz", xs=xs, lengths=lengths))
    assert known["sequence"] == [str(n) for n in range(N)]
    assert set(known["label"]) <= {"left", "right"}
    found, anchors = problem.evaluate_file(params, tmp_path / "with.npz")
    assert found["accuracy"] == pytest.approx(np.mean(np.array(known["label"]) == ys))
    assert len(anchors()) == 1


@pytest.mark.parametrize("ys", [("left", "right"), ("0", "1")])
def test_a_table_to_predict_from_may_have_its_labels(run, ys, tmp_path):
    _, _, problem = run
    xs, lengths, labels = made()
    params = problem.layer.init(jax.random.key(0))
    known = problem.predict(params, saved(tmp_path / "without.npz", xs=xs, lengths=lengths))
    written = np.where(labels == "left", *ys)
    path = as_csv(tmp_path / "with.csv", xs, lengths, written)
    path.write_text(path.read_text().replace("who,a,b,", "who,0,1,"))  # the features' names in an npz file
    found = problem.predict(params, path)
    assert found["label"] == known["label"]


def test_whole_numbers_are_classes_and_others_are_numbers(tmp_path):
    xs, lengths, _ = made()
    for ys, kind in (
        (np.arange(N) % 3, ["0", "1", "2"]),
        (np.arange(N) / 7, None),
        (np.arange(N) % 2 * 1.0, ["0", "1"]),
    ):
        path = saved(tmp_path / "f.npz", xs=xs, lengths=lengths, ys=ys)
        assert sequences.make(Sequences(data=path)).assets["classes"] == kind
    assert sequences.make(Sequences(data=path, kind="numbers")).name == "mse"
