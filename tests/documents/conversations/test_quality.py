"""Quality: echoes, open questions, languages by a function of the pipeline's."""

import pytest

from groundup.core import ConfigError
from groundup.documents.conversations.quality import (
    Languages,
    LanguagesConfig,
    Quality,
    QualityConfig,
)

from .test_turns import chat


def code_of(text: str) -> str:
    return "de" if " der " in text else "en"


def test_figures_of_a_conversation():
    record = chat(
        ("user", "Why is the sky blue today?"),
        ("bot", "Because of how light scatters in air."),
        ("user", "And red?"),
    )
    facts = Quality(QualityConfig())(record).metadata
    assert (facts["words"], facts["echo"], facts["unanswered"]) == (15, 0.0, 0.5)


def test_echoes_and_short_talks_are_dropped():
    same = "please repeat these five words now"
    assert Quality(QualityConfig())(chat(("a", same), ("b", same))).reason == "conversation: echo"
    assert (
        Quality(QualityConfig())(chat(("a", "x"), ("b", "y"))).reason == "conversation: too short"
    )
    question = chat(
        ("a", "Can anybody tell me how this works?"), ("a", "Is nobody here to answer me?")
    )
    assert (
        Quality(QualityConfig(max_unanswered=0.5))(question).reason
        == "conversation: unanswered questions"
    )


def test_languages_of_turns():
    record = chat(
        ("a", "this is a rather long sentence of English words"),
        ("b", "das ist der lange Satz auf Deutsch, bitte"),
        ("a", "ok"),
    )
    step = Languages(LanguagesConfig(identify=f"{__name__}:code_of"))
    assert step(record).metadata == {
        "turn_languages": ["en", "de", ""],
        "languages": {"de": 1, "en": 1},
    }
    step = Languages(LanguagesConfig(identify=f"{__name__}:code_of", max_languages=1))
    assert step(record).reason == "conversation: too many languages"


@pytest.mark.parametrize("name", ["", "nothing", "os:nothing", "no_such:x", "os:sep"])
def test_a_wrong_function_is_named(name):
    with pytest.raises(ConfigError):
        Languages(LanguagesConfig(identify=name))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("法国的首都是哪里？", "法国的首都是巴黎。"),
        ("フランスの首都はどこですか。", "パリです。"),
        ("What is the capital of France?", "Paris."),
    ],
)
def test_a_short_question_and_its_answer_stay(question, answer):
    assert not Quality(QualityConfig())(chat(("a", question), ("b", answer))).reason
