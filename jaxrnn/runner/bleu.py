"""BLEU (Papineni et al. 2002) as sacrebleu computes it (Post 2018), of sentences whose words are parted already."""

from collections.abc import Sequence
from typing import Any


def bleu(found: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Of a corpus, in percent; one reference a sentence."""
    return metric().corpus_score(joined(found), [joined(references)]).score


def signature() -> str:
    """What the number depends on, as sacrebleu says it."""
    measure = metric()
    measure.corpus_score(["a"], [["a"]])
    return str(measure.get_signature())


def metric() -> Any:
    """Words as they are: the files have Moses' tokens, to take apart again would make other words of them.

    Raises ValueError where sacrebleu is missing.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ModuleNotFoundError:
        raise ValueError('translate: BLEU needs sacrebleu: pip install "jaxrnn[experiments]"') from None
    return BLEU(tokenize="none", force=True)


def joined(sentences: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(words) for words in sentences]
