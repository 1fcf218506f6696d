"""kill -9 at any moment costs no more than the steps since the last checkpoint: a resumed run is the unbroken one."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from reliability.conftest import left

HEAVY = [pytest.param(chain, marks=pytest.mark.heavy) for chain in range(5, 100)]


def again(run):
    """What to type to go on, or to begin where nothing was begun."""
    if (run / "run.json").exists():
        return ("train", "--resume", run)
    shutil.rmtree(run, ignore_errors=True)
    return ("train", "counting", "--out", run)


@pytest.mark.parametrize("chain", [*range(5), *HEAVY])
def test_a_run_killed_again_and_again_is_bit_for_bit_the_unbroken_one(chain, start, whole, tmp_path):
    """Five kills in a row, each at a random moment: in the first run, and then in each that goes on with it."""
    draws, run = random.Random(chain), tmp_path / "run"
    for _ in range(5):
        child = start(*again(run))
        time.sleep(draws.uniform(0, 1.5))
        child.kill()
        child.wait()
    child = start(*again(run))
    assert child.wait() == 0, child.said()
    assert left(run) == left(whole)


@pytest.mark.heavy
def test_a_process_killed_while_it_imports_and_compiles(whole, tmp_path):
    """The forked children above have imported everything already; this one begins as the user's does."""
    run, draws = tmp_path / "run", random.Random(0)
    main = [sys.executable, "-c", "import reliability.child as child; child.jaxrnn.cli.main()"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_ENABLE_COMPILATION_CACHE": "0"}
    how = {"env": os.environ | environment, "stdout": subprocess.DEVNULL}
    for _ in range(3):
        with subprocess.Popen([*main, *map(str, again(run))], stderr=subprocess.DEVNULL, **how) as process:
            time.sleep(draws.uniform(0, 4))
            process.kill()
    subprocess.run([*main, *map(str, again(run))], check=True, **how)
    assert left(run) == left(whole)
