"""Fixed and slow points of a network under a constant input, and what it does near them.  Sussillo & Barak 2013

    F(h) = the state after a step from h, with x held         q(h) = |F(h) - h|^2 / 2

Where q = 0 the state stays for ever; where q is small and lowest it moves slowly, whatever it does elsewhere. The
search starts from many states: first by Adam, which finds the valley, then by Gauss-Newton steps, damped as much as it
takes for q to fall (Levenberg 1944, Marquardt 1963), which find its ground. Where that lies above 0 there is no fixed
point but a slow one, past which the state creeps; `FixedPoints.converged` tells them apart. Near a point the network is
the linear map dF/dh: along an eigenvector with |eigenvalue| below 1 states come back, above 1 they leave, and the
nearer it is to 1 the longer both take. `linearised` has the eigenvectors, and what the input does there.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray, Shaped

from jaxrnn import checks
from jaxrnn.analysis.linearisation import flow, jacobians, layer_of, number_of, spectra
from jaxrnn.analysis.stepping import flattened
from jaxrnn.types import Carry, Cell, Layer, Params

FAR = 3.0
FIXED = 1e-10  # the largest q of a fixed point; rounding leaves less, in float32 too, of states of norm 10
AT_ONCE = 64  # states whose Jacobians are held at the same time


class FixedPoints(NamedTuple):
    """The slowest first; k of them, of a state of n numbers (all of the carry, an LSTM's h and c).

    Trust `converged`: there alone the state stays for ever, and a point without unstable directions is an attractor.
    The others are slow points, which states creep past; their eigenvalues tell of the time they are near.
    """

    carries: Carry  # [k, ...]
    q: Float[np.ndarray, "k"]
    eigenvalues: Complex[np.ndarray, "k n"]  # of dF/dh, the largest first
    reached: Int[np.ndarray, "k"]  # how many starts ended there

    @property
    def converged(self) -> Bool[np.ndarray, "k"]:
        """Which are fixed points: q is at most FIXED, 1e-10. In float32 a state of norm 100 is rounded by as much."""
        return np.asarray(self.q <= FIXED)


def fixed_points(
    network: Cell | Layer,
    params: Params,
    x: Shaped[Array, "..."],
    starts: Carry,
    *,
    slow: float = 1e-4,
    apart: float = 1e-2,
    steps: int = 500,
    rate: float = 0.01,
    newton: int = 200,
) -> FixedPoints:
    """Where the network stays, or nearly so, with the input x of one moment held.

    x        [n_in], or a whole number for a layer that begins with embed
    starts   a carry whose arrays have one leading axis: the states to start from, such as `scattered` takes from
             trajectories; what no start leads to is not found
    slow     points with q above are dropped; those below it are fixed points only where `converged` says so. `near`
             drops more: points far from all starts, as nothing says that the network ever comes there
    apart    points whose states are nearer than this, by the largest number, are one
    steps    of Adam, at this rate
    newton   damped Gauss-Newton steps after them, at most: each start has as many as it takes. Along a line attractor
             they slide to the few fixed points on it; steps=0, newton=4 leave most starts where they met the line, as
             slow points all along it

    Attractors are the points with `(unstable(found) == 0) & found.converged`.
    Raises ValueError on a network that does not read from the start, on starts that are not as its carry, and on starts
    narrower than float32, whose rounding no q is below.
    """
    layer = layer_of("fixed_points", network, params, "starts", starts)
    checks.size("fixed_points", at_least=0, steps=steps, newton=newton)
    checks.positive("fixed_points", slow=slow, apart=apart, rate=rate)
    x = jnp.asarray(x)
    found, q = _search(layer, params, x, starts, steps, rate, newton)
    states = np.asarray(flattened(found))
    q = np.where(near(states, np.asarray(flattened(starts))), q, np.inf)
    kept, reached = distinct(states, q, slow, apart)
    carries = jax.tree.map(lambda leaf: leaf[kept], found)
    spectrum = spectra(np.asarray(jacobians(layer, 0, params, x, carries), np.float64))
    return FixedPoints(carries, q[kept], spectrum, reached)


def trajectory(layer: Layer, params: Params, carry: Carry, xs: Shaped[Array, "T *like_xs"]) -> Carry:
    """The carry after each step, [T, *batch, ...] a leaf: of all of the layer, so that it can go on from there."""
    checks.forward("trajectory", "layer", layer)

    def step(carry: Carry, x: Array) -> tuple[Carry, Carry]:
        carry, _ = layer.apply(params, carry, x[None])
        return carry, carry

    return jax.lax.scan(step, carry, jnp.asarray(xs))[1]


def scattered(carries: Carry, count: int, *, key: PRNGKeyArray, axes: int = 1, noise: float = 0.0) -> Carry:
    """`count` states drawn from many, each with Gaussian noise on it: starts for `fixed_points`.

    axes    how many axes count the states: 1 for a `trajectory` [T, ...], 2 for [T, B, ...]
    noise   its deviation
    """
    checks.size("scattered", count=count, axes=axes)
    flat = jax.tree.map(lambda a: jnp.asarray(a).reshape(-1, *a.shape[axes:]), carries)
    key, which = jax.random.split(key)
    places = jax.random.randint(which, (count,), 0, number_of("scattered", "carries", flat))
    leaves, structure = jax.tree.flatten(jax.tree.map(lambda a: a[places], flat))
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        a + noise * jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)
    )


def unstable(points: FixedPoints) -> Int[np.ndarray, "k"]:
    """Along how many directions states leave each point: 0 for an attractor, where the point has `converged`."""
    return (np.abs(points.eigenvalues) > 1).sum(-1)


def time_constants(eigenvalues: Complex[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Steps in which the distance along each eigenvector shrinks e-fold, -1 / ln|eigenvalue|.

    Below 0 where it grows e-fold in so many; infinite at |eigenvalue| = 1; 0 where one step ends it.
    """
    with np.errstate(divide="ignore"):
        return 1 / (0 - np.log(np.abs(eigenvalues)))  # 0 - 0 is 0, where -0 would give -inf


def kind(points: FixedPoints, k: int, fixed: float = FIXED) -> str:
    """What the k-th point is in a few words; `fixed` is the largest q of a fixed point."""
    leaving, n = int(unstable(points)[k]), points.eigenvalues.shape[-1]
    if leaving == 0:
        words = "stable"
    else:
        directions = "1 unstable direction" if leaving == 1 else f"{leaving} unstable directions"
        words = f"{'saddle' if leaving < n else 'unstable'}, {directions}"
    return words if points.q[k] <= fixed else f"slow point ({words})"


def near(states: Float[np.ndarray, "K n"], starts: Float[np.ndarray, "S n"]) -> Bool[np.ndarray, "K"]:
    """Which states are within FAR times the radius of the starts about their middle.

    The radius is no less than 1 nor than the size of any start: starts close to each other do not say how far the
    network comes. Starts that are all the same say nothing, and all finite states are near them.
    """
    middle = starts.mean(0)
    if (starts == starts[0]).all():
        return np.asarray(np.isfinite(states).all(-1))
    radius = max(np.linalg.norm(starts - middle, axis=-1).max(), np.linalg.norm(starts, axis=-1).max(), 1)
    return np.linalg.norm(states - middle, axis=-1) <= FAR * radius


def distinct(
    states: Float[np.ndarray, "K n"], q: Float[np.ndarray, "K"], slow: float, apart: float
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """(places of the slowest of each group, sizes of the groups), the slowest first."""
    kept, reached = [], []
    for place in np.argsort(q, kind="stable"):
        if not q[place] <= slow:  # nor what left the finite numbers
            continue
        near = np.abs(states[kept] - states[place]).max(-1) < apart
        if near.any():
            reached[int(near.argmax())] += 1
        else:
            kept.append(int(place))
            reached.append(1)
    return np.array(kept, int), np.array(reached, int)


@functools.partial(jax.jit, static_argnums=(0, 4, 6))
def _search(
    layer: Layer, params: Params, x: Array, starts: Carry, steps: int, rate: float, newton: int
) -> tuple[Carry, Float[Array, "K"]]:
    F, shaped = flow(layer, params, starts)

    def rest(state: Array) -> Array:
        return F(state, x) - state

    def q(state: Array) -> Array:
        return (rest(state) ** 2).sum() / 2

    def adam(state: Array) -> Array:
        """Kingma & Ba 2015, with the rate falling to 0."""

        def step(moments: tuple[Array, Array, Array], t: Array) -> tuple[tuple[Array, Array, Array], None]:
            state, m, v = moments
            g = jax.grad(q)(state)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            by = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
            return (state - (rate * (1 - t / (steps + 1))).astype(state.dtype) * by, m, v), None

        times = jnp.arange(1, steps + 1, dtype=state.dtype)
        return jax.lax.scan(step, (state, jnp.zeros_like(state), jnp.zeros_like(state)), times)[0][0]

    def gauss_newton(state: Array) -> Array:
        """Until q is 0 to rounding, or the step that should lower it is lost in rounding."""
        eps = jnp.finfo(state.dtype).eps

        def going(at: tuple[Array, Array, Array, Array]) -> Array:
            k, state, _, lost = at
            return (k < newton) & ~lost & (q(state) > (eps * jnp.linalg.norm(state)) ** 2 / 2)

        def step(at: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            k, state, damping, _ = at
            r, J = rest(state), jax.jacfwd(rest)(state)
            normal = J.T @ J + damping * jnp.eye(len(state), dtype=state.dtype)
            by = jax.scipy.linalg.solve(normal, J.T @ r, assume_a="pos")
            new = state - by
            better = q(new) < q(state)  # false where it is not a number
            lost = ~better & (jnp.linalg.norm(by) <= eps * jnp.linalg.norm(state))
            damping = jnp.maximum(damping * jnp.where(better, 0.2, 5.0).astype(state.dtype), eps**2)  # 0 would stay 0
            return k + 1, jnp.where(better, new, state), damping, lost

        begun = jnp.asarray(0), state, jnp.asarray(1e-3, state.dtype), jnp.asarray(False)
        return jax.lax.while_loop(going, step, begun)[1]

    states = jax.vmap(adam)(flattened(starts))
    states = jax.lax.map(gauss_newton, states, batch_size=min(len(states), AT_ONCE))
    return jax.vmap(shaped)(states), jax.vmap(q)(states)
