"""SIGINT and SIGTERM at any point: the last finished step is saved and said in one line, within five seconds."""

import contextlib
import json
import os
import re
import signal
import time

import pytest

from reliability.conftest import left

EXIT = {signal.SIGTERM: 143, signal.SIGINT: 130}
LIMIT = 5.0  # seconds
RUN, TRAIN = "jaxrnn.runner.run", "jaxrnn.runner.train"
# where, how the process is busy there, the call of it that is met, the last step finished by then (None: no run yet)
POINTS = {
    "load": (f"{RUN}:make_problem", "Python", 1, None),
    "load, in C": (f"{RUN}:make_problem", "C", 1, None),
    "start": (f"{RUN}:start", "Python", 1, None),
    "before the loop": (f"{TRAIN}:make_update", "Python", 1, 0),
    "first compilation, in C": (f"{TRAIN}:inputs", "C", 1, 0),
    "first step": (f"{TRAIN}:inputs", "1", 1, 1),
    "a step": (f"{TRAIN}:inputs", "1", 8, 8),
    "evaluation": (f"{TRAIN}:look", "Python", 2, 10),
    "evaluation, in C": (f"{TRAIN}:look", "C", 2, 10),
    "a save": (f"{TRAIN}:save", "1", 2, 8),
    "the last evaluation": (f"{RUN}:scored", "Python", 1, 24),
    "report": (f"{RUN}:write_report", "Python", 1, 24),
}


def signalled(child, marker, number, *, again=False):
    """(exit code, seconds that it took) of a child that gets the signal where it has made its mark."""
    while not marker.exists():
        assert child.process.is_alive(), child.said()
        time.sleep(0.01)
    began = time.monotonic()
    os.kill(child.pid, number)
    if again:
        time.sleep(0.5)
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # it has ended: on a busy machine the sleep outlasts its grace
            os.kill(child.pid, number)
    return child.wait(), time.monotonic() - began


# At each change a point meets one of the two, in turn, but for the one that takes longest: two others are in C too. The
# rest with `pytest --heavy`.
OFTEN = [(point, [*EXIT][k % 2]) for k, point in enumerate(POINTS) if point != "evaluation, in C"]
CASES = [
    pytest.param(point, number, marks=[pytest.mark.heavy] * ((point, number) not in OFTEN), id=f"{point}-{number.name}")
    for point in POINTS
    for number in EXIT
]


@pytest.mark.parametrize(("point", "number"), CASES)
def test_a_signal_saves_the_last_step_and_ends(point, number, start, whole, tmp_path):
    where, how, call, step = POINTS[point]
    run, marker = tmp_path / "run", tmp_path / "marker"
    child = start("train", "counting", "--out", run, mishap=("stall", where, str(marker), how, call))
    code, seconds = signalled(child, marker, number)
    said = child.said()
    assert code == EXIT[number], said
    assert seconds < LIMIT
    assert said.count("\n") == 1, said
    if step is None:
        assert said == "jaxrnn: interrupted\n"
        assert not run.exists()
        return
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    if step:
        assert said == f"jaxrnn: counting: stopped at step {step}, which is saved in {run}\n"
    else:
        assert said == f"jaxrnn: counting: stopped before its first step was saved in {run}\n"
    assert max((int(p.name) for p in (run / "checkpoints").glob("[0-9]*")), default=0) == step
    if point in ("evaluation", "evaluation, in C", "report"):
        again = start("train", "--resume", run)
        assert again.wait() == 0, again.said()
        assert left(run) == left(whole)


SLOW = [("save", "20"), *(pytest.param(*case, marks=pytest.mark.heavy) for case in [("save", "C"), ("look", "C")])]


@pytest.mark.parametrize(("where", "how"), SLOW)
def test_a_second_signal_ends_at_once(where, how, start, tmp_path):
    """Even in C, even in the middle of a save."""
    marker = tmp_path / "marker"
    mishap = ("stall", f"{TRAIN}:{where}", str(marker), how, 1)
    child = start("train", "counting", "--out", tmp_path / "run", mishap=mishap)
    code, seconds = signalled(child, marker, signal.SIGTERM, again=True)
    assert (code, seconds < 1) == (143, True)


def test_two_signals_at_once_are_one(start, tmp_path):
    """A terminal and a wrapper both pass on the same Ctrl-C."""
    run, marker = tmp_path / "run", tmp_path / "marker"
    child = start("train", "counting", "--out", run, mishap=("stall", f"{TRAIN}:save", str(marker), "1", 2))
    while not marker.exists():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() in (130, 143)
    assert re.fullmatch(r"jaxrnn: counting: stopped at step 8, which is saved in .*\n", child.said())
