"""What can be done with runs: each command on two tiny ones, and what it refuses."""

import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_runner import COMMAND, TINY, failure

from jaxrnn.cli import main
from jaxrnn.runner.config import Trained
from jaxrnn.runner.tasks import TASKS

pytestmark = pytest.mark.xdist_group("commands")
ALL = ("train", "eval", "predict", "sample", "sweep", "compare", "inspect", "bench", "export", "doctor")


def command(*arguments, cwd=None):
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text, and a sweep of two trials over it, whose folders are runs like any other."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "book.txt").write_text("It was the best of times, it was the worst of times.\n" * 20)
    told = ("--data", folder / "book.txt", "--out", folder / "sweep", *TINY)
    (folder / "said").write_text(command("sweep", "text", "--grid", "units=4,8", *told))
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    plan = json.loads((folder / "sweep" / "plan.json").read_text())
    return [folder / "sweep" / trial["folder"] for trial in plan["trials"]]


def test_a_sweep_ends_with_its_trials_best_first(folder, runs):
    rows = json.loads((folder / "sweep" / "sweep.json").read_text())
    scores = [json.loads((run / "run.json").read_text())["metrics"]["valid_bits"] for run in runs]
    assert [row["trial"] - 1 for row in rows] == np.argsort(scores).tolist()
    assert sorted(row["units"] for row in rows) == [4, 8]
    assert f"the best trial is {runs[int(np.argmin(scores))]}" in (folder / "said").read_text().replace("\n", " ")
    assert (folder / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_that_goes_on_trains_no_finished_trial_again(folder, runs):
    before = [(run / "run.json").read_bytes() for run in runs]
    said = command("sweep", "--resume", folder / "sweep")
    assert said.count("completed before") == 2
    assert [(run / "run.json").read_bytes() for run in runs] == before


def test_a_run_whose_data_have_moved_is_told_where_they_are(folder, runs, tmp_path, capsys):
    run, book = tmp_path / "run", tmp_path / "book.txt"
    shutil.copytree(runs[0], run)
    shutil.copy(folder / "book.txt", book)
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"] = str(tmp_path / "before.txt")
    (run / "run.json").write_text(json.dumps(record))
    gone = f"jaxrnn: data: {tmp_path / 'before.txt'} is not there"
    way_out = f"if it has moved, jaxrnn train --resume {run} --data PLACE tells the run where it is"
    assert failure(capsys, "train", "--resume", run) == (2, f"{gone}; {way_out}")

    (tmp_path / "other.txt").write_text("It was the worst of times, it was the best of times.\n" * 20)
    code, said = failure(capsys, "train", "--resume", run, "--data", tmp_path / "other.txt")
    assert code == 2
    assert said.startswith(f"jaxrnn: data: it has changed since {run} began")
    assert json.loads((run / "run.json").read_text()) == record

    main(["train", "--resume", str(run), "--data", str(book)])
    main(["eval", str(run)])
    assert json.loads((run / "run.json").read_text())["params_sha256"] == record["params_sha256"]


def test_a_run_without_its_data_is_used_all_the_same(folder, runs, tmp_path, capsys):
    run, book, gone = tmp_path / "run", tmp_path / "book.txt", tmp_path / "before.txt"
    shutil.copytree(runs[0], run)
    shutil.copy(folder / "book.txt", book)
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"] = str(gone)
    (run / "run.json").write_text(json.dumps(record))

    way_out = f"jaxrnn eval {run} --split valid --data PLACE scores it where it is now, --data FILE alone a file of"
    code, said = failure(capsys, "eval", run, "--split", "valid")
    assert code == 2
    assert said.startswith(f"jaxrnn: data: {gone} is not there; {way_out} your own")
    main(["eval", str(run), "--split", "test", "--data", str(book), "--json"])
    scored = json.loads(capsys.readouterr().out)
    assert scored["scores"]["bits"] == pytest.approx(record["metrics"]["test_bits"], rel=1e-5)
    assert scored["anchors"]
    book.write_text("It was the worst of times.")
    code, said = failure(capsys, "eval", run, "--split", "test", "--data", book)
    assert (code, f"data: {book} is not what {run} was trained on" in said) == (2, True)

    main(["eval", str(run), "--data", str(book)])
    assert f"that is counted in the training data. data: {gone} is not there" in capsys.readouterr().out
    main(["predict", str(run), str(book)])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(book.read_text())
    main(["sample", str(run), "--prompt", "It", "--length", "3"])
    assert len(capsys.readouterr().out.removesuffix("\n")) == 5
    main(["export", str(run), "-o", str(tmp_path / "exported")])
    assert "of made-up data" in capsys.readouterr().out
    assert "of made-up data" in (tmp_path / "exported" / "README.md").read_text()


def test_eval_gives_the_scores_of_the_run(runs, capsys):
    main(["eval", str(runs[0]), "--json"])
    scored = json.loads(capsys.readouterr().out)
    wanted = json.loads((runs[0] / "run.json").read_text())["metrics"]["test_bits"]
    assert scored["scores"]["bits"] == pytest.approx(wanted, rel=1e-5)  # float32
    assert scored["anchors"]


def test_predict_gives_a_row_a_character_and_never_writes_over_a_file(folder, runs, tmp_path, capsys):
    out = tmp_path / "out.csv"
    main(["predict", str(runs[0]), str(folder / "book.txt"), "-o", str(out)])
    assert len(out.read_text().splitlines()) > 1000
    before = out.read_bytes()
    code, said = failure(capsys, "predict", runs[0], folder / "book.txt", "-o", out)
    assert code == 2
    assert str(out) in said
    assert out.read_bytes() == before


def test_compare_shows_what_differs(runs, tmp_path, capsys):
    main(["compare", *map(str, runs), "--out", str(tmp_path / "c"), "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["units"] for row in rows] == [4, 8]
    assert "seed" not in rows[0]
    assert (tmp_path / "c" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_export_reads_back_what_it_wrote(runs, tmp_path):
    said = command("export", runs[0], "-o", tmp_path / "exported")
    assert "bit for bit" in said
    assert {path.suffix for path in (tmp_path / "exported").iterdir()} >= {".safetensors"}


def test_doctor_tells_versions_and_methods(capsys):
    main(["doctor"])
    said = capsys.readouterr().out
    assert re.search(r"jax +\d+\.\d+", said)
    assert "fused" in said


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_of_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main([name, "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: jaxrnn {name}")
    assert all(len(line.rstrip()) <= 80 for line in said.splitlines())


@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_a_task_is_in_its_help(name, capsys):
    main(["train", name, "--help"])
    said = capsys.readouterr().out
    for field in dataclasses.fields(TASKS[name].config):
        assert f"--{field.name.replace('_', '-')}" in said, field.name
    assert "<" not in (TASKS[name].config.__doc__ or ""), "help leaves out what looks like a tag"


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_the_options_of_all_tasks_are_named_without_one(verb, capsys):
    main([verb, "--help"])
    said = capsys.readouterr().out
    assert all(f"--{field.name.replace('_', '-')}" in said for field in dataclasses.fields(Trained))
    assert f"jaxrnn {verb} TASK --help" in said


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_no_recipe_names_a_coordinator(verb, tmp_path, capsys):
    path = tmp_path / "r.toml"
    path.write_text('task = "text"\ncoordinator = "elsewhere:1"\n')
    said = f"jaxrnn: recipe: {path} names a coordinator, wanted it on the command line alone: --coordinator"
    assert failure(capsys, verb, path) == (2, said)


WRONG = {
    "trian text": (2, "train"),
    "train txet": (2, "text"),
    "train text --unist 3": (2, "--units"),
    "train text --schedule cosin": (2, "cosine"),
    "train text --optimizer adma": (2, "did you mean 'adam'"),
    "train ett.csv": (2, "jaxrnn train series --data ett.csv"),
    "sweep my.txt.gz": (2, "jaxrnn sweep text --data my.txt.gz"),
    "train text --rate -1": (2, "0"),
    "sweep text --grid unist=3": (2, "units"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_slip_of_the_pen_is_told_what_was_meant(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    printed = capsys.readouterr()
    assert (stop.value.code, WRONG[words][1] in printed.out + printed.err) == (WRONG[words][0], True), printed
