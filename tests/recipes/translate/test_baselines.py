"""The dictionary finds what words stand for, and leaves the rest as it is."""

import pytest

from groundup.recipes.translate.baselines import Dictionary, _words_of
from tests.recipes.translate.manual import ADJECTIVES, NOUNS, VERBS, sentences


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary.learn(sentences()[::5])


def test_every_word_has_its_translation(dictionary):
    for words in (NOUNS, ADJECTIVES, VERBS):
        for word, expected in words.items():
            assert dictionary.words[word] == expected
    assert "" not in dictionary.words


def test_order_capitals_and_what_is_between_stay(dictionary):
    assert dictionary("Close the NEW window (now).") == "Fermu la Nova fenra (now)."
    assert dictionary("") == ""


def test_shares_are_those_of_the_written_out_rounds():
    pairs = [("a b", "x y"), ("a", "x"), ("b c", "y z")]
    shares = {(e, f): 1.0 for s, t in pairs for e in ["", *s.split()] for f in t.split()}
    for _ in range(8):
        count = dict.fromkeys(shares, 0.0)
        for source, target in pairs:
            for f in target.split():
                whole = sum(shares[e, f] for e in ["", *source.split()])
                for e in ["", *source.split()]:
                    count[e, f] += shares[e, f] / whole
        totals = {e: sum(v for (g, _), v in count.items() if g == e) for e, _ in count}
        shares = {(e, f): value / totals[e] for (e, f), value in count.items()}
    best = {e: max((v, f) for (g, f), v in shares.items() if g == e)[1] for e in "abc"}
    assert Dictionary.learn(pairs).words == best


def test_words_are_small_letters():
    assert _words_of("Don't STOP, Ünal!") == ["don", "t", "stop", "ünal"]
