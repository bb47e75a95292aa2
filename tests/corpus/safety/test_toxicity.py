"""The lexicon counts what is meant, less what is mentioned, and drops nothing by itself."""

import pytest

from groundup.core import ArtifactError, DataError
from groundup.corpus.safety.toxicity import (
    ToxicityConfig,
    ToxicityStep,
    _default_lexicon,
    _parse_lexicon,
    _score_toxicity,
    toxic_words,
)
from groundup.documents import Record


def score(text: str) -> float:
    return _score_toxicity(text, _default_lexicon())[0]


def test_meant_counts_more_than_said_and_said_more_than_mentioned():
    meant = "You are an idiot and everybody knows it."
    said = "Only an idiot deletes the root folder."
    mentioned = "The word idiot comes from Greek and is derogatory."
    assert score(meant) == 4 * score(mentioned) * 2
    assert score(meant) > score(said) > score(mentioned) > 0


@pytest.mark.parametrize(
    "text",
    [
        "Kill the process, abort the job and reap the zombie children of the master.",
        "Scunthorpe, Essex, cocktail, assess, class, grape, shitake, Dickens",
        "Breast cancer screening; suicide prevention hotline; sex education.",
        "",
    ],
)
def test_plain_words_are_no_hits(text):
    assert score(text) == 0


def test_more_of_the_same_in_a_long_text_scores_less():
    word = "Only an idiot would. "
    assert score(word + "plain words here " * 1000) < score(word + "plain words here " * 100)


def test_nothing_is_dropped_unless_a_limit_is_set():
    record = Record("1", "s", "p", "text", "I will find you and kill you, you bastard.")
    ruling = ToxicityStep(ToxicityConfig())(record)
    assert not ruling.reason and ruling.metadata["toxicity"] > 20
    assert ruling.metadata["toxicity_hits"] == {"insult": 1, "threat": 2}
    dropped = ToxicityStep(ToxicityConfig(max_score=20))(record)
    assert dropped.reason == "toxicity: lexicon" and dropped.value > 20


def test_a_lexicon_of_ones_own_and_a_missing_classifier(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("# mine\n[spam 2]\nbuy now\n")
    step = ToxicityStep(ToxicityConfig(lexicon=file))
    assert step(Record("1", "s", "p", "text", "Buy  now!")).metadata.get("toxicity_hits") is None
    assert step(Record("1", "s", "p", "text", "BUY NOW!")).metadata["toxicity"] == 20
    with pytest.raises(ArtifactError, match="not a classifier"):
        ToxicityStep(ToxicityConfig(classifier=tmp_path))


def test_every_entry_of_the_lexicon_is_found():
    for entry in _default_lexicon().entries:
        assert score(f"x {entry} y") > 0, entry


@pytest.mark.parametrize(
    "hostile", ["a" * 10**6, "fuck" * 250_000, "<" * 10**6, "\0\ud800 " * 10**5]
)
def test_hostile_text_is_linear(hostile):
    assert _score_toxicity(hostile, _parse_lexicon("[a 1]\nfuck*\nson of a bitch"))[0] == 0


def test_another_list_has_other_words(tmp_path):
    (tmp_path / "own.txt").write_text("turnip\nsprout*\n")
    text = "You turnips, you turnip: sprouted idiots."
    assert toxic_words(text) == ["idiots"]
    assert toxic_words(text, tmp_path / "own.txt") == ["turnip", "sprouted"]
    with pytest.raises(DataError, match=r"The lexicon .*none.txt cannot be read"):
        toxic_words(text, tmp_path / "none.txt")
