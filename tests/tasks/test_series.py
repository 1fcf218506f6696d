"""Forecasts: windows by hand, persistence by a plain loop, and nothing learnt from what was not to be seen."""

import csv
import datetime
import json
import re

import jax
import numpy as np
import pytest

from jaxrnn.runner.config import Series
from jaxrnn.runner.dates import times_ahead
from jaxrnn.runner.run import train
from jaxrnn.runner.tables import read_table, time_column
from jaxrnn.runner.tasks import series

WAVES = 60


@pytest.fixture(autouse=True)
def as_a_run_has_it():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def write(path, columns, times=None, name="date"):
    """A CSV file of those columns, with a date a row."""
    rows = len(next(iter(columns.values())))
    times = times or [f"2020-01-{1 + k // 24:02} {k % 24:02}:00:00" for k in range(rows)]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([name, *columns])
        table.writerows(zip(times, *(map(repr, map(float, column)) for column in columns.values()), strict=True))
    return path


def tiny(path, **options):
    options = {"units": 4, "horizon": 3, "history": 5, "season": 2, "batch": 4, "valid": 0.2, "test": 0.2} | options
    return Series(data=path, **options)


@pytest.fixture
def numbers(tmp_path):
    return write(tmp_path / "f.csv", {"a": np.arange(WAVES) ** 2, "b": np.random.default_rng(0).normal(size=WAVES)})


def test_a_window_is_the_rows_before_and_the_targets_after(numbers):
    config = tiny(numbers, inputs=("all",), valid=10, test=10)
    data = series.load(config, None)
    assert data.scale.names == ["b", "a"]  # the target, which is the last column, comes first
    assert data.parts == {"train": (0, 40), "valid": (40, 50), "test": (50, 60)}
    a, b = np.arange(60.0) ** 2, np.random.default_rng(0).normal(size=60)
    standard = [(column - column[:40].mean()) / column[:40].std() for column in (b, a)]
    window = series.windows(data.values, np.array([7, 20]), config)
    assert (window.xs.shape, window.ys.shape) == ((5, 2, 2), (2, 3))
    for k, column in enumerate(standard):
        np.testing.assert_allclose(window.xs[:, 1, k], column[16:21], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(window.ys[0], standard[0][8:11], rtol=1e-5, atol=1e-6)


def test_the_forecast_rows_of_a_part_are_all_in_it_and_all_of_it_is_forecast(numbers):
    config = tiny(numbers, valid=10, test=10)
    parts = series.load(config, None).parts
    ahead = {
        split: {o + h for o in series.origins_of(part, config) for h in (1, 2, 3)} for split, part in parts.items()
    }
    assert ahead == {"train": {*range(5, 40)}, "valid": {*range(40, 50)}, "test": {*range(50, 60)}}


def test_the_convention_of_etth1():
    parts = series.parts_of(Series(training=8640, valid=2880, test=2880, horizon=24), 17420)
    assert parts == {"train": (0, 8640), "valid": (8640, 11520), "test": (11520, 14400)}
    assert len(series.origins_of(parts["test"], Series(horizon=24))) == 2880 - 24 + 1


@pytest.mark.parametrize(("season", "horizon"), [(1, 3), (2, 3), (2, 4), (4, 9), (5, 2)])
def test_persistence_equals_a_plain_loop(season, horizon):
    values = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    origins = np.array([9, 17])
    found = series.persistence(values, origins, Series(season=season, horizon=horizon, history=6))
    for k, origin in enumerate(origins):
        for h in range(1, horizon + 1):
            row = origin + h
            while row > origin:
                row -= season
            assert found["a season before"][k, h - 1] == values[row, 0]
            assert found["last value"][k, h - 1] == values[origin, 0]


def test_a_season_that_the_history_lacks_is_no_forecast(numbers):
    assert series.make(tiny(numbers, season=6)).anchors("test").keys() == {"last value", series.LINEAR}


def test_the_linear_forecast_equals_the_least_squares_of_all_windows_at_once():
    """Of y = last + (history - last) W with a penalty, by rows that stand for it, and windows of a plain loop."""
    values = np.random.default_rng(2).normal(size=(400, 2)).astype(np.float32)
    n = 12
    config, train, valid = Series(history=n, horizon=2), np.arange(n - 1, 40), np.arange(40, 398)

    def rows(origins):
        last = np.array([[values[o, 0]] for o in origins], np.float64)
        x = np.array([values[o - n + 1 : o + 1, 0] for o in origins]) - last
        return last, x, np.array([values[o + 1 : o + 3, 0] for o in origins])

    def solution(penalty):
        last, x, y = rows(train)
        wide = np.concatenate([x, np.sqrt(penalty * (x**2).sum() / n) * np.eye(n)])
        return np.linalg.lstsq(wide, np.concatenate([y - last, np.zeros((n, 2))]), rcond=None)[0]

    last, x, y = rows(valid)
    each = [solution(penalty) for penalty in series.PENALTIES]
    best = int(np.argmin([((last + x @ weights - y) ** 2).mean() for weights in each]))
    assert 0 < best < len(each) - 1
    weights = series.linear_weights(values, train, valid, config)
    np.testing.assert_allclose(weights, each[best], atol=1e-6)
    found = series.simple_forecasts(values, valid, weights, config)[series.LINEAR]
    np.testing.assert_allclose(found, last + x @ each[best], atol=1e-5)


def test_the_linear_forecast_is_as_good_whatever_the_series_climbs_by():
    """A meter that counts up: differences are small beside what the levels are standardised by."""
    daily = np.tile(np.random.default_rng(0).normal(size=24), 40)
    config, parts = Series(history=48, horizon=3), np.split(np.arange(47, 957), [600, 800])

    def off(climb):
        values = (np.arange(960) * climb + daily)[:, None]
        size = values.std()
        weights = series.linear_weights(values / size, parts[0], parts[1], config)
        found = series.simple_forecasts(values / size, parts[2], weights, config)[series.LINEAR] * size
        return abs(found - values[parts[2][:, None] + [1, 2, 3], 0]).max()

    assert max(off(1.0), off(100.0)) < 0.02  # of a deviation of 1 about what it climbs by


def test_a_history_of_one_value_has_no_linear_forecast(numbers):
    assert series.make(tiny(numbers, history=1, season=2)).anchors("test").keys() == {"last value"}


def test_the_linear_forecast_is_fitted_to_train_and_chosen_by_valid(numbers, tmp_path):
    """What comes later changes nothing that is said of the valid part."""
    columns = {"a": np.arange(WAVES) ** 2, "b": np.random.default_rng(0).normal(size=WAVES)}
    end = series.load(tiny(numbers), None).parts["test"][0]
    columns["b"][end:] += 10 * np.random.default_rng(1).normal(size=WAVES - end)
    other = write(tmp_path / "other.csv", columns)
    one, two = (series.make(tiny(path)).anchors for path in (numbers, other))
    assert one("valid")[series.LINEAR] == two("valid")[series.LINEAR]
    assert one("test")[series.LINEAR] != two("test")[series.LINEAR]


def test_the_linear_forecast_reads_train_to_be_fitted_and_valid_to_be_chosen(numbers):
    """Of which either alone would be another forecast."""
    config = tiny(numbers, history=12)
    data, found = series.load(config, None), series.make(config).anchors("test")[series.LINEAR]
    train, valid, test = (series.origins_of(data.parts[split], config) for split in series.SPLITS)

    def off(fitted, chosen):
        weights = series.linear_weights(data.values, fitted, chosen, config)
        ys = series.simple_forecasts(data.values, test, weights, config)[series.LINEAR]
        return ((ys.astype(float) - series.windows(data.values, test, config).ys) ** 2).mean()

    assert found == pytest.approx(off(train, valid), 1e-6)
    assert abs(found - off(train, train)) > 1e-3
    assert abs(found - off(valid, valid)) > 1e-3


def test_standardisation_and_training_see_the_train_part_alone(numbers, tmp_path):
    columns = {"a": np.arange(WAVES) ** 2, "b": np.random.default_rng(0).normal(size=WAVES)}
    for column in columns.values():
        column[36:] = 1000 + column[36:]
    other = write(tmp_path / "other.csv", columns)
    one, two = (series.make(tiny(path, inputs=("all",))) for path in (numbers, other))
    assert one.assets == two.assets
    for step in range(20):
        jax.tree.map(np.testing.assert_array_equal, one.batch(0, step), two.batch(0, step))
    assert one.sha256
    assert two.sha256
    assert one.sha256() != two.sha256()


@pytest.mark.parametrize("rows", [WAVES, 9000])
def test_a_column_that_does_not_change_is_not_blown_up(rows, tmp_path):
    """The mean of equal numbers is rounded, and so their deviation is not 0: 1e-17, or 1e-14 of many rows."""
    columns, times = {"a": np.full(rows, 0.1), "b": np.arange(rows)}, [str(k) for k in range(rows)]
    problem = series.make(tiny(write(tmp_path / "f.csv", columns, times), inputs=("all",)))
    assert problem.assets["mean"][1] == 0.1
    assert problem.assets["std"][1] == 1.0


DAYS = [datetime.date(2024, 1, 1) + datetime.timedelta(k) for k in range(WAVES)]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y 08:30", "%Y/%m/%d"])
@pytest.mark.parametrize("name", ["date", "Datum"])
def test_dates_are_known_by_their_name_or_their_look_and_must_not_go_back(form, name, tmp_path, capsys):
    days = [day.strftime(form) for day in DAYS]
    path = write(tmp_path / "f.csv", {"y": np.arange(WAVES)}, days, name)
    assert series.load(tiny(path), None).scale.names == ["y"]
    assert capsys.readouterr().err == ""
    days[40], days[41] = days[41], days[40]
    with pytest.raises(ValueError, match=re.escape(f"line 43, column '{name}' is '{days[41]}', wanted a time after")):
        series.load(tiny(write(path, {"y": np.arange(WAVES)}, days, name)), None)


def test_a_gap_in_time_is_told_and_so_are_dates_that_nobody_can_read(tmp_path, capsys):
    times = [f"{day}" for day in [*DAYS[:50], *(day + datetime.timedelta(9) for day in DAYS[50:])]]
    series.load(tiny(write(tmp_path / "f.csv", {"y": np.arange(WAVES)}, times)), None)
    assert "column 'date' is '2024-02-29', 10 usual steps after '2024-02-19'" in capsys.readouterr().err
    times = [f"day {k}" for k in range(WAVES)]
    series.load(tiny(write(tmp_path / "g.csv", {"y": np.arange(WAVES)}, times)), None)
    assert "is 'day 0', in which no date was seen: the order is not checked" in capsys.readouterr().err


def test_months_are_no_gaps(tmp_path, capsys):
    months = [f"{2000 + k // 12}-{1 + k % 12:02}-01" for k in range(WAVES)]
    series.load(tiny(write(tmp_path / "f.csv", {"y": np.arange(WAVES)}, months)), None)
    assert capsys.readouterr().err == ""


def test_an_epoch_has_every_window_once(numbers):
    problem = series.make(tiny(numbers, batch=1))
    first = [problem.batch(3, step).ys.tobytes() for step in range(36 - 5 - 3 + 1)]
    assert len(set(first)) == len(first)
    assert first[0] == problem.batch(3, 0).ys.tobytes()
    assert first != [problem.batch(4, step).ys.tobytes() for step in range(len(first))]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A run on a straight line, whose last value is wrong by as much as it climbs."""
    folder = tmp_path_factory.mktemp("line")
    path = write(folder / "line.csv", {"y": 100 + 2 * np.arange(WAVES)})
    config = tiny(path, steps=150, rate=0.02, evaluate_every=75, out=folder / "run", around="linear")
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        train("series", config)
        problem = series.make(config, json.loads((folder / "run" / "run.json").read_text())["assets"])
    return folder, config, problem


def test_a_straight_line_is_learnt_beyond_what_was_seen(line):
    folder, _, _ = line
    run = json.loads((folder / "run" / "run.json").read_text())
    # rows ahead 1, 2, 3 at 2 a row, in own units: (4 + 16 + 36) / 3
    assert run["anchors"]["test"]["last value"] * series.load(line[1], None).scale.std[0] ** 2 == pytest.approx(
        56 / 3, 1e-4
    )
    assert run["metrics"]["test_mse_in_own_units"] < 0.5
    assert run["metrics"]["test_mae_in_own_units"] < 0.5


def test_a_run_leaves_its_picture_and_every_score_beside_persistence(line):
    folder, _, _ = line
    assert (folder / "run" / "forecast.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "run" / "scores.csv").read_text().splitlines()))
    assert [row["forecast"] for row in rows] == ["network", "last value", "a season before", series.LINEAR] * 2
    assert float(rows[5]["mae_in_own_units"]) == pytest.approx(4, 1e-4)  # of rows 1, 2, 3 ahead


def test_predict_goes_on_from_the_end_of_the_users_file_in_its_units(line, tmp_path):
    _, _, problem = line
    params = problem.layer.init(jax.random.key(0))
    path = write(tmp_path / "mine.csv", {"y": 500 + 2 * np.arange(9)})
    table = problem.predict(params, path)
    assert list(table) == ["date", "rows_ahead", "y"]
    assert table["date"] == ["2020-01-01 09:00:00", "2020-01-01 10:00:00", "2020-01-01 11:00:00"]
    assert table["rows_ahead"] == [1, 2, 3]
    mean, std = problem.assets["mean"][0], problem.assets["std"][0]
    xs = ((500 + 2 * np.arange(4, 9)[:, None]) - mean) / std
    _, ys = problem.layer.apply(params, problem.layer.carry((), params), xs.astype(np.float32))
    np.testing.assert_allclose(table["y"], np.asarray(ys) * std + mean, rtol=1e-5)


def test_predict_tells_no_date_that_is_not_known(line, tmp_path, capsys):
    _, _, problem = line
    params = problem.layer.init(jax.random.key(0))
    times = [f"2020-01-{day:02}" for day in (2, 3, 6, 7, 8, 9, 10)]  # as of a market: no weekend
    table = problem.predict(params, write(tmp_path / "mine.csv", {"y": np.arange(7)}, times))
    assert list(table) == ["rows_ahead", "y"]
    told = "mine.csv, column 'date' gives the forecasts no dates: its last 7 rows are not evenly apart"
    assert told in capsys.readouterr().err
    path = tmp_path / "none.csv"
    path.write_text("y\n" + "1\n" * 5)
    assert list(problem.predict(params, path)) == ["rows_ahead", "y"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("cells", "following"),
    [
        ("2020-02-27 2020-02-28", "2020-02-29 2020-03-01"),
        ("2020-01-01T23:30 2020-01-02T00:00", "2020-01-02T00:30 2020-01-02T01:00"),
        ("2020-01-01T00:00:00+01:00 2020-01-01T12:00:00+01:00", "2020-01-02T00:00:00+01:00 2020-01-02T12:00:00+01:00"),
        ("2020-10-01 2020-11-01 2020-12-01", "2021-01-01 2021-02-01"),  # the months of a year
        ("2019-11-30 2019-12-31 2020-01-31", "2020-02-29 2020-03-31"),  # by their last days
        ("2018-01-01 2019-01-01 2020-01-01", "2021-01-01 2022-01-01"),  # a leap year lies between
        ("30.12.2019 31.12.2019", "01.01.2020 02.01.2020"),
        ("12/30/2019 12/31/2019", "01/01/2020 01/02/2020"),
        ("01/01/2020 01/02/2020", None),  # days or months: both are even
        ("2019 2020", "2021 2022"),
        ("20200730 20200731", "20200801 20200802"),
        ("202010 202011 202012", "202101 202102"),
        ("10000000 10000001", "10000002 10000003"),  # no year of ours
        ("2020-12-28 2021-01-28 2021-02-28", "2021-03-28 2021-04-28"),  # the last is a month's end by chance
        ("2020-01-01T00:00:00Z 2020-01-01T01:00:00Z", "2020-01-01T02:00:00Z 2020-01-01T03:00:00Z"),
        ("1/16/2020 1/17/2020", None),  # no form here writes months so
        ("2020-W01 2020-W02", None),
        ("0.1 0.2 0.3", "0.4 0.5"),
        ("1467331200000000001 1467331200000000003", "1467331200000000005 1467331200000000007"),
        ("9999-12-30 9999-12-31", None),  # no later date can be written
        ("1e-99999999999999999999 1", None),
        ("2020-01-01", None),
        ("monday tuesday", None),
    ],
)
def test_times_go_on_as_they_are_written(cells, following, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("ds,y\n" + "".join(f"{cell},0\n" for cell in cells.split()))
    assert times_ahead(read_table(path, ""), "ds", 5, 2) == (following and following.split())


def test_a_file_of_ones_own_is_judged_whole_by_the_runs_standardisation(line, tmp_path):
    _, _, problem = line
    path = write(tmp_path / "mine.csv", {"y": 500 + 2 * np.arange(20)})
    scores, anchors = problem.evaluate_file(problem.layer.init(jax.random.key(0)), path)
    assert anchors()["last value"] * problem.assets["std"][0] ** 2 == pytest.approx(56 / 3, 1e-3)
    assert anchors().keys() == {"last value", "a season before"}  # nothing that is fitted to the train part
    assert scores.keys() == {"mse", "mae", "mse_in_own_units", "mae_in_own_units"}


def test_the_level_does_not_matter_around_the_last_value(numbers):
    layer = series.network(tiny(numbers, around="linear"), 1)
    params, xs = layer.init(jax.random.key(0)), np.random.default_rng(0).normal(size=(5, 2, 1)).astype(np.float32)
    params = params._replace(linear=params.linear + 0.1)
    carry = layer.carry((2,), params)
    np.testing.assert_allclose(
        layer.apply(params, carry, xs + 8)[1], layer.apply(params, carry, xs)[1] + 8, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("header", "first", "wanted"),
    [
        ("when,y", "2020-01-01,1", "when"),
        ("Date,y", "1 Jan,1", "Date"),
        ("time,y", "0,1", "time"),
        ("x,y", "20200101,1", None),
    ],
)
def test_the_time_column_is_found(header, first, wanted, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n{first}\n")
    assert time_column(read_table(path, "")) == wanted
