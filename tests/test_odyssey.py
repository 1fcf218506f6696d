"""Of a sweep's trials the best of each variant counts, by the validation part, and all must be of one kind."""

import json

import pytest

from experiments import odyssey

SWEPT = ("sweep", "experiments/odyssey.toml", "--grid", "rate=1,2")
COMMAND = ["/bin/jaxrnn", *SWEPT, "--data", "/home/me/songs.mat", "--out", "/tmp/some"]


def trial(cell, rate, valid, test, status="completed", **other):
    """A run.json."""
    metrics = {"valid_nll": valid, "test_nll": test, "test_nll_by_seed": [test - 0.1, test + 0.1]}
    about = {"seed": 0, "parameters": 9, "best": {}, "anchors": {}, "data_sha256": "5a", "started": "", "seconds": 2.0}
    about |= {"versions": {"jax": "1"}, "device": {"kind": "cpu"}, "git": {"commit": "c0"}, "command": COMMAND}
    config = {"cell": cell, "rate": rate, "data": "/home/me/songs.mat"}
    return {"task": "polymusic", "status": status, "config": config, "metrics": metrics} | about | other


def sweep(folder, trials):
    for k, run in enumerate(trials):
        (folder / str(k)).mkdir(parents=True)
        (folder / str(k) / "run.json").write_text(json.dumps(run))
    options = [{"options": {key: run["config"][key] for key in ("cell", "rate")}} for run in trials]
    (folder / "plan.json").write_text(json.dumps({"trials": options}))
    return folder


@pytest.fixture
def trials():
    return [trial(cell, rate, 8 + rate, 9.0) for cell in odyssey.VARIANTS for rate in (0.1, 0.2)]


def test_the_best_on_the_validation_part_counts_whatever_the_test_part_says(tmp_path, trials):
    trials[0] |= {"started": "later", "command": ["jaxrnn", "sweep", "--resume", "some"]}
    trials += [
        trial("lstm_np", 0.3, 7.5, 10.0, git={"commit": "c1"}),
        trial("lstm_nog", 0.3, 1.0, 1.0, status="diverged"),
    ]
    odyssey.main(sweep(tmp_path / "some", trials), tmp_path / "results")
    result = json.loads((tmp_path / "results" / "odyssey.json").read_text())
    assert {cell: of["rate"] for cell, of in result["variants"].items()} == {
        cell: 0.3 if cell == "lstm_np" else 0.1 for cell in odyssey.VARIANTS
    }
    assert result["variants"]["lstm_np"]["metrics"]["test_nll"] == 10.0
    assert [result["variants"][cell]["git"]["commit"] for cell in ("lstm_np", "lstm_nog")] == ["c1", "c0"]
    assert len(result["trials"]) == 19
    assert result["seconds"] == 2.0 * 19
    swept = "jaxrnn sweep experiments/odyssey.toml --grid rate=1,2 --data songs.mat --out some"
    assert result["command"] == f"{swept}; python -m experiments.odyssey some"
    assert (tmp_path / "results" / "odyssey.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", odyssey.SHARED)
def test_trials_that_differ_are_refused(tmp_path, trials, what):
    with pytest.raises(ValueError, match=f"differ in {what}, .* and another,"):
        odyssey.completed(sweep(tmp_path, [*trials, trial("lstm_np", 0.3, 1.0, 1.0, **{what: "another"})]))


def test_a_folder_without_a_trial_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no completed trial"):
        odyssey.completed(tmp_path)


def test_a_variant_without_a_trial_is_named(tmp_path, trials):
    with pytest.raises(ValueError, match="no trial of lstm_diagonal was completed"):
        odyssey.best_of(odyssey.completed(sweep(tmp_path, trials[2:])))
