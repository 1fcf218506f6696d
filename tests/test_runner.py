"""The command, from its words to the files it leaves."""

import gzip
import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import CELLS
from jaxrnn.cli import main
from jaxrnn.runner import record, smoke, train, updating
from jaxrnn.runner.config import Article, Text
from jaxrnn.runner.config.reading import read_run
from jaxrnn.runner.devices import make_mesh, place
from jaxrnn.runner.loading import load_run
from jaxrnn.runner.metrics import metrics_file
from jaxrnn.runner.optimizers import RULES, make_optimizer
from jaxrnn.runner.progress import progress
from jaxrnn.runner.stopping import Stopped
from jaxrnn.runner.summaries import curve
from jaxrnn.runner.tasks import article, text

pytestmark = pytest.mark.xdist_group("runner")  # its tests share four runs

COMMAND = Path(sys.executable).with_name("jaxrnn")
TINY = [
    "--units",
    "8",
    "--embedding",
    "4",
    "--batch",
    "2",
    "--length",
    "8",
    "--valid",
    "0.1",
    "--test",
    "0.1",
    "--evaluate-every",
    "10",
    "--steps",
    "30",
]


def start(*arguments):
    return subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, book):
    """Four tiny runs, two of them with the same seed, one with two: name -> (directory, what was printed)."""
    parent = tmp_path_factory.mktemp("runs")
    processes = {
        name: start("train", "text", "--data", str(book), "--out", str(parent / name), *seed.split(), *TINY)
        for name, seed in (("one", "--seed 1"), ("same", "--seed 1"), ("other", "--seed 2"), ("both", "--seeds 1 2"))
    }
    printed = {name: process.communicate() for name, process in processes.items()}
    assert [p.returncode for p in processes.values()] == [0, 0, 0, 0], printed
    return {name: (parent / name, out) for name, (out, _) in printed.items()}


def failure(capsys, *arguments):
    """(exit code, what was said) of a command that must fail."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code, capsys.readouterr().err.strip()


def test_a_run_records_what_was_asked_and_how_it_ended(runs):
    directory, _ = runs["one"]
    run = json.loads((directory / "run.json").read_text())
    assert run.keys() == {
        *("task", "status", "command", "config", "seed", "started", "versions", "device", "git"),
        *("seconds", "metrics", "anchors", "best", "params_sha256", "assets", "data_sha256"),
        *("parameters", "judged", "step", "throughput"),
    }
    assert run["status"] == "completed"
    assert run["git"] is None or re.fullmatch("[0-9a-f]{40}", run["git"]["commit"])
    assert run["seed"] == 1
    assert run["config"]["units"] == 8
    assert run["command"][1:3] == ["train", "text"]
    assert run["versions"].keys() >= {"python", "jax", "optax", "jaxrnn"}
    assert run["device"]["platform"] == jax.devices()[0].platform
    assert run["seconds"] > 0
    assert re.fullmatch("[0-9a-f]{64}", run["params_sha256"])
    assert run["metrics"].keys() == {"valid_bits", "test_bits"} == {f"{split}_bits" for split in run["anchors"]}


def test_a_run_leaves_metrics_checkpoints_sample_and_picture(runs):
    directory, _ = runs["one"]
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert [line["step"] for line in lines if "valid_bits" in line] == [10, 20, 30]
    assert lines[-1]["bits"] < lines[0]["bits"]
    assert {p.name for p in (directory / "checkpoints").iterdir()} == {"25", "30"}
    assert (directory / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert len((directory / "sample.txt").read_text()) == 500


def test_the_same_seed_gives_the_same_parameters(runs):
    digests = {name: json.loads((d / "run.json").read_text())["params_sha256"] for name, (d, _) in runs.items()}
    assert digests["one"] == digests["same"] != digests["other"]


def test_seeds_together_are_recorded_and_judged_as_alone(runs):
    alone, other, both = (json.loads((runs[k][0] / "run.json").read_text()) for k in ("one", "other", "both"))
    assert (both["config"]["seeds"], both["seed"]) == ([1, 2], [1, 2])
    for name in ("valid_bits", "test_bits"):
        bits = np.array([alone["metrics"][name], other["metrics"][name]])
        assert both["metrics"][f"{name}_by_seed"] == pytest.approx(bits, rel=1e-5)  # float32, 30 updates
        assert both["metrics"][name] == pytest.approx(bits.mean(), rel=1e-5)
        assert both["metrics"][f"{name}_std"] == pytest.approx(abs(bits[0] - bits[1]) / 2**0.5, rel=1e-2)
    assert re.search(
        r"^text: \d\.\d{3} \(standard deviation [\d.]+\) bits a character over 2 seeds", runs["both"][1], re.M
    )


def test_what_is_of_one_seed_of_several_says_of_which(runs):
    report = (runs["both"][0] / "report.md").read_text()
    assert report.index("The pictures and samples below are of seed 1, the first of 2.") < report.index("## Sample")
    assert "text: of seed 1, the first of 2:" in runs["both"][1]
    for alone in ((runs["one"][0] / "report.md").read_text(), runs["one"][1]):
        assert "of seed 1, the first" not in alone


def test_a_curve_of_several_seeds_lies_between_the_lowest_and_the_highest_of_them(tmp_path):
    looks = [[0.0, 0.1, 0.5], [0.0, 0.0, 0.9]]
    with metrics_file(tmp_path) as write:
        for step, values in enumerate(looks, 1):
            write(step=step, seconds=1.0, loss=float(np.mean(values)), loss_std=0.3, loss_by_seed=values)
    assert curve(tmp_path, "loss") == ([1, 2], pytest.approx([0.2, 0.3]), [0.0, 0.0], [0.5, 0.9])


def test_a_member_speaks_as_its_seed_alone(runs, capsys):
    said = {}
    for run, member in (("other", "0"), ("both", "0"), ("both", "1")):
        main(["sample", str(runs[run][0]), "--length", "200", "--member", member])
        said[run, member] = capsys.readouterr()
    assert said["both", "1"].out == said["other", "0"].out != said["both", "0"].out
    assert said["both", "1"].err == "jaxrnn: member 1 is seed 2\n"
    assert failure(capsys, "sample", runs["both"][0], "--member", "2") == (
        2,
        "jaxrnn: member: got 2, the run has seeds 1, 2 as members 0 to 1",
    )


def test_progress_is_plain_lines_when_it_is_not_a_terminal(runs):
    _, printed = runs["one"]
    words = r"bits [\d.]+ +valid_bits [\d.]+ +[\d,]+ characters/s +0 s left"
    assert re.search(rf"^text step 30/30 +{words}$", printed, re.MULTILINE)
    assert "\x1b" not in printed


def test_sample_speaks_from_the_best_weights(runs, capsys):
    directory, _ = runs["one"]
    main(["sample", str(directory), "--prompt", "It", "--length", "9", "--temperature", "0"])
    said = capsys.readouterr().out
    with jax.enable_x64(False):  # as the run had it
        _, _, problem, params, run = load_run(directory)
    assert record.digest(params) == run["best"]["params_sha256"]
    vocabulary = problem.assets["vocabulary"]
    for k in range(9):
        prompt = text.encode(said[: 2 + k], vocabulary)
        _, logits = problem.layer.apply(params, problem.layer.carry((), params), prompt)
        assert said[2 + k] == vocabulary[int(logits[-1].argmax())]


def test_sample_continues_the_prompt_the_same_way_for_the_same_seed(runs, capsys):
    directory, _ = runs["one"]
    said = []
    for seed in ("3", "3", "4"):
        main(["sample", str(directory), "--prompt", "It was", "--length", "20", "--temperature", "0.8", "--seed", seed])
        said.append(capsys.readouterr().out.removesuffix("\n"))
    assert said[0].startswith("It was")
    assert len(said[0]) == 26
    assert said[0] == said[1] != said[2]


def test_sample_of_one_likeliest_is_greedy(runs, capsys):
    said = []
    for how in (["--top-k", "1"], ["--top-p", "1e-9"], ["--temperature", "0"]):
        main(["sample", str(runs["one"][0]), "--prompt", "It was", "--length", "20", *how])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize("how", [["--top-k", "0"], ["--top-p", "0"], ["--top-p", "1.1"]], ids=" ".join)
def test_sample_refuses_options_out_of_range(runs, how, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(runs["one"][0]), *how])
    assert stop.value.code == 2


def test_sample_refuses_a_character_the_text_lacks(runs, capsys):
    code, said = failure(capsys, "sample", runs["one"][0], "--prompt", "Zoë")
    assert code == 2
    assert re.fullmatch(r"jaxrnn: prompt: 'Z' is not among the \d+ characters of the training text", said)


def test_sample_refuses_what_is_not_a_run(tmp_path, capsys):
    code, said = failure(capsys, "sample", tmp_path)
    assert code == 2
    assert said.startswith(f"jaxrnn: run: {tmp_path} is not a run: run.json cannot be read")


BAD_FILES = {
    "not text": (b"abc\xff\xfe", "is not UTF-8 text: byte 3 is 0xff (invalid start byte)"),
    "cut short": ("né".encode()[:-1], "is not UTF-8 text: byte 1 is 0xc3 (unexpected end of data)"),
    "not text after a mark": (b"\xef\xbb\xbfabc\xff", "is not UTF-8 text: byte 6 is 0xff (invalid start byte)"),
    "empty": (b"", "is empty (0 bytes), wanted UTF-8 text"),
    "too short": (
        b"abc",
        "has 3 characters, valid is 0.05 and test 0.05, wanted at least 1 character in each; raise --valid and --test",
    ),
    "still too short": (
        b"abc" * 30,
        "has 90 characters, valid is 0.05 and test 0.05: 82 are left, wanted 1025 to train on (batch 16 x length 64 ",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_text_file_is_named_and_no_run_begins(name, tmp_path, capsys):
    raw, words = BAD_FILES[name]
    data, out = tmp_path / "data.txt", tmp_path / "run"
    data.write_bytes(raw)
    code, said = failure(capsys, "train", "text", "--data", data, "--out", out)
    assert code == 2
    assert said.startswith(f"jaxrnn: data: {data} {words}")
    assert "\n" not in said
    assert not out.exists()


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    code, said = failure(capsys, "train", "text", "--data", tmp_path / "no.txt")
    assert (code, said) == (2, f"jaxrnn: data: {tmp_path / 'no.txt'} cannot be read: No such file or directory")


def test_a_directory_is_never_used_twice(tmp_path, book, capsys):
    code, said = failure(capsys, "train", "text", "--data", book, *TINY, "--out", tmp_path)
    assert (code, said) == (
        2,
        f"jaxrnn: out: {tmp_path} is there already, wanted a new directory; choose another --out",
    )


@pytest.mark.parametrize("words", [["--resume", "no-run"], ["--resume=no-run"]])
def test_resume_is_understood_with_an_equals_sign_too(words, capsys):
    code, said = failure(capsys, "train", *words)
    assert (code, said[:31]) == (2, "jaxrnn: run: no-run is not a ru")


def test_what_keeps_nothing_is_not_told_where(tmp_path, capsys):
    code, said = failure(capsys, "train", "text", "--smoke", "--out", tmp_path / "run")
    assert (code, said[: len("jaxrnn: out: ")]) == (2, "jaxrnn: out: ")
    assert not (tmp_path / "run").exists()


def test_a_try_that_is_stopped_says_that_nothing_is_kept(monkeypatch):
    def stopped(*_, **__):
        raise Stopped(2)

    monkeypatch.setattr("jaxrnn.runner.run.fit", stopped)
    with pytest.raises(Stopped) as raised:
        smoke.smoke("text", Text())
    assert (raised.value.number, raised.value.words) == (2, "text: stopped; nothing is kept")


def test_a_recipe_that_is_not_there_is_said_to_be_missing(tmp_path, capsys):
    code, said = failure(capsys, "train", tmp_path / "no.toml")
    assert (code, said) == (2, f"jaxrnn: recipe: {tmp_path / 'no.toml'} cannot be read: No such file or directory")


def test_an_unknown_cell_lists_the_choices(book, capsys):
    code, said = failure(capsys, "train", "text", "--data", book, "--cell", "lstn")
    assert code == 2
    assert "text has no cell 'lstn'; it has elman, elman_sigmoid, lstm," in said
    assert "did you mean 'lstm'?" in said


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("task = 'text'\nunit = 3", "units"),
        ("task = 'text'\ntrain = 3", '"[train]"'),  # the name of a command too
        ("task = 'text'\nunits = 'many'", "units"),
        ("task = 'txet'", "wanted one of text, "),
        ("task = ", "cannot be read as TOML"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(recipe, words, tmp_path, capsys):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    with pytest.raises(SystemExit) as stop:
        main(["train", str(path)])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert words in printed.out + printed.err


def test_the_command_line_stands_above_the_recipe(tmp_path):
    path, out = tmp_path / "recipe.toml", tmp_path / "run"
    path.write_text("task = 'article'\nunits = 3\nsteps = 7\ncell = 'gru_article'\nsamples = 5")
    process = start("train", str(path), "--steps", "11", "--out", str(out))
    printed = process.communicate()
    assert process.returncode == 0, printed
    run = json.loads((out / "run.json").read_text())
    assert (run["config"]["units"], run["config"]["steps"]) == (3, 11)
    assert run["metrics"].keys() == {"gru_article"}
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    report = (out / "report.md").read_text()
    assert "| gru_article | 49 |" in report
    assert "(loss.png)" in report
    assert f"sha256 of the weights: `{run['params_sha256']}`" in report


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path, book):
    out = tmp_path / "run"
    options = ["--optimizer", "sgd", "--rate", "1e38", "--clip", "1e38"]
    process = start("train", "text", "--data", str(book), "--out", str(out), *TINY, *options)
    _, said = process.communicate()
    assert process.returncode == 3
    what = "the (loss|gradient of .*|updated .*) is not finite"
    assert re.fullmatch(rf"jaxrnn: text: step \d+: {what}; .* keeps step \d+; lower --rate or --clip\n", said)
    assert json.loads((out / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (OSError, "failed"), (None, "completed")]
)
def test_the_record_says_running_until_it_knows_better(error, status, tmp_path):
    def ends():
        with record.recorded(tmp_path / "run", "text", Text()) as (directory, _):
            assert read_run(directory)["status"] == "running"
            if error:
                raise error

    if error:
        with pytest.raises(error):
            ends()
    else:
        ends()
    assert read_run(tmp_path / "run")["status"] == status


def test_the_digest_sees_every_byte_name_and_shape():
    trees = [{"a": jnp.zeros(2)}, {"b": jnp.zeros(2)}, {"a": jnp.zeros((2, 1))}, {"a": jnp.array([0, 1e-300])}]
    assert len({record.digest(tree) for tree in trees}) == 4
    assert record.digest(trees[0]) == record.digest({"a": jnp.zeros(2)})


def test_a_stop_request_saves_the_step_and_says_so(tmp_path, book):
    out = tmp_path / "run"
    many = ["--steps", "100000", "--checkpoint-every", "100000", "--evaluate-every", "100000"]
    process = start("train", "text", "--data", str(book), "--out", str(out), *TINY[:-4], *many)
    metrics = out / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    step = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert process.returncode == 143
    assert said.strip() == f"jaxrnn: text: stopped at step {step}, which is saved in {out}"
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert [p.name for p in (out / "checkpoints").iterdir()] == [str(step)]


def test_updates_hand_the_carry_on_until_the_text_starts_anew_and_lower_the_loss(tmp_path):
    path, losses = tmp_path / "text", []
    path.write_text("abcde" * 7)
    config = Text(data=path, units=6, embedding=3, steps=100, rate=0.1, batch=2, length=4, valid=0.03, test=0.03)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem, mesh = text.make(config), make_mesh(config)
        layer, state = problem.layer, place(mesh, train.start(problem, config).state, updating.SPECS)
        update, apply = updating.make_update(problem, make_optimizer(config), mesh, 0), jax.jit(layer.apply)
        for step in range(1, 32):
            before = layer.carry((2,), state.params) if step in (1, 5) else state.carry  # an epoch is four windows
            wanted, _ = apply(state.params, before, problem.batch(0, step - 1).xs) if step <= 5 else (None, None)
            state, loss, _, _ = update(state, *updating.inputs(problem, mesh, 0, step, False))
            losses.append(float(loss))
            if wanted is not None:
                for a, b in zip(jax.tree.leaves(state.carry), jax.tree.leaves(wanted), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-5)
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_clipping_bounds_the_gradient_before_the_optimizer_sees_it(optimizer):
    rule = make_optimizer(Text(optimizer=optimizer, rate=1.0, steps=1, clip=0.5))
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = rule.update({"w": jnp.full(4, 100.0)}, rule.init({"w": jnp.zeros(4)}))
    norm = float(optax.tree.norm(updates))
    assert norm == pytest.approx({"sgd": 0.5, "adam": 2.0}[optimizer], rel=1e-4)


def test_muon_moves_a_matrix_alike_in_every_direction_and_as_far_as_adam():
    """Newton and Schulz's five steps bring every singular value near 1, none of them to 1."""
    rule = make_optimizer(Text(optimizer="muon", rate=0.1, steps=1, clip=0, warm_up=0))
    grads = {"w": jax.random.normal(jax.random.key(0), (20, 30)) * jnp.arange(1.0, 31.0), "b": jnp.arange(1.0, 4.0)}
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = rule.update(grads, rule.init(grads), grads)
    b, w = map(np.asarray, jax.tree.leaves(updates))
    sizes = np.linalg.svd(w, compute_uv=False) / (0.1 * 0.2 * math.sqrt(30))
    assert sizes.min() > 0.5
    assert sizes.max() < 1.3
    np.testing.assert_allclose(b, b[0], rtol=1e-4)  # biases go by Adam's rule


@pytest.mark.parametrize("optimizer", RULES)
def test_every_rule_fits_a_line(optimizer):
    rule = make_optimizer(Text(optimizer=optimizer, rate=0.1, steps=200, weight_decay=1e-3))
    xs = jax.random.normal(jax.random.key(0), (64, 3))

    def loss(w):
        return ((xs @ (w - jnp.array([[1.0], [-2.0], [0.5]]))) ** 2).mean()

    @jax.jit
    def step(w, state):
        updates, state = rule.update(jax.grad(loss)(w), state, w)
        return optax.apply_updates(w, updates), state

    w, state = jnp.zeros((3, 1)), rule.init(jnp.zeros((3, 1)))
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(200):
            w, state = step(w, state)
    assert loss(w) < 0.01 * loss(jnp.zeros((3, 1)))


def test_the_article_fits_its_targets_with_its_own_settings():
    config = Article(steps=3000, samples=5)
    settings = (config.units, config.length, config.rate, Article().samples, Article().steps)
    assert settings == (10, 10, 1e-3, 100, 10_000)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        losses = article.fit_network(config, article.load(config), "elman").losses
    assert losses[-1] < losses[0] / 5


def test_windows_follow_each_other_and_targets_are_one_ahead():
    config = Text(batch=3, length=4)
    letters = np.arange(60, dtype=np.int32)
    for step in range(12):
        xs, ys, restart = text.window(config, letters, 5, step)
        again, _, _ = text.window(config, letters, 5, step)
        after, _, restarts_next = text.window(config, letters, 5, step + 1)
        assert xs.shape == (4, 3)
        assert restart == (step % 4 == 0)
        np.testing.assert_array_equal(ys, xs + 1)
        np.testing.assert_array_equal(xs, again)
        assert restarts_next or (after[0] == xs[-1] + 1).all()


def test_an_evaluation_in_pieces_equals_the_whole(monkeypatch):
    layer = text.network(Text(units=3, embedding=2), 5)
    params = layer.init(jax.random.key(0))
    letters = np.arange(24, dtype=np.int32) % 5
    whole = text.make_evaluate(layer)(params, letters)
    monkeypatch.setattr(text, "PIECE", 7)
    assert text.make_evaluate(layer)(params, letters) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_makes_the_networks_of_the_tasks(cell):
    """A projected cell's output is narrower than its units."""
    layers = text.network(Text(cell=cell, units=4, embedding=3, layers=2), 5), article.network(Article(units=4), cell)
    for layer, xs, wanted in zip(layers, (jnp.zeros(2, jnp.int32), jnp.zeros((2, 1))), ((2, 5), (1,)), strict=True):
        params = jax.eval_shape(layer.init, jax.random.key(0))
        ys = jax.eval_shape(lambda p, layer=layer, xs=xs: layer.apply(p, layer.carry((), p), xs)[1], params)
        assert ys.shape == wanted


def test_anchors_of_a_text_whose_entropy_is_known():
    anchors = text.anchors(text.Data("ab" * 499, "ab" * 10, "ab" * 5), "valid", "ab")
    assert anchors["unigram entropy"] == pytest.approx(1)
    assert anchors["gzip -9 alone"] == 8 * len(gzip.compress(b"ab" * 10, 9)) / 20
    assert anchors["gzip -9 alone"] > anchors["gzip -9 after the text before"]


def test_an_empty_prompt_opens_with_a_line_break_or_what_there_is():
    assert text.decode(text.opening("\nab"), "\nab", "characters") == "\n"
    assert text.decode(text.opening("ab"), "ab", "characters") == "a"


def test_every_epoch_of_the_article_sees_every_sequence_once():
    order = article.shuffled(Article(samples=10, steps=35))
    for epoch in range(3):
        assert sorted(order[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert len(order) == 35
    assert not (order[:10] == order[10:20]).all()


def test_the_article_draws_its_numbers_between_0_and_1():
    data = article.load(Article())
    assert data.xs.shape == (100, 10, 1)
    assert data.ys.shape == (100, 1)
    assert 0 <= float(data.xs.min()) < float(data.xs.max()) < 1


def test_help_does_not_wait_for_jax():
    subprocess.run([sys.executable, "-c", "import jaxrnn.cli, sys; assert 'jax' not in sys.modules"], check=True)


def test_a_terminal_gets_a_live_bar():
    from rich.console import Console

    console = Console(force_terminal=True, width=100, record=True)
    with progress(console, "text", 3) as show:
        show(3, "1.234 bits/char")
    assert "1.234 bits/char" in console.export_text()
