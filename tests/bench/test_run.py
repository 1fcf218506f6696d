"""The benchmark from its words to its files, and what a worker's death costs: its own row and no other."""

import io
import json
import signal
import types

import pytest

from jaxrnn.bench import crew, run, worker
from jaxrnn.bench.case import Case, Contender
from jaxrnn.bench.options import Bench
from jaxrnn.bench.results import read
from jaxrnn.cli import main

CASE = Case("lstm", 2, 3, 4, 5, "float32", "train")
SESSION = {"peak_flops": 1e9, "bandwidth": 1e9}
WORK = {"lstm": {"flops": 1000, "least_bytes": 1000, "product_flops": 1e9}}
BUILT = {"trace_seconds": 0.1, "compile_seconds": 1.0, "first_seconds": 0.1, "peak_bytes": None}


@pytest.mark.xdist_group("bench")
def test_a_tiny_benchmark_from_its_words_to_its_files(tmp_path, capsys):
    out = tmp_path / "tiny.jsonl"
    options = ["--cells", "lstm", "--methods", "scan", "associative", "--peers", "none", "--shapes", "2,3,4,5"]
    main(["bench", *options, "--rounds", "5", "--out", str(out)])
    session, [scan, associative] = read(out)
    assert {"command", "started", "versions", "device", "git", "threads", "peak_flops", "bandwidth"} <= session.keys()
    assert scan["status"] == "ok"
    assert len(scan["rounds"]) == 5
    assert 0 < scan["p10"] <= scan["median"] <= scan["p90"]
    assert min(scan["trace_seconds"], scan["compile_seconds"], scan["first_seconds"]) > 0
    assert scan["flops"] == 3 * 2 * 3 * 2 * 4 * 5 * (4 + 5)
    assert scan["errors"].keys() == {"ys", "d_xs", "d_params.w_x", "d_params.w_h", "d_params.b"}
    assert max(scan["errors"].values()) < 2e-6
    assert associative["status"] == "failed"
    assert "lstm has no method 'associative'" in associative["reason"]
    assert "jaxrnn scan" in capsys.readouterr().out
    for name in ("tiny.md", "tiny_peers.png", "tiny_roofline.png"):
        assert (tmp_path / name).stat().st_size > 100


def test_a_dead_worker_is_told_by_its_signal():
    with crew.crew() as workers:
        workers.append(crew.start())
        workers[0].process.send_signal(signal.SIGKILL)
        with pytest.raises(crew.Died, match=r"^killed: SIGKILL, as when memory runs out$"):
            crew.ask(workers[0], "time")


def answers(told):
    """A stand-in for crew.ask: told[contender][question] is a function of how often it was asked."""
    times = {}

    def ask(one, do, **arguments):
        times[one, do] = times.get((one, do), 0) + 1
        answer = told.get(one, {}).get(
            do, {"ready": {}, "build": BUILT, "time": {"seconds": 0.001}, "check": {"errors": {}}}[do]
        )
        return answer(times[one, do]) if callable(answer) else answer

    return ask


@pytest.mark.parametrize("when", ["ready", "build", "time"])
def test_a_death_costs_no_other_result(when, monkeypatch):
    def dies(times):
        if when != "time" or times == 3:
            raise crew.Died("killed: SIGKILL")
        return {"seconds": 0.002}

    names = iter(["first", "second", "third"])
    monkeypatch.setattr(run, "start", lambda *where: next(names))
    monkeypatch.setattr(run, "prepare", lambda case, forms: WORK)
    monkeypatch.setattr(run, "ask", answers({"second": {when: dies}}))
    monkeypatch.setattr(crew, "dismiss", lambda worker: None)
    those = [Contender("jaxrnn", "scan"), Contender("linen"), Contender("torch")]
    said = []
    rows = list(run.measure(CASE, those, Bench(rounds=7), SESSION, "/nowhere", said.append))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert [len(row["rounds"]) for row in rows] == [7, 2 if when == "time" else 0, 7]
    assert rows[1]["reason"] == "killed: SIGKILL"
    assert len(said) == 3 * len(those)  # the bar comes to its end all the same


def test_runs_are_in_turn_and_the_slow_run_fewer(monkeypatch):
    asked = []
    seconds = {"slow": 1.0, "quick": 0.001}

    def ask(one, do):
        asked.append(one)
        return {"seconds": seconds[one]}

    monkeypatch.setattr(run, "ask", ask)
    rows = [({"status": "ok", "rounds": []}, name) for name in seconds]
    run.interleave(rows, Bench(rounds=8, seconds=3.0), lambda words: None, 2)  # pyright: ignore[reportArgumentType]
    assert asked == ["slow", "quick"] * run.LEAST_ROUNDS + ["quick"] * 3


def test_the_time_that_a_short_run_wakes_for_counts(monkeypatch):
    monkeypatch.setattr(run, "ask", lambda one, do: {"seconds": 0.001})
    rows = [({"status": "ok", "rounds": []}, "quick")]
    run.interleave(rows, Bench(rounds=20, seconds=0.7), lambda words: None, 1)  # pyright: ignore[reportArgumentType]
    assert len(rows[0][0]["rounds"]) == 7


def test_runs_go_before_the_timed_one(monkeypatch):
    class Step:
        runs = 0

        def run(self):
            self.runs += 1

    one = worker.Worker()
    one.step = Step()  # pyright: ignore[reportAttributeAccessIssue]
    ticks = iter([0.0, 0.01, 0.06, 0.11, 5.0, 5.5])
    monkeypatch.setattr(worker, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert one.time() == {"seconds": 0.5}
    assert one.step.runs == 2 + 1


def test_a_worker_answers_what_was_raised_and_goes_on():
    class Raises:
        def time(self):
            raise MemoryError("out\nof memory")

        def check(self):
            return {"errors": {}}

    lines = []
    worker.serve(Raises(), io.StringIO('{"do": "time"}\n{"do": "check"}\n'), lines.append)
    assert [json.loads(line) for line in lines] == [{"error": "MemoryError: out"}, {"errors": {}}]
