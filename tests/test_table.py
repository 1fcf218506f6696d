"""The page of results is what its command makes of the results that are kept."""

from experiments import table


def test_the_page_is_made_of_the_results():
    assert (table.HERE / "README.md").read_text(encoding="utf-8") == table.page()


def test_a_mean_has_three_digits_and_no_bare_point():
    assert table.number({"bits": 1.998}, "bits") == "2.00"
    assert table.number({"perplexity": 123.5, "perplexity_std": 0.52}, "perplexity") == "124 ± 0.5"
