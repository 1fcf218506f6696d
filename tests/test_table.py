"""The page of results is what its command makes of the results that are kept."""

from experiments import table


def test_the_page_is_made_of_the_results():
    assert (table.HERE / "README.md").read_text(encoding="utf-8") == table.page()
