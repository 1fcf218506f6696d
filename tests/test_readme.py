"""What the README shows runs as it stands."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
import transformations

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_dozen_lines_run(capsys):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import jax" in block]
    assert len([line for line in code.splitlines() if line]) <= 13
    with jax.numpy_dtype_promotion("standard"):
        exec(code, {})
    assert capsys.readouterr().out


def test_the_lines_that_see_inside_run(capsys):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "jaxrnn.analysis" in block]
    exec(code, {"jax": jax, "jnp": jax.numpy})
    assert capsys.readouterr().out


def test_the_lines_that_bring_weights_run(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is in no extra of jaxrnn; `pip install torch` runs this")
    pytest.importorskip("safetensors", reason="the extra `peers` brings safetensors")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "from_torch" in block]
    monkeypatch.chdir(tmp_path)
    names = {"torch": torch}
    exec(code, names)
    assert isinstance(names["module"], torch.nn.GRU)
    assert (tmp_path / "gru.safetensors").is_file()


def test_the_nnx_model_trains_and_streams(capsys):
    pytest.importorskip("flax", reason="the extra `flax` brings Flax")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "from flax" in block]
    names = {}
    with jax.numpy_dtype_promotion("standard"):
        exec(code, names)
        whole = names["nnx"].view(names["model"], deterministic=True)
        whole.rnn.stream(None)
        ys = whole(names["words"])
    assert capsys.readouterr().out
    np.testing.assert_allclose(np.concatenate(names["scores"]), ys, rtol=0, atol=1e-5)


def test_the_two_commands_do_all_the_set_up():
    assert 'pip install -e ".[cli]" && jaxrnn train text\n' in README
    assert 'pip install -e ".[test]" && pytest\n' in README


def test_the_table_of_transformations_is_the_one_the_checks_make():
    assert transformations.with_table(README) == README, "python tests/transformations.py writes it"
