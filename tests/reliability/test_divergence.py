"""A number that is not finite is found before the update: the step is not taken, and the last good weights are kept."""

import json
import re

import numpy as np
import pytest

from jaxrnn.runner.checkpoint import restore
from jaxrnn.runner.config.reading import from_options
from jaxrnn.runner.train import start as begin
from reliability import counting
from reliability.conftest import left

CULPRITS = {
    "data": r"batch\[0\] is not finite at \[2, 1, 0\]",
    "loss": "the loss is not finite",
    "gradient": r"the gradient of \[0\]\.\w+ is not finite",
    "carry": r"the carry \[0\]\S* is not finite",
}


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.heavy)], ids=str)
@pytest.mark.parametrize(
    "what", ["data", "carry", *(pytest.param(w, marks=pytest.mark.heavy) for w in ("loss", "gradient"))]
)
def test_the_step_is_not_taken_and_its_culprit_is_named(what, value, start, whole, tmp_path):
    """And the run goes on from the step before once its data, or its code, is mended."""
    run = tmp_path / "run"
    child = start("train", "counting", "--out", run, mishap=("poison", what, 7, value))
    assert child.wait() == 3
    hint = f"{run} keeps step 6; lower --rate or --clip"
    assert re.fullmatch(rf"jaxrnn: counting: step 7: {CULPRITS[what]}; {hint}\n", child.said()), child.said()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["4", "6"]
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    if value != value:  # the other ends as it does
        again = start("train", "--resume", run)
        assert again.wait() == 0, again.said()
        assert left(run) == left(whole)


@pytest.mark.parametrize(
    "options", ["--optimizer sgd --rate 1e30 --clip 0", "--rate 1e38 --schedule constant --warm-up 0 --clip 0"]
)
def test_a_rate_that_is_far_too_high_leaves_no_bad_checkpoint(options, start, tmp_path):
    run = tmp_path / "run"
    child = start("train", "counting", "--out", run, "--checkpoint-every", "1", *options.split())
    assert child.wait() == 3, child.said()
    assert re.fullmatch(r"jaxrnn: counting: step \d+: the .* is not finite; .*\n", child.said())
    config = from_options(counting.Counting, json.loads((run / "run.json").read_text())["config"], "run.json")
    begun = begin(counting.make(config), config)
    if (run / "checkpoints").exists() and list((run / "checkpoints").iterdir()):
        trees = restore(run, **begun.state._asdict(), best=begun.best).trees
        for name in ("params", "optimizer", "carry"):
            assert all(np.isfinite(leaf).all() for leaf in leaves(trees[name])), name


def leaves(tree):
    import jax

    return jax.tree.leaves(tree)


def test_a_score_that_is_no_number_is_never_the_best(start, tmp_path):
    run = tmp_path / "run"
    child = start("train", "counting", "--out", run, mishap=("poison", "score", 0, float("nan")))
    assert child.wait() == 0, child.said()
    record = json.loads((run / "run.json").read_text())
    assert record["best"]["step"] == 0
    assert record["best"]["params_sha256"] != record["params_sha256"]
    assert record["metrics"] == {"valid_error": None, "test_error": None}
