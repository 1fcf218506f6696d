"""Children, and one run that was left alone."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def start(tmp_path):
    """Starts children, and leaves none behind."""
    from reliability.child import Child

    children = []

    def start(*arguments, mishap=()):
        children.append(Child(*arguments, log=tmp_path / f"child{len(children)}", mishap=mishap))
        return children[-1]

    yield start
    for child in children:
        child.kill()


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run of the counting task that nothing happened to."""
    from reliability.child import Child

    folder = tmp_path_factory.mktemp("whole")
    child = Child("train", "counting", "--out", folder / "run", log=folder / "log")
    assert child.wait() == 0, child.said()
    return folder / "run"


def left(run: Path):
    """All that a run leaves, without what tells the time: the digest of every array, the best, the metrics."""
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    record = json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if "second" not in k} for line in lines]
    digests = json.loads((newest / "meta" / "metadata").read_text())["digests"]
    return {"step": newest.name, "digests": digests, "lines": timeless} | {
        key: record[key] for key in ("status", "params_sha256", "best", "metrics")
    }
