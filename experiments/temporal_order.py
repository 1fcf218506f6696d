"""Pascanu et al. 2013, figure 7: how often an Elman network learns temporal order, against the length of the sequences.

    python -m experiments.temporal_order        writes experiments/results/temporal_order.json and .png

The problem and how a net begins are those of gradient_flow.py: 50 units, batches of 20, recurrent weights of spectral
radius 0.95. As in the paper a net is trained at one length, in three ways:

    SGD       plain
    SGD-C     the gradient's norm clipped at 1
    SGD-CR    clipped at 1, and the regulariser of its equation 9 (`regularised_gradients`): 4 times its mean over the
              steps, where the equation has the sum (the authors' 4 is of squared norms, so another strength)

and has solved it once less than 1 % of 10,000 sequences are wrong. The paper takes up to 5 million updates at rate
0.01. Here there are fewer, at a higher rate: for each way that of RATES by which most seeds solve length 20, the
soonest where several do, tried with seeds that the curve has not.
"""

import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import cyclopts
import jax
import jax.numpy as jnp
import matplotlib.figure
import matplotlib.ticker
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from experiments.gradient_flow import ELMAN, B, N, batch, compact, loss, start
from jaxrnn.analysis import regularised_gradients
from jaxrnn.runner.record import provenance

RESULTS = Path(__file__).parent / "results"
LENGTHS = (10, 20, 30, 50)
UPDATES, BETWEEN_LOOKS = 2500, 500
RATES, TRIED_AT, TRIED_SEEDS = (0.02, 0.06, 0.2), 20, (5, 6, 7)
SEEDS = (0, 1, 2, 3, 4)
RADIUS, CLIP, WEIGHT = 0.95, 1.0, 4.0
TESTED, SOLVED = 10_000, 0.01
TEST_KEY = 999


class Way(NamedTuple):
    clip: float
    weight: float


WAYS = {"SGD": Way(np.inf, 0), "SGD-C": Way(CLIP, 0), "SGD-CR": Way(CLIP, WEIGHT)}


class Net(NamedTuple):
    key: Array
    params: PyTree[Array]
    rate: Float[Array, ""]
    clip: Float[Array, ""]


def begin(seed: Array, rate: Array, clip: Array) -> Net:
    key = jax.random.key(seed)
    return Net(key, start(key, RADIUS), rate, clip)


def train(net: Net, first: Array, T: int, weight: float) -> tuple[Net, Float[Array, ""]]:
    """(the net after some more updates, the share of test sequences that it gets wrong)."""

    def update(params: PyTree, k: Array) -> tuple[PyTree, tuple[()]]:
        given = batch(jax.random.fold_in(net.key, k), T)
        if weight:
            _, gradient, _ = regularised_gradients(loss, params, *given, weight=weight / T)
        else:
            gradient, _ = jax.grad(loss, has_aux=True)(params, *given)
        rate = net.rate * jnp.minimum(1, net.clip / optax.tree.norm(gradient))
        return jax.tree.map(lambda p, g: p - rate * g, params, gradient), ()

    params, _ = jax.lax.scan(update, net.params, first + jnp.arange(BETWEEN_LOOKS))
    return net._replace(params=params), wrong(params, T)


def wrong(params: PyTree, T: int) -> Float[Array, ""]:
    def part(key: Array) -> Array:
        xs, which = batch(key, T, TESTED // 10)
        _, logits = ELMAN.apply(params, ELMAN.carry(which.shape, params), xs)
        return jnp.mean(jnp.argmax(logits, -1) != which)

    return jax.lax.map(part, jax.random.split(jax.random.key(TEST_KEY), 10)).mean()


def looks(T: int, ways: list[Way], seeds: list[int], rates: list[float]) -> Float[np.ndarray, "nets looks"]:
    """The share wrong at every look, a net a row, until all have solved it. Ways of one weight train in one program."""
    (weight,) = {way.weight for way in ways}
    given = np.array(seeds, np.uint32), np.array(rates, np.float32), np.array([way.clip for way in ways], np.float32)
    nets = jax.jit(jax.vmap(begin))(*given)
    more = jax.jit(jax.vmap(functools.partial(train, T=T, weight=weight), (0, None)))
    found = []
    for first in range(0, UPDATES, BETWEEN_LOOKS):
        nets, shares = more(nets, jnp.int32(first))
        found.append(np.asarray(shares))
        if (np.min(found, 0) < SOLVED).all():
            break
    return np.stack(found, 1)


def compare(T: int, rates: dict[str, tuple[float, ...]], seeds: tuple[int, ...]) -> dict[str, dict[float, Any]]:
    """What each way at each of its rates came to, over all seeds."""
    rows = [(name, rate, seed) for name in WAYS for rate in rates[name] for seed in seeds]
    found: dict[str, dict[float, Any]] = {}
    for weight in dict.fromkeys(way.weight for way in WAYS.values()):
        mine = [row for row in rows if WAYS[row[0]].weight == weight]
        names, their_rates, their_seeds = map(list, zip(*mine, strict=True))
        shares = looks(T, [WAYS[name] for name in names], their_seeds, their_rates)
        for k in range(0, len(mine), len(seeds)):
            name, rate, _ = mine[k]
            found.setdefault(name, {})[rate] = told(shares[k : k + len(seeds)])
    return found


def told(shares: Float[np.ndarray, "seeds looks"]) -> dict[str, Any]:
    there = np.asarray(shares < SOLVED)
    first, solved = (1 + there.argmax(1)) * BETWEEN_LOOKS, np.any(there, 1).tolist()
    return {
        "solved": solved,
        "updates_until_then": [int(k) if met else None for k, met in zip(first, solved, strict=True)],
        "least_share_wrong": [round(float(a), 4) for a in shares.min(1)],
    }


def best(tried: dict[float, Any]) -> float:
    """The rate by which most seeds solved it, then the soonest, then with the least left wrong."""

    def merit(rate: float) -> tuple[int, float, float]:
        of = tried[rate]
        took = [UPDATES if k is None else k for k in of["updates_until_then"]]
        return sum(of["solved"]), -float(np.mean(took)), -float(np.mean(of["least_share_wrong"]))

    return max(tried, key=merit)


def main() -> None:
    """Train all nets, and write results/temporal_order.json and .png."""
    began = time.perf_counter()
    tried = compare(TRIED_AT, dict.fromkeys(WAYS, RATES), TRIED_SEEDS)
    rates = {name: (best(tried[name]),) for name in WAYS}
    result = {
        "command": "python -m experiments.temporal_order",
        "units": N,
        "batch": B,
        "clip": CLIP,
        "weight_of_the_mean_over_steps": WEIGHT,
        "spectral_radius_at_the_start": RADIUS,
        "updates_at_most": UPDATES,
        "updates_between_looks": BETWEEN_LOOKS,
        "test_sequences": TESTED,
        "solved_below": SOLVED,
        "seeds": SEEDS,
        "rates": {
            "chosen": {name: rate for name, (rate,) in rates.items()},
            "tried_at_length": TRIED_AT,
            "seeds": TRIED_SEEDS,
            "tried": tried,
        },
        **provenance(),
        "by_length": {},
    }
    for T in LENGTHS:
        result["by_length"][T] = {name: of[rates[name][0]] for name, of in compare(T, rates, SEEDS).items()}
        result["seconds"] = round(time.perf_counter() - began, 1)
        print(f"{T} steps:", {name: sum(of["solved"]) for name, of in result["by_length"][T].items()}, flush=True)
        write(result)


def write(result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "temporal_order.json").write_text(compact(result) + "\n")
    draw(result["by_length"], result["rates"]["chosen"])


def draw(curve: dict[int, dict[str, Any]], rates: dict[str, float]) -> None:
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for k, name in enumerate(WAYS):
        share = [np.mean(of[name]["solved"]) for of in curve.values()]
        # a little apart, that lines that coincide are all seen
        axes.plot([*curve], np.array(share) + 0.012 * (k - 1), "os^"[k] + "-", label=f"{name}, rate {rates[name]:g}")
    axes.set(
        xlabel="length of the sequences",
        ylabel=f"share of {len(SEEDS)} seeds that solved it (marks a little apart)",
        title=f"Temporal order (Pascanu et al. 2013, fig. 7), at most {UPDATES:,} updates",
        xticks=[*curve],
        ylim=(-0.05, 1.05),
    )
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(RESULTS / "temporal_order.png", dpi=120)


if __name__ == "__main__":
    cyclopts.run(main)
