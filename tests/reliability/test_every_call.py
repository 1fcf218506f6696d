"""A save that dies, or fails, at any of its calls to the system leaves the earlier checkpoints as they were.

As SQLite is tested: not at some moments but at every one, n = 1, 2, ... until the save comes to its end before it.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrnn.runner.checkpoint import checkpoints, digests_of, restore, save
from reliability.saver import trees

NAMES, CREATES, WRITES, SYNCS, DELETES = 1, 2, 4, 8, 16
CALLS = Path(__file__).with_name("calls.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no Linux: the calls of Orbax's C++ cannot be counted")
    out = tmp_path_factory.mktemp("calls") / "calls.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", out, CALLS, "-ldl"], check=True)
    return str(out)


class Server:
    """Forks a saver for each request."""

    def __init__(self, folder, preload=""):
        self.folder, self.count = folder, 0
        environment = os.environ | {"LD_PRELOAD": preload, "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reliability.saver"],
            cwd=Path(__file__).parents[1],
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def saves(self, mishap):
        """(exit code, what was said, the directory)."""
        assert self.process.stdin
        assert self.process.stdout
        directory = self.folder / str(self.count)
        self.count += 1
        directory.mkdir()
        log = directory / "log"
        request = {"directory": str(directory), "log": str(log), "mishap": mishap}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), log.read_text(), directory

    def close(self):
        self.process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("plain"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def counting_server(tmp_path_factory, library):
    server = Server(tmp_path_factory.mktemp("counted"), library)
    yield server
    server.close()


def is_intact(directory):
    """The newest checkpoint is one of the three, bit for bit; the next save finds nothing in its way."""
    found = restore(directory, **trees(0))
    assert not found.skipped
    assert {n: digests_of(t) for n, t in found.trees.items()} == {
        n: digests_of(t) for n, t in trees(found.step).items()
    }
    assert found.step in (6, 8)
    with checkpoints(directory) as manager:
        save(manager, 10, **trees(10))
    assert restore(directory, **trees(0)).step == 10
    assert {path.name for path in (directory / "checkpoints").iterdir()} >= {"10"}
    assert not list((directory / "checkpoints").glob("*tmp*"))
    return found.step


def until_it_is_over(saves, at_least):
    """n = 1, 2, ... until a save ends before its n-th call."""
    for n in range(1, 5000):
        code, said, directory = saves(n)
        step = is_intact(directory)
        if code == 0:
            assert step == 8
            if "never reached" in said:
                assert n > at_least
                return print(f"{n - 1} calls")
        elif code == 1:
            assert said.startswith(f"checkpoint of step 8 cannot be written in {directory.resolve()}/checkpoints: ")
            assert said.count("\n") == 1
            assert "step 6 is there" in said or step == 8
        else:
            assert code == 137, said
        shutil.rmtree(directory)
    raise AssertionError("it never ended")


@pytest.mark.heavy
@pytest.mark.parametrize("error", [0, errno.EIO], ids=["death", "error"])
def test_at_every_rename_and_mkdir_of_python(error, server):
    until_it_is_over(lambda n: server.saves(["operation", n, error]), at_least=5)


CASES = {"renames and mkdirs": NAMES, "creations": CREATES, "writes": WRITES, "syncs": SYNCS, "deletions": DELETES}
SOME = {"renames and mkdirs"}  # the others are as many again, each


@pytest.mark.parametrize("error", [0, errno.ENOSPC], ids=["death", "no space"])
@pytest.mark.parametrize("kind", [k if k in SOME else pytest.param(k, marks=pytest.mark.heavy) for k in CASES])
def test_at_every_call_of_any_thread(kind, error, counting_server, library):
    until_it_is_over(lambda n: counting_server.saves(["system_call", library, CASES[kind], n, error]), at_least=5)
