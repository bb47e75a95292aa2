"""Turns and the figures of a conversation."""

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.conversations.turns import (
    ConversationQuality,
    ConversationQualityConfig,
    TurnOrder,
    TurnOrderConfig,
)


def chat(*turns: tuple[str, str]) -> Record:
    text, spans = "", []
    for who, said in turns:
        line = f"{who}: {said}\n"
        spans.append(TextSpan("turn", len(text), len(text) + len(line), who))
        text += line
    return Record("1", "s", "c", "conversation", text, SourceMap.identity(text), tuple(spans))


def rule(*turns: tuple[str, str], **settings):
    return TurnOrder(TurnOrderConfig(**settings))(chat(*turns))


def test_a_good_conversation_gets_its_figures():
    ruling = rule(("system", "Be kind."), ("human", "Hi?"), ("gpt", "Hello."))
    assert not ruling.reason and not ruling.edits
    assert ruling.metadata == {"turns": 3, "speakers": 3}


@pytest.mark.parametrize(
    ("turns", "settings", "reason"),
    [
        ([("a", "x")], {}, "turns: too few"),
        ([("system", "x"), ("system", "y")], {}, "turns: only system"),
        ([("user", "x"), ("system", "y"), ("assistant", "z")], {}, "turns: system after the start"),
        ([("gpt", "x"), ("human", "y")], {"starts_with_user": True}, "turns: assistant first"),
        (
            [("human", "x"), ("human", "y"), ("gpt", "z")],
            {"alternation": True},
            "turns: no alternation",
        ),
    ],
)
def test_reasons(turns, settings, reason):
    assert rule(*turns, **settings).reason == reason


def test_tools_do_not_break_alternation():
    turns = [("user", "x"), ("assistant", "call"), ("tool", "3"), ("assistant", "It is 3.")]
    assert not rule(*turns, alternation=True).reason


def test_empty_and_doubled_turns_are_cut():
    record = chat(("a", "one"), ("b", ""), ("a", "two"), ("a", "two"), ("b", "three"))
    after = apply_result(record, TurnOrder(TurnOrderConfig())(record))
    assert after.text == "a: one\na: two\nb: three\n"
    assert len(after.spans) == 3


def test_records_without_turns_pass():
    assert (
        TurnOrder(TurnOrderConfig())(
            Record("1", "s", "p", "text", "x", SourceMap.identity("x"))
        ).reason
        == ""
    )


def test_a_turn_said_twice_is_mended_before_the_order_is_judged():
    twice = rule(
        ("human", "What is it?"), ("human", "What  is it? "), ("gpt", "A cat."), alternation=True
    )  # fmt: skip
    assert [edit.reason for edit in twice.edits] == ["turn said twice"] and not twice.reason
    other = rule(("human", "What?"), ("human", "Why?"), ("gpt", "A cat."), alternation=True)
    assert other.reason == "turns: no alternation"


def test_figures_of_a_conversation():
    record = chat(
        ("user", "Why is the sky blue today?"),
        ("bot", "Because of how light scatters in air."),
        ("user", "And red?"),
    )
    facts = ConversationQuality(ConversationQualityConfig())(record).metadata
    assert (facts["words"], facts["unanswered"]) == (15, 0.5)


def test_short_and_unanswered_conversations_are_dropped():
    assert (
        ConversationQuality(ConversationQualityConfig())(chat(("a", "x"), ("b", "y"))).reason
        == "conversation: too short"
    )
    question = chat(
        ("a", "Can anybody tell me how this works?"), ("a", "Is nobody here to answer me?")
    )
    assert (
        ConversationQuality(ConversationQualityConfig(max_unanswered=0.5))(question).reason
        == "conversation: unanswered questions"
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("法国的首都是哪里？", "法国的首都是巴黎。"),
        ("フランスの首都はどこですか。", "パリです。"),
        ("What is the capital of France?", "Paris."),
    ],
)
def test_a_short_question_and_its_answer_stay(question, answer):
    assert not ConversationQuality(ConversationQualityConfig())(
        chat(("a", question), ("b", answer))
    ).reason
