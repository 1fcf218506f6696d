"""Lyapunov exponents: how fast neighbouring states part or meet along a trajectory, in nats a step.

    Q_t R_t = J_t Q_{t-1}          lambda_k = mean over t of log R_t[k, k]

The QR method of Benettin et al. 1980; for recurrent networks Vogt et al. 2022, Engelken et al. 2023. The largest above
0 means chaos and gradients that explode, all far below 0 a memory that is soon gone: a direction with exponent lambda
fades or grows by the factor e every 1/|lambda| steps. `running_lyapunov` shows whether the mean has settled.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jaxrnn import checks
from jaxrnn.analysis.stepping import as_map
from jaxrnn.types import Carry, Layer, Params


def lyapunov(
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    k: int = 1,
    *,
    key: PRNGKeyArray,
    warm_up: int = 0,
    mask: Bool[Array, "T"] | None = None,
    reset: Bool[Array, "T"] | None = None,
) -> Float[Array, "k"]:
    """The k largest exponents of the layer driven by xs, one sequence; of a stack, those of all its layers together.

    key       draws the k directions to begin with
    warm_up   steps until these have turned to where they belong, which are not counted
    mask      which steps are real: the mean is over these alone, and warm_up counts these

    A carry narrower than float32 is followed in float32, unrounded. Under jit, where the mask is not known, no steps to
    count give NaN. Raises ValueError on more exponents than the carry has numbers, no steps to count, a layer that
    reads from the end, and a batch: jax.vmap serves that.
    """
    logs, counted = log_stretches("lyapunov", layer, params, carry, xs, k, key, warm_up, mask, reset)
    return logs.mean(0, where=counted[:, None])


def running_lyapunov(
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    k: int = 1,
    *,
    key: PRNGKeyArray,
    warm_up: int = 0,
    mask: Bool[Array, "T"] | None = None,
    reset: Bool[Array, "T"] | None = None,
) -> Float[Array, "T k"]:
    """What `lyapunov` would give after each step; the last is what it gives, up to rounding.

    Exponents have settled where the later half is flat, within what matters. NaN before the first step that counts.
    Arguments and errors are those of `lyapunov`.
    """
    logs, counted = log_stretches("running_lyapunov", layer, params, carry, xs, k, key, warm_up, mask, reset)
    so_far = jnp.cumsum(counted).astype(logs.dtype)[:, None]
    return jnp.cumsum(jnp.where(counted[:, None], logs, 0), 0) / so_far


def log_stretches(
    owner: str,
    layer: Layer,
    params: Params,
    carry: Carry,
    xs: Array,
    k: int,
    key: PRNGKeyArray,
    warm_up: int,
    mask: Bool[Array, "T"] | None,
    reset: Bool[Array, "T"] | None,
) -> tuple[Float[Array, "T k"], Bool[Array, "T"]]:
    """(log R_t[k, k], which steps count)."""
    step, start, moments = as_map(owner, layer, params, carry, xs, mask, reset)
    checks.size(owner, k=k)
    checks.size(owner, at_least=0, warm_up=warm_up)
    if k > start.size:
        raise ValueError(f"{owner}: k is {k}, wanted at most {start.size}, the numbers in the carry")
    if warm_up >= xs.shape[0]:
        raise ValueError(f"{owner}: warm_up is {warm_up}, wanted fewer than the {xs.shape[0]} steps of x")
    checks.steps(owner, "mask", mask, xs.shape[:1])
    known = mask is not None and not isinstance(mask, Tracer)
    if known and warm_up >= (n := int(np.asarray(mask).sum())):
        raise ValueError(f"{owner}: warm_up is {warm_up}, wanted fewer than the {n} real steps of mask")

    def body(carried: tuple[Array, Array], moment: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        state, q = carried
        after, push = jax.linearize(lambda state: step(state, moment), state)
        q, r = jnp.linalg.qr(jax.vmap(push, 1, 1)(q))
        return (after, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    q, _ = jnp.linalg.qr(jax.random.normal(key, (start.size, k), start.dtype))
    _, logs = jax.lax.scan(body, (start, q), moments)
    real = jnp.ones(xs.shape[0], bool) if mask is None else jnp.asarray(mask)
    return logs, real & (jnp.cumsum(real) > warm_up)
