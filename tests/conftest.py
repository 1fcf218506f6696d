"""Every test runs in float64 and under strict dtype promotion, so that a silent conversion is a failure; the CPU counts
as two devices, for the tests of sharding.
"""

import gc
import itertools
import os
from pathlib import Path

# LLVM's optimisations cost a third of the suite's time and are not what is under test.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2")

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


MAPS = Path("/proc/self/maps")
_tests = itertools.count()


@pytest.fixture(autouse=True)
def room_for_programs():
    """A process may hold so many memory maps (65,530 on Linux), some for each compiled program: past them XLA dies."""
    yield
    if next(_tests) % 20 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
        gc.collect()
