"""--watch gradients looks on: it changes no bit of the training, and what it saw is in metrics.jsonl and the report."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxrnn.analysis import group_norms
from jaxrnn.cli import main
from jaxrnn.runner import watching
from jaxrnn.runner.config import Text
from jaxrnn.runner.draws import noise
from jaxrnn.runner.tasks import text

pytestmark = pytest.mark.xdist_group("runner")
TINY = ["--units", "4", "--embedding", "3", "--batch", "2", "--length", "6", "--valid", "0.1", "--test", "0.1"]


@pytest.fixture(scope="module")
def runs(book, tmp_path_factory):
    """One run that is watched, one that is not, and one that is watched and resumed halfway."""
    folder = tmp_path_factory.mktemp("runs")
    how = ["train", "text", "--data", str(book), *TINY, "--dropout", "0.2", "--evaluate-every", "4"]
    with jax.numpy_dtype_promotion("standard"):
        main([*how, "--steps", "8", "--out", str(folder / "watched"), "--watch", "gradients"])
        main([*how, "--steps", "8", "--out", str(folder / "alone")])
        main([*how, "--steps", "5", "--out", str(folder / "resumed"), "--watch", "gradients", "--schedule", "constant"])
    return folder


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def record(run):
    return json.loads((run / "run.json").read_text())


def test_the_weights_are_the_same_to_the_last_bit(runs):
    assert record(runs / "watched")["params_sha256"] == record(runs / "alone")["params_sha256"]
    assert [a["bits"] for a in lines(runs / "watched")] == [a["bits"] for a in lines(runs / "alone")]


def test_looks_alone_have_it(runs):
    assert [line["step"] for line in lines(runs / "watched") if "watch" in line] == [4, 8]
    assert not any("watch" in line for line in lines(runs / "alone"))
    seen = lines(runs / "watched")[-1]["watch"]
    assert set(seen) == {"loss", "gradient", "weights", "norm", "layers"}
    (flow,) = seen["layers"].values()
    assert len(flow["gradient"]) == 6
    assert set(flow["saturation"]) == set("ifgo")


def test_a_resumed_run_sees_the_same(runs):
    """From step 5 on to 8, with the look at step 8 still to come."""
    with jax.numpy_dtype_promotion("standard"):
        main(["train", "--resume", str(runs / "resumed"), "--steps", "8"])
    assert [line["step"] for line in lines(runs / "resumed") if "watch" in line] == [4, 5, 8]


def test_the_report_has_a_picture_and_words(runs):
    report = (runs / "watched" / "report.md").read_text()
    assert "## How the gradient fares" in report
    assert report.count("gradients.png") == 1
    assert (runs / "watched" / "gradients.png").stat().st_size > 10_000
    assert "gradient fares" not in (runs / "alone" / "report.md").read_text()


def test_it_sees_the_gradient_of_the_step_to_come(book):
    config = Text(data=book, units=4, embedding=3, batch=2, length=6, valid=0.1, test=0.1, dropout=0.3, seeds=(5, 6))
    with jax.numpy_dtype_promotion("standard"):
        problem = text.make(config)
        alone = problem.layer.init(jax.random.key(0))
        both = jax.tree.map(lambda a: np.stack([a, 2 * a]), (alone, problem.carry(alone)))
        watch = watching.make_watch(problem, (5, 6), *both)
        seen = watch(*both, 3)["watch"]
        derived = jax.jit(jax.grad(problem.loss, has_aux=True))
        gradient, _ = derived(alone, problem.carry(alone), problem.batch(5, 3), noise(5, 3))
    for name, norm in group_norms(gradient).items():
        np.testing.assert_allclose(seen["gradient"][name], norm, rtol=1e-3)


def test_what_cannot_be_watched_is_refused_before_the_first_step(book):
    config = dataclasses.replace(Text(), data=book, units=4, batch=2, length=6, valid=0.1, test=0.1)
    problem = text.make(config)
    hidden = problem._replace(loss=jax.jit(problem.loss))
    params = jax.eval_shape(problem.layer.init, jax.random.key(0))
    with pytest.raises(ValueError, match="observe: lstm is applied inside a jit, scan or vmap"):
        watching.make_watch(hidden, 0, params, problem.carry(params))


def test_lines_are_read_back_as_a_diagnosis():
    saw = {"loss": 1.0, "gradient": {"w": None}, "weights": {"w": 2.0}, "norm": None, "layers": {}}
    saw["layers"] = {"gru": {"gradient": [1.0, None], "saturation": {"z": [0.1, 0.2, 0.5]}, "dead": 0.0}}
    found = watching.read(saw)
    assert np.isnan(found.gradient["w"])
    assert found.layers["gru"].saturation["z"].high == 0.2
