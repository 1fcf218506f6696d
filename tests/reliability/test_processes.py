"""Of two processes either may die: the other ends soon and says why, and both go on from the last checkpoint."""

import os
import socket
import time

import pytest

from reliability.conftest import left

pytestmark = pytest.mark.xdist_group("processes")
TRAIN = "jaxrnn.runner.train"
LIMIT = 15.0  # seconds for the other to notice and end
DEATHS = {"a step": f"{TRAIN}:inputs 14", "a save": f"{TRAIN}:save 3", "a look": f"{TRAIN}:look 2"}
FEW = [(0, "a step"), (1, "a step")]
MANY = [(k, where) for k in (0, 1) for where in DEATHS if (k, where) not in FEW]


def together(start, *words, stalled=None, mishap=()):
    """Both processes of a run."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    shared = ("--coordinator", f"localhost:{port}", "--processes", 2, "--wait", 60, "--heartbeat", 10)
    return [start(*words, *shared, "--process", k, mishap=mishap if k == stalled else ()) for k in (0, 1)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What two processes leave that nothing happened to."""
    from reliability.child import Child

    folder = tmp_path_factory.mktemp("two")
    children = iter(range(2))
    both = together(
        lambda *words, mishap: Child(*words, log=folder / f"log{next(children)}"),
        *("train", "counting", "--out", folder / "run"),
    )
    assert [child.wait(120) for child in both] == [0, 0], [child.said() for child in both]
    return left(folder / "run")


@pytest.mark.parametrize(("dies", "where"), [*FEW, *(pytest.param(*case, marks=pytest.mark.heavy) for case in MANY)])
def test_a_process_that_is_killed_costs_no_bit(dies, where, start, unbroken, tmp_path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    place, _, call = DEATHS[where].partition(" ")
    if dies == 1 and where == "a save":
        place, call = f"{TRAIN}:on_host", "3"  # process 1 has its part in a save, and writes nothing
    mishap = ("stall", place, str(marker), "Python", int(call))
    both = together(start, "train", "counting", "--out", run, stalled=dies, mishap=mishap)
    while not marker.exists():
        assert all(child.process.is_alive() for child in both), [child.said() for child in both]
        time.sleep(0.01)
    began = time.monotonic()
    os.kill(both[dies].pid, 9)
    other = both[1 - dies]
    code = other.wait(60)
    assert time.monotonic() - began < LIMIT
    assert code != 0
    words = (
        f"jaxrnn: process {dies} of the run has ended, so this one ends too; start all of them again with --resume\n"
    )
    assert words in other.said()
    assert "Traceback" not in other.said()
    again = together(start, "train", "--resume", run)
    assert [child.wait(120) for child in again] == [0, 0], [child.said() for child in again]
    assert left(run) == unbroken
