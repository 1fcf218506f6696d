"""What the README shows runs as it stands."""

import re
from pathlib import Path

import jax

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_dozen_lines_run(capsys):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import jax" in block]
    assert len([line for line in code.splitlines() if line]) <= 13
    with jax.numpy_dtype_promotion("standard"):
        exec(code, {})
    assert capsys.readouterr().out


def test_the_two_commands_do_all_the_set_up():
    assert 'pip install -e ".[cli]" && jaxrnn train text\n' in README
    assert 'pip install -e ".[test]" && pytest\n' in README
