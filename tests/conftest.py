"""Every test runs in float64 and under strict dtype promotion, so that a silent conversion is a failure."""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
