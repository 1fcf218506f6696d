"""Pascanu et al. 2013, "On the difficulty of training recurrent neural networks": gradients that vanish and explode in
an Elman network, and hardly do in an LSTM whose gates begin open; and why clipping their norm rescues the training.

    python experiments/gradient_flow.py        writes experiments/results/gradient_flow.json and .png

The task is their temporal order problem (section 4.1): among distractors stand two of A and B, in the second and in the
fifth tenth of the sequence; which came in which order is asked at the end. Nets of 50 units, batches of 20, plain SGD.

1. Before training: ||dL/dh_t|| over 100 steps, of recurrent weights with spectral radius 0.5, 0.95 and 2, and of LSTMs
   whose forget gates begin at s(1) = 0.73 and, by `chrono`, open for up to 100 steps.
2. Training at length 20 from radius 0.95, at three rates, with and without clipping at norm 1: a memory of the first
   symbol needs a radius that grows past 1, and with it come steep walls in the loss. One step off such a wall, along a
   gradient some ten times the usual, and what was learnt is lost; clipped, it is a usual step in the same direction.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import cyclopts
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxrnn import Layer, chrono, dense, elman, last, lstm, stack, unroll
from jaxrnn.analysis import gradient_norms, growth, observe_loss, recurrent_radii
from jaxrnn.runner.record import provenance

N, B, SYMBOLS, CLASSES = 50, 20, 6, 4
LONG, SHORT = 100, 20
RATES, CLIP, STEPS, SEEDS = (0.05, 0.1, 0.2), 1.0, 3000, (0, 1, 2, 3, 4)
SHOWN = 0.2  # the rate in the picture
PLAIN, CLIPPED = "not clipped", f"clipped at {CLIP:g}"
STEEP = 5.0  # a gradient's norm that counts as a wall
RESULTS = Path(__file__).parent / "results" / "gradient_flow"


def network(cell: Any) -> Layer:
    return last(stack(unroll(cell(SYMBOLS, N)), dense(N, CLASSES)))


ELMAN, LSTM = network(elman), network(lstm)
CHRONO = network(lambda n_in, n: chrono(lstm(n_in, n), LONG))


def batch(key: Array, T: int, count: int = B) -> tuple[Float[Array, "T count symbols"], Int[Array, "count"]]:
    """Distractors 0 to 3, and 4 or 5 at two places."""
    keys = jax.random.split(key, 5)
    symbols, each = jax.random.randint(keys[0], (T, count), 0, 4), jnp.arange(count)
    which = jnp.zeros(count, int)
    for k, (low, high) in enumerate(((T // 10, 2 * T // 10), (4 * T // 10, 5 * T // 10))):
        mark = jax.random.randint(keys[1 + k], (count,), 0, 2)
        symbols = symbols.at[jax.random.randint(keys[3 + k], (count,), low, high + 1), each].set(4 + mark)
        which = 2 * which + mark
    return jax.nn.one_hot(symbols, SYMBOLS), which


def loss(params: PyTree, xs: Array, which: Array, layer: Layer = ELMAN) -> tuple[Float[Array, ""], tuple[()]]:
    _, logits = layer.apply(params, layer.carry((B,), params), xs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, which).mean(), ()


def start(key: Array, radius: float) -> PyTree:
    """An Elman network whose recurrent weights are Gaussian with about this spectral radius (Girko's circular law)."""
    key_p, key_w = jax.random.split(key)
    recurrent, readout = ELMAN.init(key_p)
    return recurrent._replace(w_h=radius / N**0.5 * jax.random.normal(key_w, (N, N))), readout


@functools.partial(jax.jit, static_argnames="layer")
def profile(params: PyTree, xs: Array, which: Array, layer: Layer = ELMAN) -> Float[Array, "T"]:
    _, layers = observe_loss(functools.partial(loss, layer=layer), params, xs, which)
    (trace,) = layers.values()
    return gradient_norms(trace)


@jax.jit
def train(seed: Array, rate: Array, clip: Array) -> tuple[Any, ...]:
    """((params, those before the first wall, its step from 0), (losses, norms)) of one net's updates."""
    key = jax.random.key(seed)
    params = start(key, 0.95)

    def update(state: Any, step: Array) -> tuple[Any, tuple[Array, Array]]:
        params, before, found = state
        (value, _), gradient = jax.value_and_grad(loss, has_aux=True)(
            params, *batch(jax.random.fold_in(key, step), SHORT)
        )
        norm = optax.tree.norm(gradient)
        first = (norm > STEEP) & (found < 0)
        before, found = jax.tree.map(lambda new, old: jnp.where(first, new, old), (params, step), (before, found))
        scaled = rate * jnp.minimum(1, clip / norm)
        return (jax.tree.map(lambda p, g: p - scaled * g, params, gradient), before, found), (value, norm)

    return jax.lax.scan(update, (params, params, jnp.int32(-1)), jnp.arange(STEPS, dtype=jnp.int32))


def main() -> None:
    """Train all nets, and write results/gradient_flow.json and .png."""
    xs, which = batch(jax.random.key(0), LONG)
    starts = {f"elman, radius {radius:g}": (start(jax.random.key(1), radius), ELMAN) for radius in (0.5, 0.95, 2.0)}
    starts["lstm, forget bias 1"] = LSTM.init(jax.random.key(1)), LSTM
    starts["lstm, chrono"] = CHRONO.init(jax.random.key(1)), CHRONO
    at_start = {name: np.asarray(profile(p, xs, which, layer)) for name, (p, layer) in starts.items()}

    seeds = jnp.asarray(SEEDS, jnp.uint32)
    many, runs, walls = jax.jit(jax.vmap(train, (0, None, None))), {}, {}
    for rate in RATES:
        for name, clip in ((PLAIN, jnp.inf), (CLIPPED, CLIP)):
            (params, before, step), (losses, norms) = jax.tree.map(np.asarray, many(seeds, rate, clip))
            radii = [recurrent_radii(jax.tree.map(lambda a, k=k: a[k], params))["0.w_h"][0] for k in range(len(SEEDS))]
            solved = losses[:, -200:].mean(1) < 0.1
            runs[rate, name] = {"losses": losses, "norms": norms, "solved": solved, "radii": radii, "wall": step}
            if (rate, name) == (SHOWN, PLAIN):  # the first seed's, at the start and at the wall
                key, at = jax.random.key(SEEDS[0]), int(step[0])
                for of, those, k in (
                    ("step 1", start(key, 0.95), 0),
                    (f"step {at + 1}, at the wall", jax.tree.map(lambda a: a[0], before), at),
                ):
                    walls[of] = np.asarray(profile(those, *batch(jax.random.fold_in(key, k), SHORT)))

    RESULTS.with_suffix(".json").write_text(compact(summary(at_start, runs, walls)) + "\n")
    draw(at_start, runs, walls)


def summary(at_start: dict[str, Any], runs: dict[Any, Any], walls: dict[str, Any]) -> dict[str, Any]:
    def told(norms: np.ndarray) -> dict[str, Any]:
        return {"norms": [float(f"{a:.4g}") for a in norms], "growth_a_step_back": round(growth(norms), 4)}

    return {
        "command": "python experiments/gradient_flow.py",
        "units": N,
        "batch": B,
        "clip": CLIP,
        "steps": STEPS,
        "seeds": SEEDS,
        "length_of_profiles": LONG,
        "length_of_training": SHORT,
        "before_training": {name: told(norms) for name, norms in at_start.items()},
        "at_the_wall": {name: told(norms) for name, norms in walls.items()},
        "training": {
            f"rate {rate:g}, {name}": {
                "solved": run["solved"].tolist(),
                "last_losses": [round(float(a), 4) for a in run["losses"][:, -200:].mean(1)],
                "median_norm": [round(float(a), 4) for a in np.median(run["norms"], axis=1)],
                "largest_norm": [round(float(a), 2) for a in run["norms"].max(1)],
                f"first_step_above_{STEEP:g}": (run["wall"] + 1).tolist(),
                "spectral_radius_at_the_end": [round(a, 3) for a in run["radii"]],
            }
            for (rate, name), run in runs.items()
        },
        **provenance(),
    }


def compact(tree: Any) -> str:
    """JSON with each list of numbers on one line."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found.group().split()), json.dumps(tree, indent=1))


def draw(at_start: dict[str, Any], runs: dict[Any, Any], walls: dict[str, Any]) -> None:
    figure = matplotlib.figure.Figure(figsize=(12, 8), layout="constrained")
    (a, b), (c, d) = figure.subplots(2, 2)
    for name, norms in at_start.items():
        a.plot(np.arange(1, LONG + 1), norms, label=name)
    a.set(yscale="log", xlabel="t", ylabel="||dL/dh_t||", title=f"Before training, {LONG} steps, the loss at the end")
    for name, norms in walls.items():
        b.plot(np.arange(1, SHORT + 1), norms, label=name, marker="o", markersize=3)
    b.set(
        yscale="log",
        xlabel="t",
        ylabel="||dL/dh_t||",
        title=f"Elman in training, {SHORT} steps: first update, first wall",
    )
    b.set_xticks(range(2, SHORT + 1, 2))
    for k, name in enumerate((PLAIN, CLIPPED)):
        run = runs[SHOWN, name]
        label = f"{name}: {run['solved'].sum()} of {len(SEEDS)} solved"
        smooth = np.asarray(run["losses"]).reshape(len(SEEDS), -1, 20).mean(2)
        for seed, values in enumerate(smooth):
            c.plot(np.arange(1, len(values) + 1) * 20, values, color=f"C{k}", lw=0.9, label=None if seed else label)
        d.plot(
            np.arange(1, STEPS + 1), run["norms"][0], color=f"C{k}", lw=0.6, alpha=0.8, label=f"{name}, seed {SEEDS[0]}"
        )
    c.axhline(np.log(CLASSES), color="0.5", ls="--", lw=1, label="guessing")
    c.set(xlabel="update", ylabel="loss", ylim=(0, 2.5), title=f"Elman, SGD at rate {SHOWN:g}, five seeds each")
    d.axhline(CLIP, color="0.2", ls="--", lw=1, label="where it is clipped")
    d.set(
        yscale="log",
        xlabel="update",
        ylabel="norm of the gradient, before clipping",
        title="Walls are met with and without clipping",
    )
    for axes in (a, b, c, d):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle("Temporal order: gradients through time, and what clipping does (after Pascanu et al. 2013)")
    figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    cyclopts.run(main)
