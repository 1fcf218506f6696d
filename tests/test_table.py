"""The page of results is what its command makes of the results that are kept."""

import json
import tomllib

import pytest

from experiments import table

RESULTS = {path.parent.relative_to(table.HERE / "results"): path for path in table.HERE.glob("results/**/result.json")}


def test_the_page_is_made_of_the_results():
    assert (table.HERE / "README.md").read_text(encoding="utf-8") == table.page()


def test_a_mean_has_three_digits_and_no_bare_point():
    assert table.number({"bits": 1.998}, "bits") == "2.00"
    assert table.number({"perplexity": 123.5, "perplexity_std": 0.52}, "perplexity") == "124 ± 0.5"


@pytest.mark.parametrize("path", [pytest.param(path, id=str(name)) for name, path in sorted(RESULTS.items())])
def test_a_result_is_what_its_command_and_the_recipe_give(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    _, _, recipe, *told = found["command"].split()
    wanted = tomllib.loads((table.HERE.parent / recipe).read_text(encoding="utf-8"))
    config = {"task": found["task"]} | found["config"]
    changed = {word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in told if word.startswith("--")}
    same = {key: config.get(key) for key in wanted if key not in changed}
    assert same == {key: wanted[key] for key in same}
