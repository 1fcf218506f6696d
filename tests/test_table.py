"""The page of results is what its command makes of the results that are kept."""

import json
import tomllib

import pytest

from experiments import table

RESULTS = {path.parent.relative_to(table.HERE / "results"): path for path in table.HERE.glob("results/**/result.json")}


def test_the_page_is_made_of_the_results():
    assert (table.HERE / "README.md").read_text(encoding="utf-8") == table.page()


@pytest.mark.parametrize(
    ("mean", "spread", "written"),
    [
        (1.998, None, "2.00"),
        (123.5, 0.52, "123.5 ± 0.5"),
        (3.7014, 0.114, "3.70 ± 0.11"),
        (8.5981, 0.0038, "8.598 ± 0.004"),
        (118.2, None, "118"),
        (95.2, 0.0, "95.2 ± 0.0"),
        (0.0, None, "0.00"),
    ],
)
def test_a_mean_and_its_deviation_have_as_many_digits_after_the_point(mean, spread, written):
    metrics = {"bits": mean} | ({} if spread is None else {"bits_std": spread})
    assert table.number(metrics, "bits") == written


@pytest.mark.parametrize("path", [pytest.param(path, id=str(name)) for name, path in sorted(RESULTS.items())])
def test_a_result_is_what_its_command_and_the_recipe_give(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    _, _, recipe, *told = found["command"].split()
    wanted = tomllib.loads((table.HERE.parent / recipe).read_text(encoding="utf-8"))
    config = {"task": found["task"]} | found["config"]
    changed = {word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in told if word.startswith("--")}
    same = {key: config.get(key) for key in wanted if key not in changed}
    assert same == {key: wanted[key] for key in same}
