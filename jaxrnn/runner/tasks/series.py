"""A direct forecast of many rows at once from the rows before them, for any CSV file.

Every number is standardised by the mean and the standard deviation of the train part, which go with the run. The parts
follow each other in time, and a forecast belongs to the part that its rows lie in; the history before it may reach
back over the border. What a forecast has to beat is printed beside it: the last value, the value a season before, and
that a linear function of the target's history gives, a ridge regression on the train part.
"""

import csv
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console
from rich.table import Table as Shown

from jaxrnn import CELLS, Layer, checks, dense, last, stack
from jaxrnn.exporting import exportable
from jaxrnn.runner.assets import kept_numbers, kept_words
from jaxrnn.runner.config import Series
from jaxrnn.runner.dates import times_ahead
from jaxrnn.runner.devices import AXIS
from jaxrnn.runner.draws import draw
from jaxrnn.runner.inspection.reading import enough
from jaxrnn.runner.networks import policy_of, recurrent
from jaxrnn.runner.problem import Columns, Probed, Problem, made_up, on_demand, sha256
from jaxrnn.runner.standard import mean_and_std
from jaxrnn.runner.tables import Table, check_order, has, numbers, read_table, time_column
from jaxrnn.types import spec

WANTED = "a CSV file with a header and a row a moment"
# Never done here: what was filled would be scored as if it had been measured.
FILL = "; fill what is missing first, as ffill or interpolate of pandas do"
CHOOSE = "; --target and --inputs say which columns are read"
WEEKS = 50  # rows, in which business days have their weekends
PIECE = 256  # windows an evaluation reads at a time
PENALTIES = 10.0 ** np.arange(-10, 7)  # of what a regressor's squares come to in the mean
LINEAR = "linear in the history"
SPLITS = ("train", "valid", "test")


class Scale(NamedTuple):
    """The columns, the target the first, and what standardises them."""

    names: list[str]
    mean: Float[np.ndarray, "columns"]
    std: Float[np.ndarray, "columns"]


class Data(NamedTuple):
    values: Float[np.ndarray, "rows columns"]  # standardised, float32
    scale: Scale
    parts: dict[str, tuple[int, int]]  # split -> its first row, and the first after it


class Window(NamedTuple):
    xs: Any  # [history, batch, columns]
    ys: Any  # [batch, horizon]


class Params(NamedTuple):
    network: Any
    linear: Array | None  # [history, horizon], for around="linear"


def make(config: Series, assets: Mapping[str, Any] | None = None) -> Problem:
    """The problem. Raises ValueError where the file or its columns are not what is wanted."""
    checks.choice("series", "cell", config.cell, CELLS)
    data = on_demand(lambda: load(config, assets), config, assets)
    scale = kept_scale(assets) if assets is not None else data().scale
    std, target = float(scale.std[0]), scale.names[0]
    layer = network(config, len(scale.names))
    forecast = make_forecast(layer, config)
    origins = functools.cache(lambda split: origins_of(data().parts[split], config))
    truth = functools.cache(lambda split: windows(data().values, origins(split), config).ys)
    weights = functools.cache(lambda: linear_weights(data().values, origins("train"), origins("valid"), config))
    simple = functools.cache(lambda split: simple_forecasts(data().values, origins(split), weights(), config))

    def batch(seed: int, step: int) -> Window:
        train = origins("train")
        return windows(data().values, train[draw(len(train), config.batch, seed, step)], config)

    def loss(params: PyTree, carry: PyTree, batch: Window, key: PRNGKeyArray) -> tuple[Float[Array, ""], PyTree]:
        _, ys = layer.apply(params, layer.carry(batch.ys.shape[:1], params), batch.xs, key=key)
        return optax.squared_error(ys, batch.ys).mean(), ()

    def scores(ys: np.ndarray, split: str) -> dict[str, float]:
        return errors(ys, truth(split), std)

    def ours(params: PyTree, split: str) -> np.ndarray:
        return forecast(params, data().values, origins(split))

    def file_judged(params: PyTree, path: Path) -> tuple[dict[str, float], Callable[[], dict[str, float]]]:
        values, where = file_of(path, scale, config)
        rows = windows(values, where, config).ys

        def levels() -> dict[str, float]:  # what is fitted to the train part would need it
            return {name: errors(ys, rows, std)["mse"] for name, ys in persistence(values, where, config).items()}

        return errors(forecast(params, values, where), rows, std), levels

    def finish(params: PyTree, directory: Path, console: Console) -> None:
        found = {split: {"network": ours(params, split)} | simple(split) for split in SPLITS[1:]}
        rows = [(split, name, scores(ys, split)) for split, every in found.items() for name, ys in every.items()]
        write_scores(rows, target, directory, console)
        draw_forecasts(directory / "forecast.png", data(), origins("test"), truth("test"), found["test"], config)

    return Problem(
        layer=layer,
        batch=batch,
        loss=loss,
        evaluate=lambda params, split: scores(ours(params, split), split),
        specs=Window(P(None, AXIS), P(AXIS)),
        name="mse",
        unit="of standardised values",
        item="windows",
        items=config.batch,
        example=lambda: windows(data().values, origins("valid")[:1], config).xs[:, 0],
        made_up=lambda: made_up(config.history, len(scale.names)),
        steps=config.history,
        probed=lambda: probed(data(), origins("valid"), config),
        network=lambda config: network(config, len(scale.names)),
        anchors=lambda split: {name: scores(ys, split)["mse"] for name, ys in simple(split).items()},
        assets={"names": scale.names, "mean": scale.mean.tolist(), "std": scale.std.tolist()},
        sha256=lambda: sha256(data().values.tobytes()),
        finish=finish,
        read=lambda path: file_of(path, scale, config)[0][: config.history],
        predict=lambda params, path: ahead(params, path, scale, config, forecast),
        evaluate_file=file_judged,
    )


def load(config: Series, assets: Mapping[str, Any] | None) -> Data:
    """The columns that matter, standardised by the train part, or as an earlier run did."""
    if config.data is None:
        raise ValueError(f"data: none given, wanted {WANTED}: --data FILE.csv")
    table = read_table(config.data, WANTED)
    kept = None if assets is None else kept_scale(assets)
    names = kept.names if kept else choose(table, config)
    raw = columns(table, names)
    parts = parts_of(config, len(raw))
    scale = kept or scale_of(raw[slice(*parts["train"])], names)
    return Data(standardised(raw, scale), scale, parts)


def scale_of(seen: Float[np.ndarray, "rows columns"], names: list[str]) -> Scale:
    return Scale(names, *mean_and_std(seen))


def kept_scale(assets: Mapping[str, Any]) -> Scale:
    """That of an earlier run."""
    names = kept_words(assets, "names")
    return Scale(names, kept_numbers(assets, "mean", len(names)), kept_numbers(assets, "std", len(names)))


def standardised(raw: Float[np.ndarray, "rows columns"], scale: Scale) -> Float[np.ndarray, "rows columns"]:
    return ((raw - scale.mean) / scale.std).astype(np.float32)


def choose(table: Table, config: Series) -> list[str]:
    """The target, then the other columns to read."""
    time = time_column(table)
    others = [name for name in table.columns if name != time]
    if not others:
        raise ValueError(f"data: {table.path} has no column beside {time!r}, wanted one to forecast")
    target = config.target or others[-1]
    has(table, target, "target")
    inputs = others if config.inputs == ("all",) and "all" not in table.columns else config.inputs
    for name in inputs:
        has(table, name, "inputs")
    return list(dict.fromkeys([target, *inputs]))


def columns(table: Table, names: list[str]) -> Float[np.ndarray, "rows columns"]:
    """Those columns. Raises ValueError where one is missing, has no number, or time goes back."""
    for name in names:
        has(table, name, "data")
    if (time := clock(table, names)) is not None:
        check_order(table, time)
    return np.stack([numbers(table, name, FILL, CHOOSE) for name in names], axis=1)


def clock(table: Table, names: list[str]) -> str | None:
    """The column that says when; none where it is one of those that are learnt."""
    time = time_column(table)
    return None if time in names else time


def parts_of(config: Series, rows: int) -> dict[str, tuple[int, int]]:
    """Where each part begins and ends. Raises ValueError where they do not fit, or are too short for one window."""
    valid, test = (count(name, getattr(config, name), rows) for name in ("valid", "test"))
    train = rows - valid - test if config.training is None else count("training", config.training, rows)
    told = f"data: {config.data} has {rows} rows: {train} to train on, {valid} valid and {test} test"
    if train + valid + test > rows:
        raise ValueError(f"{told}, more than there are")
    if train < config.history + config.horizon:
        needed = f"{config.history + config.horizon} to train on (history {config.history} + horizon {config.horizon})"
        raise ValueError(f"{told}, wanted at least {needed}; lower --history or --horizon")
    if min(valid, test) < config.horizon:
        raise ValueError(f"{told}, wanted at least horizon = {config.horizon} valid and test; raise --valid and --test")
    ends = np.cumsum([train, valid, test]).tolist()
    return dict(zip(SPLITS, zip([0, *ends[:2]], ends, strict=True), strict=True))


def count(name: str, given: float, rows: int) -> int:
    if given >= 1 and given != int(given):
        raise ValueError(f"{name}: got {given}, wanted a share below 1 or a whole number of rows")
    return int(given) if given >= 1 else int(given * rows)


def origins_of(part: tuple[int, int], config: Series) -> Int[np.ndarray, "windows"]:
    """The last known row of every forecast whose rows all lie in the part."""
    begin, end = part
    return np.arange(max(begin, config.history) - 1, end - config.horizon)


def windows(values: Float[np.ndarray, "rows columns"], origins: Int[np.ndarray, "windows"], config: Series) -> Window:
    before, after = np.arange(1 - config.history, 1), np.arange(1, config.horizon + 1)
    return Window(values[origins + before[:, None]], values[origins[:, None] + after, 0])


def probed(data: Data, origins: Int[np.ndarray, "windows"], config: Series, count: int = 16) -> Probed:
    """Some windows, and what a forecaster might keep at each of their steps: the place in the season, and the like."""
    some = np.unique(origins[np.linspace(0, len(origins) - 1, count).astype(int)])
    xs, steps = windows(data.values, some, config).xs, np.arange(config.history)[:, None]
    angle = 2 * np.pi * ((some + 1 - config.history + steps) % config.season) / config.season
    target = xs[..., 0] - xs[-1, :, 0]  # as `around` has it
    labels = {
        "season, cosine": np.cos(angle),
        "season, sine": np.sin(angle),
        f"{data.scale.names[0]}, less the last": target,
        f"{data.scale.names[0]}, mean so far": target.cumsum(0) / (steps + 1),
        f"{data.scale.names[0]} rises": np.diff(target, axis=0, prepend=target[:1]) > 0,
    }
    return Probed(xs, {name: label for name, label in labels.items() if enough(label)})


def seasonal(config: Series) -> Int[np.ndarray, "horizon"]:
    """For each row ahead, how many rows before the end of the history stands the newest one a whole season before it.

    Row h ahead is h - season k, k the fewest seasons that reach the history: 0 is the last row itself.
    """
    ahead = np.arange(1, config.horizon + 1)
    return -(-ahead // config.season) * config.season - ahead


def persistence(
    values: Float[np.ndarray, "rows columns"], origins: Int[np.ndarray, "windows"], config: Series
) -> dict[str, Float[np.ndarray, "windows horizon"]]:
    """What needs nothing but the values before."""
    back = {"last value": np.zeros(config.horizon, int)}
    if config.season <= config.history:
        back["a season before"] = seasonal(config)
    return {name: values[origins[:, None] - rows, 0] for name, rows in back.items()}


def simple_forecasts(
    values: Float[np.ndarray, "rows columns"],
    origins: Int[np.ndarray, "windows"],
    weights: Float[np.ndarray, "history horizon"],
    config: Series,
) -> dict[str, Float[np.ndarray, "windows horizon"]]:
    """What needs no network. A history of one value has no differences for the linear function to read."""
    linear = [now + before @ weights for now, before, _ in pasts(values, origins, config)]
    fitted = {LINEAR: np.concatenate(linear).astype(values.dtype)} if config.history > 1 else {}
    return persistence(values, origins, config) | fitted


def linear_weights(
    values: Float[np.ndarray, "rows columns"],
    train: Int[np.ndarray, "windows"],
    valid: Int[np.ndarray, "windows"],
    config: Series,
) -> Float[np.ndarray, "history horizon"]:
    """As in `around`, y_h = last + sum_t weights_th (target_t - last), by ridge regression on the train part.

    Without an intercept, so that no level needs to have been seen before. The penalty is that of PENALTIES which does
    best on the valid part.
    """
    products, targets = moments(values, train, config)
    judged, wanted = moments(values, valid, config)
    size = products.trace() / config.history or 1.0  # small where the series climbs by little at a time

    def fit(penalty: float) -> Float[np.ndarray, "history horizon"]:
        return np.linalg.solve(products + penalty * size * np.eye(config.history), targets)

    def off(weights: Float[np.ndarray, "history horizon"]) -> float:  # squared, less what all weights have
        return (weights * (judged @ weights - 2 * wanted)).sum()

    return min(map(fit, PENALTIES), key=off)


def moments(
    values: Float[np.ndarray, "rows columns"], origins: Int[np.ndarray, "windows"], config: Series
) -> tuple[Float[np.ndarray, "history history"], Float[np.ndarray, "history horizon"]]:
    """Sums over the windows: histories with themselves, and with what came after."""
    products, targets = np.zeros((config.history, config.history)), np.zeros((config.history, config.horizon))
    for now, before, after in pasts(values, origins, config):
        products += before.T @ before
        targets += before.T @ (after - now)
    return products, targets


def pasts(
    values: Float[np.ndarray, "rows columns"], origins: Int[np.ndarray, "windows"], config: Series
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The target's last values [windows, 1], histories less those and what came after, by pieces, in float64."""
    for start in range(0, len(origins), PIECE):
        xs, ys = windows(values[:, :1], origins[start : start + PIECE], config)
        target = xs[..., 0].T.astype(np.float64)
        yield target[:, -1:], target - target[:, -1:], ys


def errors(ys: np.ndarray, truth: np.ndarray, std: float) -> dict[str, float]:
    """Of standardised values, and in the user's own units."""
    off = ys.astype(np.float64) - truth
    mse, mae = float((off**2).mean()), float(abs(off).mean())
    return {"mse": mse, "mae": mae, "mse_in_own_units": mse * std**2, "mae_in_own_units": mae * std}


def network(config: Series, n_in: int) -> Layer:
    """xs [history, *batch, n_in] -> [*batch, horizon]: recurrent layers, a dense on the last state, around a base."""
    policy = policy_of(config)
    layers, n = recurrent(config, n_in, policy)
    inner = last(stack(layers, dense(n, config.horizon, policy=policy)))
    return inner if config.around == "level" else around(inner, config)


def around(inner: Layer, config: Series) -> Layer:
    """The inner layer reads the history less its last row, and what it gives is added to that row's target.

    linear: y_h = last + sum_t linear_th (target_t - last) + inner_h; as LSTNet (Lai et al. 2018) beside its network,
    and NLinear (Zeng et al. 2023) alone
    """

    def init(key: PRNGKeyArray) -> Params:
        linear = jnp.zeros((config.history, config.horizon), jnp.float32) if config.around == "linear" else None
        return Params(inner.init(key), linear)

    def carry(batch_shape: tuple[int, ...], params: Any = None) -> PyTree:
        return inner.carry(batch_shape, params and params.network)

    def apply(params: Params, carry: PyTree, xs: Array, *, key=None, mask=None, reset=None) -> tuple[PyTree, Array]:
        if mask is not None or reset is not None:
            raise ValueError("series: a forecast takes no mask and no reset, wanted a whole history")
        now, xs = xs[-1, ..., :1], xs - xs[-1]
        carry, ys = inner.apply(params.network, carry, xs, key=key)
        if params.linear is not None:
            ys = ys + jnp.einsum("t...,th->...h", xs[..., 0], params.linear)
        return carry, now + ys

    return Layer(init, carry, apply, spec("around", inner, around=config.around, horizon=config.horizon))


def make_forecast(layer: Layer, config: Series) -> Callable[..., Float[np.ndarray, "windows horizon"]]:
    """forecast(params, values, origins), by pieces of one size, so that there is one program and little memory."""

    @jax.jit
    def piece(params: PyTree, xs: Array) -> Array:
        return layer.apply(params, layer.carry(xs.shape[1:2], params), xs)[1]

    def forecast(params: PyTree, values: np.ndarray, origins: np.ndarray) -> np.ndarray:
        size = min(PIECE, len(origins))
        found = []
        for start in range(0, len(origins), size):
            begin = min(start, len(origins) - size)  # the last piece is whole too: what it has again is dropped
            window = windows(values, origins[begin : begin + size], config)
            found.append(np.asarray(piece(params, window.xs))[start - begin :])
        return np.concatenate(found)

    return forecast


def file_of(path: Path, scale: Scale, config: Series) -> tuple[np.ndarray, Int[np.ndarray, "windows"]]:
    """The user's file, standardised as the run's was, and the last known row of every forecast within it."""
    raw = columns(read_table(path, WANTED), scale.names)
    needed = config.history + config.horizon
    if len(raw) < needed:
        raise ValueError(f"data: {path} has {len(raw)} rows, wanted at least history + horizon = {needed}")
    return standardised(raw, scale), origins_of((0, len(raw)), config)


def ahead(params: PyTree, path: Path, scale: Scale, config: Series, forecast: Callable[..., np.ndarray]) -> Columns:
    """What follows the end of the user's file, in its own units, and when, where its times go on evenly."""
    table = read_table(path, WANTED)
    raw = columns(table, scale.names)
    if len(raw) < config.history:
        raise ValueError(f"data: {path} has {len(raw)} rows, wanted at least history = {config.history}")
    xs = standardised(raw[-config.history :], scale)
    xs = np.concatenate([xs, np.full_like(xs, np.nan, shape=(config.horizon, xs.shape[1]))])  # what nobody knows yet
    ys = forecast(params, xs, np.array([config.history - 1]))[0] * scale.std[0] + scale.mean[0]
    told: Columns = {"rows_ahead": list(range(1, config.horizon + 1)), scale.names[0]: ys.tolist()}
    if (time := clock(table, scale.names)) is None:
        return told
    when = times_ahead(table, time, max(config.history, WEEKS), config.horizon)
    return {time: when, **told} if when else told


def write_scores(rows: list[tuple[str, str, dict[str, float]]], target: str, directory: Path, console: Console) -> None:
    """Every forecast's scores on the same windows, on the screen and as CSV."""
    shown = Shown("part", "forecast", "mse", "mae", f"mse of {target}", f"mae of {target}")
    for split, name, scores in rows:
        shown.add_row(split, name, *(f"{value:.4g}" for value in scores.values()))
    console.print(shown)
    with (directory / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["part", "forecast", *rows[0][2]])
        table.writerows([split, name, *scores.values()] for split, name, scores in rows)


def draw_forecasts(
    path: Path,
    data: Data,
    origins: Int[np.ndarray, "windows"],
    truth: Float[np.ndarray, "windows horizon"],
    forecasts: Mapping[str, Float[np.ndarray, "windows horizon"]],
    config: Series,
) -> None:
    """Three windows of the test part, a quarter, half and three quarters through it, and the error by rows ahead."""
    figure = matplotlib.figure.Figure(figsize=(12, 8), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    before = np.arange(1 - min(config.history, max(2 * config.horizon, 48)), 1)
    after = np.arange(1, config.horizon + 1)
    styles = {"network": ("C3", "-"), "last value": ("C0", "--"), "a season before": ("C2", ":"), LINEAR: ("C1", "-.")}

    def own(values: Any) -> Any:
        return values * data.scale.std[0] + data.scale.mean[0]

    for axes, share in zip(panels, (0.25, 0.5, 0.75), strict=False):
        place = int(share * len(origins))
        axes.plot(before, own(data.values[origins[place] + before, 0]), color="0.6", label="history")
        axes.plot(after, own(truth[place]), color="k", label="truth")
        for name, ys in forecasts.items():
            axes.plot(after, own(ys[place]), styles[name][1], color=styles[name][0], label=name)
        axes.set(title=f"{share:.0%} through the test part", xlabel="rows ahead", ylabel=data.scale.names[0])
    panels[0].legend()
    for name, ys in forecasts.items():
        off = ((ys.astype(np.float64) - truth) ** 2).mean(0)
        panels[3].plot(after, off, styles[name][1], color=styles[name][0], label=name)
    panels[3].set(title="all of the test part", xlabel="rows ahead", ylabel="mse of standardised values")
    for axes in panels:
        axes.grid(alpha=0.3)
    panels[3].legend()
    figure.savefig(path, dpi=120)


def stand_in(folder: Path) -> dict[str, Any]:
    """A made-up file with ETTh1's target: two columns of waves, every hour."""
    path, rows = folder / "series.csv", 120
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["date", "load", "OT"])
        for row in range(rows):
            wave = math.sin(row * math.pi / 3)
            table.writerow([f"2020-01-{1 + row // 24:02} {row % 24:02}:00:00", wave, 20 + 5 * wave + row / 50])
    return {"data": path}


exportable(__name__)
