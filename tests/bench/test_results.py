"""What is made of the timed runs: numbers, tables, comparisons, and README's table."""

import json
import re
from pathlib import Path

import pytest

from jaxrnn.bench import results, tables
from jaxrnn.bench.compare import broken, changes, faster, slower
from jaxrnn.cli import main

HERE = Path(__file__).parent
SMALL = HERE / "small.jsonl"
ROOT = HERE.parent.parent
TABLE = """\
| cell | B, T, I, H | jaxrnn fused | haiku | torch |
| --- | --- | --- | --- | --- |
| gru | 2, 3, 4, 5 | **12.3** (11.0 to 14.1) | 20.0 (19.0 to 21.0) (gru_before) | failed |
| lstm | 2, 3, 4, 5 | 0.123 (0.110 to 0.141) |  | **0.0999** (0.0900 to 0.110) |

Milliseconds of a training step (outputs, gradients of all weights and of x) in float32: the median (p10 to p90) of \
interleaved runs, each contender in a process of its own. `jaxrnn bench`, commit 0123456789 with changes, 2026-01-02, \
jax 0.10.2 on cpu (A processor, 2 threads; products in float32 at 100 GFLOP/s, memory at 20 GB/s).

* jaxrnn fused 0.1.0; method fused; float32; largest error 3e-07.
* haiku 0.0.17; dynamic_unroll(GRU); float32; largest error 1e-07.
* torch 2.13.0; nn.LSTM; float32; failed: killed: SIGKILL, as when memory runs out.
"""


def test_the_table_of_a_small_file():
    assert tables.markdown(*results.read(SMALL)) == TABLE


def test_the_command_shows_what_is_there(capsys):
    main(["bench", "--show", str(SMALL)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "jaxrnn fused 12.3 11.0 to 14.1 4100.0 488 50% 1.0% 9 3e-07 0.10 1.00 35.0" in shown
    assert "torch: killed: SIGKILL, as when memory runs out" in shown
    main(["bench", "--show", str(SMALL), "--markdown"])
    assert capsys.readouterr().out == TABLE


def test_a_readme_gets_its_table_between_the_markers_and_keeps_it(tmp_path):
    readme, results = tmp_path / "README.md", tmp_path / "small.jsonl"
    results.write_bytes(SMALL.read_bytes())
    readme.write_text("before\n<!-- bench: made by it -->\nold\n<!-- end of bench -->\nafter\n")
    for _ in range(2):
        main(["bench", "--show", str(results), "--readme", str(readme)])
        wanted = f"before\n<!-- bench: made by it -->\n\n{TABLE}\n<!-- end of bench -->\nafter\n"
        assert readme.read_text() == wanted
    assert (tmp_path / "small_roofline.png").exists()


def test_the_roofline_is_the_fastest_product_that_was_met(tmp_path):
    session, row, *_ = (json.loads(line) for line in SMALL.read_text().splitlines())
    faster = row | {"product_flops": 2 * session["peak_flops"], "flops": 1e9, "least_bytes": 1, "median": 0.01}
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, (session, faster))))
    read_session, (read_row,) = results.read(tmp_path / "results.jsonl")
    assert read_session["peak_flops"] == 2 * session["peak_flops"]
    assert read_row["roofline_share"] == 1e9 / (2 * session["peak_flops"]) / 0.01


def test_readme_has_the_table_of_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    for path in re.findall(r"<!-- bench: jaxrnn bench --show (\S+) --readme README.md -->", readme):
        if (ROOT / path).exists():
            wanted = tables.with_table(readme, tables.markdown(*results.read(ROOT / path)))
            assert wanted == readme, f"jaxrnn bench --show {path} --readme README.md writes it"


def test_quantiles_and_shares():
    row = results.summary(
        [0.005, 0.001, 0.003, 0.002, 0.004],
        T=10,
        B=4,
        work={"flops": 6e6, "least_bytes": 1e6, "product_flops": 4e9},
        session={"peak_flops": 6e9, "bandwidth": 5e8},
    )
    assert (row["p10"], row["median"], row["p90"]) == pytest.approx((0.0014, 0.003, 0.0046))
    assert row["microseconds_per_step"] == pytest.approx(300)
    assert row["tokens_per_second"] == pytest.approx(40 / 0.003)
    assert row["product_share"] == pytest.approx(0.5)
    assert row["roofline_share"] == pytest.approx(0.002 / 0.003)  # the memory's 2 ms, as products take 1


def timed(p10, median, p90, **more):
    place = {"name": "torch", "cell": "lstm", "B": 1, "T": 1, "I": 1, "H": 1, "dtype": "float32", "mode": "train"}
    return {**place, "compiler_options": None, "status": "ok", "p10": p10, "median": median, "p90": p90, **more}


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ((1.3, 1.4, 1.5), "slower"),  # clear of the old runs
        ((1.0, 1.4, 1.9), ""),  # the medians are apart, the runs overlap
        ((1.16, 1.04, 1.2), ""),  # apart, but by less than it matters
        ((0.9, 1.0, 1.1), ""),
        ((0.5, 0.6, 0.7), "faster"),
    ],
)
def test_a_regression_is_told_from_noise(new, verdict):
    (change,) = changes([timed(0.9, 1.0, 1.15)], [timed(*new)])
    assert (slower(change), faster(change)) == (verdict == "slower", verdict == "faster")


def test_only_the_same_work_of_the_same_contender_is_compared():
    old = [timed(1, 1, 1)]
    assert not changes(old, [timed(9, 9, 9, H=2), timed(9, 9, 9, name="keras"), timed(9, 9, 9, mode="forward")])
    dead = timed(0, 0, 0, status="failed")
    assert broken(old, [dead]) == [dead]
    assert not broken([dead], [dead])


def test_the_command_fails_where_something_is_slower(tmp_path, capsys):
    session, *rows = SMALL.read_text().splitlines()
    slow = tmp_path / "slow.jsonl"
    rows = [row.replace('"median": 0.0123, "p10": 0.011', '"median": 0.0223, "p10": 0.021') for row in rows]
    slow.write_text("\n".join([session, *rows]))
    main(["bench", "--show", str(SMALL), "--compare", str(SMALL)])
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "--show", str(slow), "--compare", str(SMALL)])
    assert capsys.readouterr().err == "jaxrnn: bench: of 4 rows, 1 are slower and 0 fail now\n"


def test_only_what_was_measured_alike_is_compared(tmp_path, capsys):
    session, *rows = SMALL.read_text().splitlines()
    awake = tmp_path / "awake.jsonl"
    awake.write_text("\n".join([json.dumps(json.loads(session) | {"waking_seconds": 0.1}), *rows]))
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--show", str(awake), "--compare", str(SMALL)])
    told = "the older runs were timed after 0 s of others, these after 0.1; measure again"
    assert capsys.readouterr().err == f"jaxrnn: compare: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cells", "lsmt"], "bench has no cell 'lsmt'; it has elman, elman_sigmoid, lstm, "),
        (["--methods", "fast"], "bench has no method 'fast'; it has auto, scan, "),
        (["--peers", "tensorflow"], "bench has no peer 'tensorflow'; it has none, linen, "),
        (["--dtypes", "float16"], "bench has no dtype 'float16'; it has float32, "),
        (["--shapes", "1,2,3"], "bench: shapes has '1,2,3', wanted B,T,I,H such as 16,200,32,64"),
        (["--shapes", "1,0,3,4"], "bench: shapes has '1,0,3,4', wanted four numbers from 1 on"),
        (["--compiler-options", "fast"], "bench: compiler_options is 'fast', wanted JSON such as "),
        (["--out", str(SMALL)], f"out: {SMALL} is there already, wanted a new file; choose another --out"),
        (["--show", __file__], f"bench: {__file__} is no file of results: "),
        (["--readme", "README.md"], "bench: readme wants results to show: "),
        (["--show", str(SMALL), "--readme", str(SMALL)], "readme: wanted a line that begins with '<!-- bench:'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(arguments, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", *arguments])
    error = capsys.readouterr().err
    assert error.startswith(f"jaxrnn: {told}")
    assert error.count("\n") == 1
