"""The training loop on several devices, in several processes and with several seeds."""

import dataclasses
import functools
import re
import signal
import socket
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from test_runner import failure, start
from tiny import close
from transformations import assert_reduces_outside_loops

from jaxrnn.runner import record, train, updating
from jaxrnn.runner.checkpoint import restore
from jaxrnn.runner.config import Text
from jaxrnn.runner.config.reading import from_options, read_run
from jaxrnn.runner.devices import AXIS, make_mesh, on_host, place
from jaxrnn.runner.optimizers import make_optimizer
from jaxrnn.runner.seeds import for_each, member, seeds_of
from jaxrnn.runner.tasks import text

pytestmark = pytest.mark.xdist_group("runner")
CONFIG = Text(units=4, embedding=3, batch=4, length=5, steps=20, layers=2)
LETTERS = "".join("abcdefg"[k] for k in np.random.default_rng(0).integers(7, size=200))
SMALL = ["--units", "8", "--embedding", "4", "--length", "8", "--valid", "0.1", "--test", "0.1"]


@functools.cache
def after_steps(devices=1, seeds=0, steps=3, asked=(False, False)):
    """(state, losses, whether to stop, the update's HLO) after some steps; `asked` is by device, at every step."""
    which = {"seeds": seeds} if isinstance(seeds, tuple) else {"seed": seeds}
    config = dataclasses.replace(CONFIG, devices=devices, **which)
    with tempfile.TemporaryDirectory() as folder, jax.numpy_dtype_promotion("standard"):
        path = Path(folder) / "text"
        path.write_text(LETTERS)
        problem, mesh = text.make(dataclasses.replace(config, data=path)), make_mesh(config)
        state, losses, stop = place_start(problem, config, mesh), [], False
        signals = place(mesh, np.array(asked[:devices]), P(AXIS))
        *first, _ = updating.inputs(problem, mesh, seeds, 1, False)
        update = updating.make_update(problem, make_optimizer(config), mesh, seeds)
        update = update.lower(state, *first, signals).compile()
        for step in range(1, steps + 1):
            *given, _ = updating.inputs(problem, mesh, seeds, step, False)
            state, loss, _, stop = update(state, *given, signals)
            losses.append(np.asarray(loss))
    return on_host(mesh, state), np.stack(losses), np.any(stop), update.as_text() or ""


def place_start(problem, config, mesh):
    return place(mesh, train.start(problem, config).state, for_each(seeds_of(config), updating.SPECS))


def test_two_devices_train_as_one_does():
    """Losses, parameters, moments and carries, in float64."""
    close(after_steps(devices=2)[:2], after_steps()[:2])


def test_two_devices_speak_to_each_other_once_a_step():
    """Not at every step of the loops over time, where the partitioner would put it."""
    hlo = after_steps(devices=2)[3]
    assert hlo.count(" while(") >= 2
    assert len(re.findall(r" all-reduce(?:-start)?\(", hlo)) == 1
    assert_reduces_outside_loops(hlo)


def test_any_device_that_is_asked_to_stop_tells_the_others():
    assert not after_steps(devices=2)[2]
    assert after_steps(devices=2, steps=1, asked=(False, True))[2]


def test_seeds_together_train_as_each_does_alone():
    state, losses, _, _ = after_steps(seeds=(0, 3))
    for k, seed in enumerate((0, 3)):
        close((member(state, k), losses[:, k]), after_steps(seeds=seed)[:2])


REFUSED = {
    "--seeds 2 3 2": "seeds: got 2, 3, 2, wanted two or more, each once",
    "--seed 1 --seeds 2 3": "seed: got 1 beside seeds 2, 3, wanted one or the other; --seeds 1 is that one alone",
    "--devices 3": "devices: got 3, this process has 2 of kind cpu; JAX_NUM_CPU_DEVICES makes more",
    "--devices all --batch 3": "batch: 3 cannot be shared by 2 devices, wanted a multiple of 2",
    "--processes 2": "coordinator, processes and process: got None, 2 and None, wanted all three",
    "--coordinator here --processes 2 --process 0": "coordinator: got 'here', wanted host:port",
    "--coordinator here:1 --processes 2 --process 2": "process: got 2, wanted 0 to 1 for 2 processes",
}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="says how many devices a CPU has")
@pytest.mark.parametrize("options", REFUSED)
def test_what_cannot_be_shared_is_refused_and_no_run_begins(options, book, tmp_path, capsys):
    said = failure(capsys, "train", "text", "--data", book, "--out", tmp_path / "run", *SMALL, *options.split())
    assert said == (2, f"jaxrnn: {REFUSED[options]}")
    assert not (tmp_path / "run").exists()


def test_a_single_one_of_several_seeds_is_the_seed():
    """So that of a recipe with seeds one alone can be run."""
    assert dataclasses.asdict(Text(seeds=(3,))) == dataclasses.asdict(Text(seed=3))


@pytest.mark.parametrize("process", [0, 1])
def test_a_process_that_waits_for_the_others_in_vain_says_so(process, book, tmp_path, capsys):
    port = free_port()
    options = f"--coordinator localhost:{port} --processes 2 --process {process} --wait 1".split()
    code, said = failure(capsys, "train", "text", "--data", book, "--out", tmp_path / "run", *SMALL, *options)
    reason = ("1 of 2 processes came", "nobody answers")[process]
    assert (code, said) == (2, f"jaxrnn: coordinator: localhost:{port}: {reason} (process {process} of 2, --wait 1)")


def test_a_port_in_use_is_named(book, tmp_path, capsys):
    with socket.create_server(("localhost", 0)) as server:
        coordinator = f"localhost:{server.getsockname()[1]}"
        options = f"--coordinator {coordinator} --processes 2 --process 0".split()
        code, said = failure(capsys, "train", "text", "--data", book, "--out", tmp_path / "run", *SMALL, *options)
    assert code == 2
    assert re.fullmatch(rf"jaxrnn: coordinator: {coordinator}: .*in use.* \(process 0 of 2, --wait 300\)", said)


@pytest.mark.thorough
def test_two_processes_are_one_with_two_devices_and_a_signal_to_either_stops_both(book, tmp_path):
    """Bit for bit the same training state, in the directory of process 0."""
    out, coordinator = tmp_path / "run", f"localhost:{free_port()}"
    told = [*SMALL, "--steps", "100000", "--seed", "1", "--out", str(out), "--data", str(book)]
    told += ["--coordinator", coordinator, "--processes", "2", "--process"]
    first, second = (start("train", "text", *told, number) for number in ("0", "1"))
    metrics = out / "metrics.jsonl"
    while first.poll() is second.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    second.send_signal(signal.SIGTERM)
    printed = first.communicate(), second.communicate()
    assert (first.returncode, second.returncode) == (143, 143), printed
    (step,) = (int(p.name) for p in (out / "checkpoints").iterdir())
    assert f"jaxrnn: text: stopped at step {step}, which is saved in {out}\n" in printed[0][1]

    config = from_options(Text, read_run(out)["config"] | {"devices": 2}, "run.json")
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        problem, mesh = text.make(config), make_mesh(config)
        state = place_start(problem, config, mesh)
        update = updating.make_update(problem, make_optimizer(config), mesh, 1)
        for number in range(1, step + 1):
            state, *_ = update(state, *updating.inputs(problem, mesh, 1, number, False))
        state = on_host(mesh, state)
        for name, tree in state._asdict().items():
            assert record.digest(restore(out, **{name: tree}).trees[name]) == record.digest(tree), name


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]
