"""Every test runs in float64 and under strict dtype promotion, so that a silent conversion is a failure; the CPU counts
as two devices, for the tests of sharding.
"""

import atexit
import gc
import importlib.metadata
import itertools
import os
import shutil
import tempfile
from pathlib import Path

# Compiling is most of the suite's time, and how well it is done is not what is under test: no optimisation by LLVM, one
# piece a program, and with jax 0.10 XLA's older kernels, which compile in a third of the time (later ones do not know
# that flag, and XLA dies of a flag it does not know).
FLAGS = ["--xla_force_host_platform_device_count=2"]
FLAGS += ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FLAGS += ["--xla_cpu_use_fusion_emitters=false"]
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))

# What one process has compiled, no other compiles again: the workers and the commands that tests start. A program whose
# writer is not done yet, or was killed, is compiled anew, and what JAX says of it belongs to no command's output.
if "PYTEST_XDIST_WORKER" not in os.environ:
    compiled = os.path.realpath(tempfile.mkdtemp(prefix="compiled-"))
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    os.environ["PYTHONWARNINGS"] = "ignore:Error reading persistent compilation cache:UserWarning"

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_addoption(parser):
    parser.addoption("--heavy", action="store_true", help="only the tests marked heavy, which are otherwise left out")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--heavy")
    config.hook.pytest_deselected(items=[item for item in items if ("heavy" in item.keywords) != wanted])
    items[:] = [item for item in items if ("heavy" in item.keywords) == wanted]


def pytest_collection_finish():
    """What is imported by now stays: nothing that collects garbage needs to look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """A text that a tiny network can be trained on."""
    path = tmp_path_factory.mktemp("data") / "book.txt"
    path.write_text("It was the best of times, it was the worst of times.\n" * 20)
    return path


MAPS = Path("/proc/self/maps")
_tests = itertools.count()


@pytest.fixture(autouse=True)
def room_for_programs():
    """A process may hold so many memory maps (65,530 on Linux), some for each compiled program: past them XLA dies.

    With 12,000 of them it holds some 3 GiB.
    """
    yield
    if next(_tests) % 20 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > 12_000:
        jax.clear_caches()
        gc.collect()
