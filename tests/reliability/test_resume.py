"""A run goes on as it began, or is told by name what is another now."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from jaxrnn.runner.config import Text
from jaxrnn.runner.config.reading import MAY_CHANGE, refuse_changes
from reliability.conftest import left

FIELDS = [field.name for field in dataclasses.fields(Text)]
CHOICES = {"schedule": "linear", "compute": "bfloat16", "cell": "gru", "optimizer": "sgd", "devices": "all"}


def another(name):
    """A value that the field has not by default."""
    value = getattr(Text(), name)
    if name in CHOICES:
        return CHOICES[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"seeds": (1, 2), "coordinator": "here:1", "data": Path("other.txt"), "out": Path("other")}.get(name, 1)


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_may_change_or_is_refused_by_its_name(name):
    before, now = Text(), dataclasses.replace(Text(), **{name: another(name)})
    if name in MAY_CHANGE:
        refuse_changes(before, now)
    else:
        with pytest.raises(ValueError, match=rf"^resume: {name} was .* when the run began, got .*") as refused:
            refuse_changes(before, now)
        assert "\n" not in str(refused.value)
    refuse_changes(now, now)


def test_what_may_change_changes_no_number_of_a_step():
    """Beside these, every option is one of the run for good."""
    assert set(FIELDS) >= set(MAY_CHANGE)
    assert not set(MAY_CHANGE) & {
        "seed",
        "seeds",
        "batch",
        "rate",
        "cell",
        "units",
        "layers",
        "data",
        "dropout",
        "clip",
    }


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def edit(run, **values):
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def left_as(run):
    """Every file of a run but its lock, byte for byte."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}


REFUSED = {
    "another rate": (["--rate", "0.5"], {}, "resume: rate was 0.01 when the run began, got 0.5; what may change is "),
    "another place": (["--out", "elsewhere"], {}, "resume: out was "),
    "another task": (["text"], {}, "resume: {run} is a run of 'counting', got 'text'"),
    "fewer steps": (["--steps", "7"], {}, "steps: got 7, {run} has taken 24 already"),
    "other data": ([], {"data_sha256": "1" * 64}, "data: it has changed since {run} began; a run goes on with what"),
    "no run": ([], None, "run: {run} is not a run: run.json cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_another_is_refused(case, start, copy):
    options, record, words = REFUSED[case]
    if record is None:
        (copy / "run.json").unlink()
    elif record:
        edit(copy, **record)
    before = left_as(copy)
    child = start("train", *(o for o in options if o == "text"), "--resume", copy, *(o for o in options if o != "text"))
    assert child.wait() == 2
    assert child.said().startswith("jaxrnn: " + words.format(run=copy)), child.said()
    assert child.said().count("\n") == 1
    assert left_as(copy) == before, "a finished run was touched"


def test_a_finished_run_goes_on_for_more_steps(start, copy):
    child = start("train", "--resume", copy, "--steps", "30", "--checkpoint-every", "10")
    assert child.wait() == 0, child.said()
    lines = [json.loads(line)["step"] for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, 31))
    assert left(copy)["step"] == "30"


def test_a_finished_run_that_is_resumed_stays_as_it_is(start, copy, whole):
    child = start("train", "--resume", copy)
    assert child.wait() == 0, child.said()
    assert left(copy) == left(whole)
