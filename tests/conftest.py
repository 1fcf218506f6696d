"""Every test runs in float64 and under strict dtype promotion, so that a silent conversion is a failure; the CPU counts
as two devices, for the tests of sharding.
"""

import os

# LLVM's optimisations cost a third of the suite's time and are not what is under test.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2")

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
