"""The scripts of experiments: asked for help they give it, where they once trained for minutes over what is kept."""

import contextlib
import json
import runpy
import shutil
import sys
from pathlib import Path

import jax
import pytest

from experiments import gradient_flow

SCRIPTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.py"))


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens under")
@pytest.mark.parametrize("option", ["--help", "--never"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help_and_an_unknown_option_compute_nothing(script, option, tmp_path, monkeypatch, capsys):
    copied = Path(shutil.copy(script, tmp_path))  # what it would write, it would write beside itself
    monkeypatch.setattr(sys, "argv", [str(copied), option])
    with contextlib.suppress(SystemExit):
        runpy.run_path(str(copied), run_name="__main__")
    said = "".join(capsys.readouterr())
    assert ("Usage: " if option == "--help" else "Unknown option: --never") in said
    assert [*tmp_path.iterdir()] == [copied]


@pytest.mark.heavy
def test_gradients_flow_in_a_tiny_run(tmp_path, monkeypatch):
    tiny = {"LONG": 10, "RATES": (0.1,), "SHOWN": 0.1, "STEPS": 20, "SEEDS": (0, 1), "STEEP": 0.0}
    for name, value in {**tiny, "RESULTS": tmp_path / "gradient_flow"}.items():
        monkeypatch.setattr(gradient_flow, name, value)
    with jax.numpy_dtype_promotion("standard"):
        gradient_flow.main()
    result = json.loads((tmp_path / "gradient_flow.json").read_text())
    assert set(result["training"]) == {"rate 0.1, not clipped", "rate 0.1, clipped at 1"}
    assert [len(of["norms"]) for of in result["before_training"].values()] == [10] * 5
    assert (tmp_path / "gradient_flow.png").read_bytes().startswith(b"\x89PNG")
