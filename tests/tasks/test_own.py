"""A task of one's own: the file that README shows, as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrnn.runner import Problem, Trained, own

ROOT = Path(__file__).parents[2]
TINY = ["--units", "3", "--length", "4", "--batch", "2", "--evaluate-every", "3"]


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    """README's file, and what it does when told so."""
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "command(make)" in block
    ]
    folder = tmp_path_factory.mktemp("own")
    (folder / "adding.py").write_text(code)

    def run(*arguments):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "adding.py", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return folder, run


def test_it_trains_goes_on_and_is_judged(adding):
    folder, run = adding
    code, _, said = run("train", *TINY, "--steps", "6", "--out", "run")
    assert (code, said) == (0, "")
    code, _, said = run("train", "--resume", "run", "--steps", "9")
    assert (code, said) == (0, "")
    record = json.loads((folder / "run" / "run.json").read_text())
    assert (record["task"], record["status"], record["config"]["units"]) == ("adding", "completed", 3)
    assert [json.loads(line)["step"] for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()][-1] == 9
    code, printed, said = run("eval", "run", "--json")
    assert (code, said) == (0, "")
    assert json.loads(printed)["scores"]["loss"] == pytest.approx(record["metrics"]["test_loss"], rel=1e-5)


def test_its_options_are_those_of_its_dataclass(adding):
    _, run = adding
    code, printed, _ = run("train", "--units", "3", "--length", "4", "--print-config")
    assert code == 0
    assert printed.startswith('task = "adding"\n')
    assert "units = 3\nlength = 4\n" in printed
    code, printed, _ = run("train", "--help")
    assert (code, printed.splitlines()[0]) == (0, "Usage: python adding.py train [OPTIONS]")
    code, _, said = run("train", "--unit", "3")
    assert code == 2
    assert "--units" in said


@pytest.mark.parametrize(
    ("tokens", "meant"),
    [
        ("train --units 3", "train mine --units 3"),
        ("train", "train mine"),
        ("train mine --units 3", "train mine --units 3"),
        ("train text", "train text"),
        ("train recipe.toml --units 3", "train recipe.toml --units 3"),
        ("train --resume runs/a", "train mine --resume runs/a"),
        ("sweep --grid units=1,2", "sweep mine --grid units=1,2"),
        ("eval runs/a", "eval runs/a"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_the_file_has_said_the_tasks_name(tokens, meant, monkeypatch):
    monkeypatch.setitem(own.TASKS, "mine", own.Task(Trained, lambda config: None))
    assert own.meant(tokens.split(), "mine") == meant.split()


def test_an_annotation_that_is_no_configuration_is_told():
    def make(config: int) -> Problem: ...

    with pytest.raises(ValueError, match="first argument of make is <class 'int'>, wanted a dataclass"):
        own.config_of(make)
    with pytest.raises(ValueError, match="first argument of make is None"):
        own.config_of(lambda config: None)
