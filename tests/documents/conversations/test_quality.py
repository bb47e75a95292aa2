"""Quality: figures of a conversation, short ones and unanswered questions."""

import pytest

from groundup.documents.conversations.quality import ConversationQuality, ConversationQualityConfig

from .test_turns import chat


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
