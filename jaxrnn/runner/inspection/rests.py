"""Where the network rests while nothing happens: its fixed points, on the plane of its trajectories."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.analysis import (
    FixedPoints,
    fixed_points,
    flattened,
    kind,
    pca,
    projected,
    scattered,
    time_constants,
    trajectory,
    unstable,
)
from jaxrnn.runner import showing
from jaxrnn.runner.inspection import figures
from jaxrnn.runner.inspection.subject import Figure, Section, Subject

STARTS, WAYS, MOST_ROWS = 384, 12, 30


def rests(subject: Subject) -> Section:
    """Raises ValueError where the task names no input at which nothing happens, or the network reads backwards."""
    if subject.problem.rest is None:
        raise ValueError("the task names no constant input at which nothing happens")
    layer, params = subject.layer, subject.params
    xs = jnp.asarray(subject.probed.xs if subject.probed else subject.xs[:, None])
    carries = jax.jit(lambda params, xs: trajectory(layer, params, layer.carry(xs.shape[1:-1], params), xs))(params, xs)
    along = flattened(carries, 2)
    starts = scattered(carries, STARTS, key=jax.random.key(0), axes=2, noise=0.1 * float(along.std()))
    x = jnp.asarray(subject.problem.rest())
    found = fixed_points(layer, params, x, starts)
    if not len(found.q):
        raise ValueError("no fixed or slow point was found from any start")
    axes = pca(along, 3)
    ys = outputs(subject, found, x)
    data = {
        "title": "Where the network rests, among trajectories",
        "points": projected(axes, flattened(found.carries)),
        "unstable": unstable(found),
        "converged": found.converged,
        "q": found.q,
        "eigenvalues": np.stack([np.real(found.eigenvalues), np.imag(found.eigenvalues)], -1),
        "outputs": ys,
        "reached": found.reached,
        "ways": np.asarray(projected(axes, along))[:, :WAYS].swapaxes(0, 1),
        "explained": axes.explained,
    }
    caption = (
        "Grey: trajectories of real input; beside a green point the signs of the outputs there. States stay at green "
        "points, and leave the others along their unstable directions."
    )
    return Section("Where it rests", told(found, ys), [Figure("fixed_points", figures.resting, data, caption)])


def outputs(subject: Subject, found: FixedPoints, x: Any) -> np.ndarray:
    """What the network gives while it rests at each point."""
    one = jax.vmap(lambda carry: subject.layer.apply(subject.params, carry, x[None])[1][0])
    return np.asarray(one(found.carries))


def told(found: FixedPoints, ys: np.ndarray) -> str:
    leaving = unstable(found)
    order = sorted(range(len(leaving)), key=lambda k: (leaving[k], -found.reached[k]))
    slowest = np.array([time_constants(found.eigenvalues[k][:1])[0] for k in range(len(leaving))])
    rows = [
        {
            "point": kind(found, k),
            "output there": " ".join(f"{y:.2f}" for y in ys[k][:8]) + (" ..." if ys.shape[-1] > 8 else ""),
            "largest eigenvalue": f"{abs(found.eigenvalues[k][0]):.3f}",
            "e-fold in steps": f"{abs(slowest[k]):.3g} ({'away' if slowest[k] < 0 else 'back'})",
            "starts that ended there": int(found.reached[k]),
        }
        for k in order
    ]
    stable, saddles = (int((found.converged & there).sum()) for there in (leaving == 0, leaving > 0))
    slow = f" At {n} more it only creeps." if (n := int((~found.converged).sum())) else ""
    words = (
        f"With a constant input at which nothing happens, from {STARTS} states along trajectories, {len(rows)} points "
        f"were found at which the state stays or nearly so: {stable} stable, which hold what the network remembers, "
        f"and {saddles} that it leaves along some directions, which stand between them.{slow} The slowest direction "
        "decides how long a memory or a decision takes.\n\n"
    )
    more = f"\n\n{len(rows) - MOST_ROWS} more are in fixed_points.json." if len(rows) > MOST_ROWS else ""
    return words + showing.markdown(rows[:MOST_ROWS]) + more
