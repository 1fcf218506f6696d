"""Elman's four streams, and a tiny run that predicts each."""

import json

import jax
import numpy as np
import pytest

from experiments import elman1990

NUMBERS = np.random.default_rng


def test_every_third_bit_is_the_exclusive_or_of_the_two_before():
    first, second, third = elman1990.xor(NUMBERS(0), 50).reshape(50, 3).T
    np.testing.assert_array_equal(third, first != second)
    assert {*zip(first, second, strict=True)} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_every_consonant_has_its_vowels():
    text = elman1990.syllables(NUMBERS(0), 50)
    assert not text.replace("guuu", "").replace("dii", "").replace("ba", "")
    assert sum(text.count(consonant) for consonant in "bdg") == 50


def test_every_letter_has_a_code_of_its_own():
    assert len({tuple(bits) for bits in elman1990.five_bits().values()}) == 26


def test_29_words_stand_in_sentences_of_2_or_3():
    read = elman1990.sentences(NUMBERS(0), 500)
    assert {len(sentence) for sentence in read} == {2, 3}
    assert {word for sentence in read for word in sentence} == {*elman1990.WORDS}
    assert (len(elman1990.NOUNS), len(elman1990.VERBS)) == (18, 11)
    assert all(s[0] in elman1990.NOUNS and s[1] in elman1990.VERBS and {*s[2:]} <= {*elman1990.NOUNS} for s in read)


def test_likelihoods_are_counts_after_the_same_beginning():
    read = [["man", "eat", "bread"], ["man", "move"], ["man", "eat", "cookie"]]
    ids = np.array([elman1990.WORDS.index(word) for sentence in read for word in sentence])
    found = elman1990.likelihoods(read, ids)
    eat, move, bread, cookie, man = (elman1990.WORDS.index(w) for w in ("eat", "move", "bread", "cookie", "man"))
    np.testing.assert_allclose(found[0, [eat, move]], [2 / 3, 1 / 3])
    np.testing.assert_allclose(found[1, [bread, cookie]], 0.5)
    np.testing.assert_allclose(found[4, man], 1)  # after "man move" came the next sentence


@pytest.mark.heavy
def test_a_tiny_run_writes_its_result_and_picture(tmp_path, monkeypatch):
    tiny = {name: size._replace(updates=2, long=120) for name, size in elman1990.SIZES.items()}
    monkeypatch.setattr(elman1990, "SIZES", tiny)
    monkeypatch.setattr(elman1990, "RESULTS", tmp_path)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        elman1990.main()
    result = json.loads((tmp_path / "elman1990.json").read_text())
    assert np.shape(result["streams"]["xor"]["of_all_seeds"]) == (elman1990.XOR_SEEDS, 12)
    assert len(result["streams"]["letters"]["text"]) == len(result["streams"]["letters"]["rms"]) == 50
    assert (tmp_path / "elman1990.png").read_bytes().startswith(b"\x89PNG")
