"""Words as symbols: what a word is, how many are known, and the anchors by hand."""

import itertools
import math

import jax
import numpy as np
import pytest

from jaxrnn.runner import symbols
from jaxrnn.runner.config import Sample, Text
from jaxrnn.runner.tasks import text

SAID = 'He said: "Don\'t, well-known friend!"\nShe left <unk> behind.\n'


def test_what_a_word_is():
    assert symbols.split(SAID, "words") == [
        *("He", "said", ":", '"', "Don't", ",", "well-known", "friend", "!", '"', "\n"),
        *("She", "left", "<unk>", "behind", ".", "\n"),
    ]
    assert symbols.split(SAID, "characters") == SAID


def test_tokens_are_what_spaces_part():
    tokens = ["the", "u.s.", "<unk>", "'s", ".", "\n", "\n", "no", "n't", "\n"]
    assert symbols.split(" the u.s. <unk> 's . \n\n no  n't\n", "tokens") == tokens
    assert symbols.written(tokens, "tokens") == "the u.s. <unk> 's .\n\nno n't\n"
    assert symbols.split(symbols.written(tokens, "tokens"), "tokens") == tokens


def test_words_are_written_as_text():
    assert (
        symbols.spaced(["He", "left", "(", "once", ")", ",", "then", ".", "\n", "Then"])
        == "He left (once), then.\nThen"
    )


def test_the_commonest_words_are_known_and_the_others_are_one():
    words = ["b", "b", "b", "a", "a", "c", "c", "d"]
    assert symbols.commonest(words, 10) == ["<unk>", "b", "a", "c"]  # d is there once
    assert symbols.commonest(words, 3) == ["<unk>", "b", "a"]
    assert symbols.commonest([*words, "<unk>"], 10) == ["<unk>", "b", "a", "c", "d"]
    assert symbols.encode(["a", "d", "<unk>"], ["<unk>", "b", "a"]).tolist() == [2, 0, 0]


def test_bigrams_equal_a_plain_loop():
    seen, met, shares = np.array([0, 1, 0, 1, 2, 0]), np.array([0, 1, 1, 2]), np.array([0.5, 0.3, 0.2])
    bits = []
    for a, b in itertools.pairwise(met):
        after = [y for x, y in itertools.pairwise(seen) if x == a]
        kinds = max(len(set(after)), 1)
        bits.append(-math.log2((after.count(b) + kinds * shares[b]) / (len(after) + kinds)))
    assert text.bigram_bits(seen, met, shares) == pytest.approx(np.mean(bits))


def test_the_bigrams_after_each_word_add_up_to_one():
    seen, shares = np.array([0, 1, 0, 1, 2, 0]), np.array([0.5, 0.3, 0.2])
    for a in range(3):
        chances = [2 ** -text.bigram_bits(seen, np.array([a, b]), shares) for b in range(3)]
        assert sum(chances) == pytest.approx(1)


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "book.txt"
    path.write_text("the cat sat .\nthe dog sat .\n" * 40)
    options = {"units": 4, "embedding": 3, "batch": 2, "length": 4, "level": "words"}
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        return path, text.make(Text(data=path, valid=0.2, test=0.2, **options))


def test_a_word_model_is_judged_by_perplexity_too(problem):
    _, problem = problem
    params = problem.layer.init(jax.random.key(0))
    scores = problem.evaluate(params, "test")
    assert scores["perplexity"] == pytest.approx(2 ** scores["bits"])
    assert problem.unit == "bits a word"
    assert problem.anchors("test").keys() == {"unigram entropy", "bigrams"}
    # after "the" cat or dog, one bit in five words
    assert problem.anchors("test")["bigrams"] == pytest.approx(0.2, abs=0.12)


def test_a_word_model_writes_words_after_a_prompt_of_any(problem):
    _, problem = problem
    params, vocabulary = problem.layer.init(jax.random.key(0)), problem.assets["vocabulary"]
    said = text.continue_prompt(
        problem.layer, params, vocabulary, "words", Sample(prompt="the zebra", length=5, top_k=2)
    )
    assert said.startswith("the zebra")
    assert len(symbols.split(said, "words")) == 7


def test_a_vocabulary_of_characters_cannot_be_cut(problem):
    path, _ = problem
    with pytest.raises(ValueError, match="vocabulary: got 7 beside characters, wanted it with --level words or tokens"):
        text.make(Text(data=path, vocabulary=7, batch=1))


def test_parts_are_shares_or_numbers_of_symbols_or_a_file_apart(tmp_path):
    path, other = tmp_path / "book.txt", tmp_path / "other.txt"
    path.write_text("a b c d\n" * 40)
    other.write_text("d c <new>\n")

    def parts(**options):
        return [len(part) for part in text.load(Text(data=path, level="tokens", batch=2, length=4, **options))]

    assert parts(valid=0.2, test=0.1) == [140, 40, 20]
    assert parts(valid=7, test=1) == [192, 7, 1]
    assert parts(valid=7, test=0.5, test_data=other) == [193, 7, 4]
    wrong = (
        r"^data: .* has 200 tokens, valid is 500 and test 0.05: 0 are left, wanted 9 to train on .*--valid or --test$"
    )
    with pytest.raises(ValueError, match=wrong):
        parts(valid=500)
    with pytest.raises(ValueError, match=r"^valid: got 7.5, wanted a share below 1 or a whole number$"):
        parts(valid=7.5)
    with pytest.raises(ValueError, match=r"^data: .* has 200 tokens, valid is 0.001 and test 0.05, wanted at least 1"):
        parts(valid=0.001)
    with pytest.raises(ValueError, match=r"^test_data: .*missing cannot be read"):
        parts(test_data=tmp_path / "missing")
    other.write_text("  \t ")
    with pytest.raises(ValueError, match=r"^test_data: .*other.txt has no tokens$"):
        parts(test_data=other)


def test_a_token_that_the_train_part_lacks_is_the_unknown_one(tmp_path):
    path, other = tmp_path / "book.txt", tmp_path / "other.txt"
    path.write_text("a b <unk> d\n" * 40)
    other.write_text("d new\n")
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        config = Text(data=path, test_data=other, level="tokens", units=4, embedding=3, batch=2, length=4)
        problem = text.make(config)
    vocabulary = problem.assets["vocabulary"]
    assert sorted(vocabulary) == ["\n", "<unk>", "a", "b", "d"]
    assert problem.read is not None
    assert problem.said is not None
    assert [vocabulary[k] for k in problem.read(other)] == ["d", "<unk>", "\n"]
    assert [vocabulary[k] for k in problem.said("u.s. d")] == ["<unk>", "d"]
    params = problem.layer.init(jax.random.key(0))
    assert problem.evaluate_file is not None
    assert problem.evaluate(params, "test") == problem.evaluate_file(params, other)[0]
    assert problem.unit == "bits a token"


def test_all_weights_begin_in_the_range_that_is_asked_for():
    params = text.network(Text(units=8, embedding=4, layers=2, init_range=0.1), 50).init(jax.random.key(0))
    for leaf in jax.tree.leaves(params):
        assert np.abs(leaf).max() <= 0.1
        assert np.std(leaf) == pytest.approx(0.1 / math.sqrt(3), rel=0.25)
