"""The tutorial article's three programs: a recurrent layer and one dense output, fitted to random targets.

100 sequences of 10 steps and one feature, targets uniform in [0, 1), 10 units, Adam at 1e-3, mean squared error, 100
epochs, batch size 1, reshuffled each epoch. There is nothing to learn but the noise, so the loss falls to about the
variance of the targets, 1/12, and then slowly below. All updates of a network are one compiled call.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console

from jaxrnn import CELLS, Layer, checks, dense, last, stack, unroll
from jaxrnn.runner import plots, record, report, showing
from jaxrnn.runner.checkpoint import checkpoints, save
from jaxrnn.runner.config import Article
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.networks import width

NETWORKS = ("elman", "lstm", "gru", "lstm_full", "gru_article")


class Data(NamedTuple):
    xs: Float[np.ndarray, "samples length 1"]
    ys: Float[np.ndarray, "samples 1"]


class Fit(NamedTuple):
    """One network's run."""

    params: Any
    losses: Float[np.ndarray, "epochs"]  # the mean over each epoch's updates
    compile_seconds: float
    run_seconds: float


def load(config: Article) -> Data:
    """The article's random numbers. Raises ValueError on an unknown cell."""
    if config.cell is not None:
        checks.choice("article", "cell", config.cell, CELLS)
    numbers = np.random.default_rng(config.seed)  # NumPy, as in the article: nothing to compile
    shape = (config.samples, config.length, 1)
    return Data(numbers.random(shape, np.float32), numbers.random((config.samples, 1), np.float32))


def train(config: Article, data: Data, directory: Path, run: dict[str, Any], console: Console) -> str:
    """Fit each network, then compare them in a table and a plot."""
    networks = (config.cell,) if config.cell else NETWORKS
    fits = {}
    with metrics_file(directory) as write:
        for cell in networks:
            fits[cell] = fit = fit_network(config, data, cell)
            if not np.isfinite(fit.losses).all():
                raise FloatingPointError(f"article: the loss of {cell} became infinite; lower --rate")
            for epoch, loss in enumerate(fit.losses, 1):
                write(cell=cell, epoch=epoch, loss=float(loss))
            console.out(f"{cell}: {config.steps:,} updates in {fit.run_seconds:.2f} s", highlight=False)
    params = {cell: fit.params for cell, fit in fits.items()}
    metrics = {cell: summary(fit, config) for cell, fit in fits.items()}
    run |= {"metrics": metrics, "params_sha256": record.digest(params)}
    with checkpoints(directory) as manager:
        save(manager, config.steps, params=params)
    lines = {cell: (range(1, len(fit.losses) + 1), fit.losses.tolist()) for cell, fit in fits.items()}
    title = f"The article's programs: {config.units} units, {config.samples} random sequences"
    plots.curves(directory / "loss.png", title, "epoch", "mean squared error", lines)
    rows = [{"cell": cell, **{k.replace("_", " "): v for k, v in values.items()}} for cell, values in metrics.items()]
    showing.show(console, rows)
    parts = [about(config), showing.markdown(rows), "![The loss](loss.png)"]
    report.write("article", directory, run, parts)
    return f"{config.steps:,} updates of {', '.join(networks)}"


def network(config: Article, cell: str) -> Layer:
    """The recurrent layer and, on its last state, one dense output."""
    recurrent = unroll(CELLS[cell](1, config.units))
    return last(stack(recurrent, dense(width(recurrent, 1), 1)))


def fit_network(config: Article, data: Data, cell: str) -> Fit:
    """All updates as one compiled call, timed apart from its compilation."""
    layer = network(config, cell)
    optimizer = optax.adam(config.rate)
    order = shuffled(config)
    xs, ys = jnp.asarray(data.xs), jnp.asarray(data.ys)

    def loss(params: PyTree, x: Array, y: Array) -> Float[Array, ""]:
        _, prediction = layer.apply(params, layer.carry((), params), x)
        return optax.squared_error(prediction, y).mean()

    def update(state: tuple[PyTree, PyTree], i: Int[Array, ""]) -> tuple[tuple[PyTree, PyTree], Array]:
        params, inner = state
        value, grads = jax.value_and_grad(loss)(params, xs[i], ys[i])
        updates, inner = optimizer.update(grads, inner, params)
        return (optax.apply_updates(params, updates), inner), value

    @jax.jit
    def run(key: PRNGKeyArray, order: Int[Array, "steps"]) -> tuple[PyTree, Float[Array, "steps"]]:
        params = layer.init(key)
        (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), order)
        return params, losses

    began = time.perf_counter()
    key = jax.random.key(config.seed)
    compiled = run.lower(key, order).compile()
    ready = time.perf_counter()
    params, losses = jax.block_until_ready(compiled(key, order))
    done = time.perf_counter()
    return Fit(params, per_epoch(np.asarray(losses), config.samples), ready - began, done - ready)


def shuffled(config: Article) -> Int[np.ndarray, "steps"]:
    """Which sequence each update sees: every epoch a permutation of its own."""
    epochs = range(-(-config.steps // config.samples))
    orders = [np.random.default_rng([config.seed, epoch]).permutation(config.samples) for epoch in epochs]
    return np.concatenate(orders)[: config.steps]


def per_epoch(losses: np.ndarray, samples: int) -> np.ndarray:
    return np.array([losses[i : i + samples].mean() for i in range(0, len(losses), samples)])


def summary(fit: Fit, config: Article) -> dict[str, float]:
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(fit.params)),
        "first_loss": float(fit.losses[0]),
        "final_loss": float(fit.losses[-1]),
        "compile_seconds": round(fit.compile_seconds, 3),
        "milliseconds_per_epoch": round(1000 * fit.run_seconds / config.steps * config.samples, 3),
    }


def about(config: Article) -> str:
    return (
        f"{report.purpose(config)}\n\nTrained on {config.samples:,} sequences of {config.length} random numbers, seed "
        f"{config.seed}: {config.steps:,} updates of each network. A loss is the mean squared error of an epoch."
    )
