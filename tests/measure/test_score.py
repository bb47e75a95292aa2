"""Every scorer gives a number with a signature, or says why not; the best reference counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Answer, ConfigError, DataError, Reason, Sample, Score, Scorer
from groundup.measure.score import (
    exact_match,
    meteor,
    natural_stop,
    refusal,
    rouge,
    score_all,
    similarity,
    token_f1,
)
from tests.checking import unchecked

FACTORIES = [exact_match(), exact_match("none"), similarity(), similarity("words"),
             token_f1(), refusal(), natural_stop()]  # fmt: skip


def sample(*references: str, name: str = "s1", group: str = "") -> Sample:
    return Sample(name, (), references=references, group=group)


@pytest.mark.parametrize("scorer", FACTORIES, ids=lambda scorer: scorer.signature)
def test_a_scorer_gives_a_number_or_a_reason(scorer):
    assert isinstance(scorer, Scorer)
    for answer in (Answer(""), Answer("x"), Answer("no", refused=True)):
        for references in ((), ("x",), ("", "y")):
            found = scorer(sample(*references), answer)
            assert isinstance(found, Reason) or (
                0 <= found.value <= 1 and found.signature == scorer.signature
            )


def test_signatures_tell_scorers_apart():
    assert len({scorer.signature for scorer in FACTORIES}) == len(FACTORIES)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4), st.text(max_size=8))
def test_the_best_reference_counts(references, text):
    for scorer in (exact_match(), similarity(), token_f1()):
        each = [value(scorer, text, reference) for reference in references]
        assert value(scorer, text, *references) == max(each)


def value(scorer, text: str, *references: str) -> float:
    found = scorer(sample(*references), Answer(text))
    assert isinstance(found, Score)
    return found.value


def test_an_empty_answer_is_wrong_not_undefined():
    for scorer in (exact_match(), similarity(), token_f1()):
        assert value(scorer, "", "a reference") == 0


def test_no_reference_is_a_reason():
    found = similarity()(sample(), Answer("x"))
    assert isinstance(found, Reason) and found.code == "no_reference"


def test_worked_values():
    assert value(exact_match(), " THE  answer", "the answer") == 1
    assert value(exact_match("none"), "A", "a") == 0
    assert value(similarity(), "abcd", "abxd") == 0.75
    assert value(token_f1(), "the cat sat", "the cat") == pytest.approx(0.8)


def test_refused_and_ended_read_the_answer():
    stopped, cut = Answer("x", details={"finish_reason": "stop"}), Answer(
        "x", details={"finish_reason": "length"}
    )  # fmt: skip
    assert [natural_stop()(sample(), answer).value for answer in (stopped, cut)] == [1, 0]
    assert natural_stop()(sample(), Answer("x")).code == "no_finish_reason"
    assert refusal()(sample(), Answer("", refused=True)).value == 1


def test_score_all_keeps_numbers_and_reasons_apart():
    samples = [sample("a", name="1", group="m"), sample(name="2"), sample("b", name="3")]
    found = score_all(exact_match(), samples, [Answer("a"), Answer("a"), Answer("a")])
    assert (found.ids, found.values.tolist(), found.groups) == (("1", "3"), [1, 0], ("m", "3"))
    assert found.undefined["2"].code == "no_reference"
    assert found.signature == exact_match().signature


def test_score_all_refuses_what_does_not_line_up():
    with pytest.raises(DataError, match="2 samples need as many answers; got 1"):
        score_all(refusal(), [sample(name="1"), sample(name="2")], [Answer("a")])
    with pytest.raises(DataError, match="share an id"):
        score_all(refusal(), [sample(), sample()], [Answer("a"), Answer("b")])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: similarity("word"), "unit='word' is unknown; did you mean `words`"),
        (lambda: similarity(normalise="nope"), "normalisation='nope' is unknown"),
        (lambda: exact_match("none "), "did you mean `none`"),
        (lambda: token_f1("squads"), "did you mean `squad`"),
        (lambda: rouge(part="x"), "part='x' is unknown"),
        (lambda: meteor("nope"), "how='nope' is unknown"),
    ],
)
def test_unknown_words_are_refused_when_the_scorer_is_made(call, told):
    with unchecked(), pytest.raises(ConfigError, match=told):
        call()
