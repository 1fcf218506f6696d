"""A disk that is full, or fails, costs nothing that was saved before, and nothing is called saved that is not."""

import contextlib
import json
import re
import subprocess
import time

import pytest

from reliability.conftest import left


def fails(child, run):
    """What a run says that ends for the disk's sake."""
    assert child.wait() == 1, child.said()
    assert "saved" not in child.said() + child.shown()
    assert "Traceback" not in child.said()
    return child.said().splitlines()


def goes_on(run, start, whole):
    again = start("train", "--resume", run)
    assert again.wait() == 0, again.said()
    assert left(run) == left(whole)


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_leaves_the_one_before(start, whole, tmp_path):
    run = tmp_path / "run"
    (said,) = fails(start("train", "counting", "--out", run, mishap=("small_files", 3500)), run)
    place = f"checkpoint of step 8 cannot be written in {run}/checkpoints"
    assert said == f"jaxrnn: counting: {place}: File too large; step 4 is there; see {run}/run.json"
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["4"]
    goes_on(run, start, whole)


def test_a_disk_that_fills_up_while_a_run_goes_on(start, whole, tmp_path):
    disk, marker = tmp_path / "disk", tmp_path / "marker"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be made here: {mounted.stderr.decode().strip()}")
    try:
        run, filler = disk / "run", disk / "filler"
        child = start(
            *("train", "counting", "--out", run), mishap=("stall", "jaxrnn.runner.train:save", str(marker), "1", 2)
        )
        while not marker.exists():
            assert child.process.is_alive()
            time.sleep(0.01)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**12))
        *_, said = fails(child, run)
        place = f"checkpoint of step 8 cannot be written in {run}/checkpoints"
        reason = "No space left on device; step 4 is there"
        assert re.fullmatch(rf"jaxrnn: counting: {place}: .*{reason}; see {run}/run.json", said)
        filler.unlink()
        goes_on(run, start, whole)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


FILES = [
    pytest.param("metrics.jsonl", False, marks=pytest.mark.heavy),
    ("run.json", True),
    pytest.param("report.md", False, marks=pytest.mark.heavy),
]


@pytest.mark.parametrize(("name", "late"), FILES)
def test_a_file_that_cannot_be_written_costs_no_weights(name, late, start, whole, tmp_path):
    """The training goes on to its end, the last step is there, and the file is named."""
    run = tmp_path / "run"
    *_, said = fails(start("train", "counting", "--out", run, mishap=("unwritable", name, late)), run)
    assert re.fullmatch(rf"jaxrnn: .*{run}/{re.escape(name)} cannot be written: No space left on device.*", said)
    assert sorted(int(path.name) for path in (run / "checkpoints").iterdir()) == [20, 24]
    if name == "metrics.jsonl":
        assert f"it lacks 24 lines; see {run}/run.json" in said
        return
    goes_on(run, start, whole)


def test_no_run_begins_where_its_checkpoints_have_no_room(start, tmp_path):
    child = start("train", "counting", "--out", tmp_path / "run", mishap=("little_room",))
    assert child.wait() == 2
    assert re.fullmatch(
        rf"jaxrnn: out: {tmp_path} has 0.0 MB free, wanted \d\.\d+ MB for 4 checkpoints\n", child.said()
    )
    assert not (tmp_path / "run").exists()
