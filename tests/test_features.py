"""README's feature tables: made from features.py, every yes of jaxrnn backed by a test, every no with its reason."""

import pytest
from features import BEGIN, END, FRAMEWORKS, LAYERS, OTHERS, README, WORDS, missing, written

rows = pytest.mark.parametrize("row", [*LAYERS, *OTHERS], ids=lambda row: row.feature)


def test_readme_shows_what_the_data_says():
    text = README.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == written(text), "`python tests/features.py` writes README's tables anew"


@rows
def test_a_yes_has_a_test_and_nothing_else_has(row):
    assert row.jaxrnn in ("yes", "part", "no")
    assert (row.test is not None) == (row.jaxrnn == "yes")
    if row.test:
        assert missing(row.test) is None


@rows
def test_what_a_peer_has_and_jaxrnn_has_not_is_given_a_reason(row):
    had = row not in LAYERS or "y" in row.peers
    assert row.jaxrnn == "yes" or row.reason or not had


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.feature)
def test_every_framework_has_an_answer(row):
    assert len(row.peers) == len(FRAMEWORKS)
    assert set(row.peers) <= set(WORDS)


def test_a_test_that_is_not_there_is_found_missing():
    assert missing("test_laws.py::test_nothing") == "test_laws.py has no test test_nothing"
    assert missing("test_no_file.py::test_nothing") == "test_no_file.py has no test test_nothing"
    assert missing("test_laws.py::test_equals_the_oracle[lstn]") == "CELLS has no lstn"
    assert missing("test_laws.py::test_equals_the_oracle[lstm]") is None
