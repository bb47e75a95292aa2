"""Turns and the figures of a conversation."""

from dataclasses import replace

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.conversations.turns import (
    RE,
    Boilerplate,
    BoilerplateConfig,
    ConversationQuality,
    ConversationQualityConfig,
    TurnOrder,
    TurnOrderConfig,
)
from tests.checking import unchecked


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


def run(*turns: tuple[str, str], **settings):
    record = chat(*turns)
    ruling = Boilerplate(BoilerplateConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


@pytest.mark.parametrize(
    "line",
    [
        "*** ann has joined #tea", "ann [~a@h.org] has quit [Ping timeout]",
        "-!- bo is now known as bob", "<Media omitted>", "-!- mode/#tea [+o ann] by ChanServ",
        "12:01 -!- ann [a@h] has joined #tea", "Ann Lee has joined the group",
        "[15 Jan 00:53] *** You disconnected",
        "(19:43)                -!- ann [~a@h] has quit [Ping timeout]",
    ],
)  # fmt: skip
def test_server_lines_go(line):
    assert RE.server_line.fullmatch(line)


@pytest.mark.parametrize(
    "line",
    [
        "Ann has left the building", "he joined us late", "Bob has quit smoking (again?)",
        "I set mode one", "*** read this first ***", "== Results ==",
    ],
)  # fmt: skip
def test_sentences_stay(line):
    _, after = run(("a", "the disk is full today"), ("b", line))
    assert line in after.text


def test_bots_and_repeated_forms_go():
    form = "Please read the rules of this channel before you ask."
    ruling, after = run(
        ("ubottu", "I am a bot"), ("a", f"hello\n{form}"), ("b", f"x\n{form}"), ("a", f"y\n{form}")
    )
    assert "bot" not in after.text and after.text.count(form) == 1
    assert {edit.reason for edit in ruling.edits} == {"bot", "said again"}


def test_what_a_logs_reader_gives_to_the_server_goes():
    record = chat(("system", "You connected"), ("ann", "hello Bo, it works"), ("bo", "so it does"))
    cut = Boilerplate(BoilerplateConfig())
    assert cut(record).edits == ()  # a system's turn of a chat with a model is no server's
    ruling = cut(replace(record, metadata={"format": "irc"}))
    assert [edit.reason for edit in ruling.edits] == ["server message"]
    assert "connected" not in apply_result(record, ruling).text


def test_disclaimers_are_counted_cut_or_a_reason():
    turns = [
        ("user", "How do you feel?"),
        ("gpt", "As an AI language model, I feel nothing. Ask me more."),
    ]
    assert run(*turns)[0].metadata == {"disclaimers": 1}
    assert run(*turns, disclaimers="cut")[1].text.endswith(" Ask me more.\n")
    assert run(*turns, disclaimers="drop")[0].reason == "boilerplate: assistant speaks of itself"
    people = [("ann", "As an AI language model would say, no."), ("bo", "Right, that is true.")]
    assert run(*people)[0].metadata == {"disclaimers": 0}


def test_only_greetings_are_dropped():
    assert run(("a", "Hi there!"), ("b", "hello :)"))[0].reason == "boilerplate: only greetings"
    assert not run(("a", "Hi!"), ("b", "My disk is full."))[0].reason


@pytest.mark.parametrize(
    "piece", ["a", " ", "hi ", "*", "as an AI ", "(", "I am an AI. ", "[x ", "\n"]
)
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    ruling, _ = run(("user", "go"), ("assistant", piece * (100_000 // len(piece))))
    assert ruling is not None


@pytest.mark.parametrize(
    "sentence",
    [
        "As an AI language model, I feel nothing.", "I'm sorry, but as an AI I cannot do that.",
        "I am an AI language model and so I feel nothing.",
        "As a helpful and honest AI assistant, I cannot say.",
        "As an AI assistant created by Acme to be helpful, harmless, and honest, I feel nothing.",
        "I don't have opinions, since I'm an AI assistant created by Acme.",
        "However, I must inform you that I'm just an AI and do not have opinions.",
        "Als KI-Sprachmodell habe ich keine Gefühle.",
        "Als künstliche Intelligenz kann ich das nicht.",
        "En tant que modèle de langage, je ne ressens rien.",
        "En tant qu'IA, je n'ai pas de corps.", "Como modelo de lenguaje, no tengo sentimientos.",
        "Como um modelo de linguagem, não tenho sentimentos.",
        "In quanto modello linguistico, non ho sentimenti.",
        "作为一个人工智能语言模型，我没有感情。",
        "AI言語モデルとして、私には感情がありません。",
    ],
)  # fmt: skip
def test_an_assistant_that_says_what_it_is(sentence):
    for before in ("", "Yes. ", "Line\n"):
        turns = [("user", "How are you now?"), ("gpt", f"{before}{sentence} Ask more.")]
        assert run(*turns)[0].metadata == {"disclaimers": 1}
        assert sentence not in run(*turns, disclaimers="cut")[1].text


@pytest.mark.parametrize(
    "sentence",
    [
        'The robot said: "As an AI language model, I cannot love." Then it left.',
        '"I am a robot. As an AI language model, I cannot love." So it spoke.',
        "„Als KI-Sprachmodell habe ich keine Gefühle“, sagte er.",
        "As a helpful and respectful assistant, I am glad to explain what AI is.",
        "I don't have time, since my machine learning exam is near.",
        "Critics laugh at phrases such as as an AI language model, I cannot.",
        "As an AI researcher, I read papers.",
        "Als künstliche Intelligenz noch neu war, lachten alle.",
        "Como modelo de lenguaje se usa un transformador.",
        "En tant que modèle de langage, GPT prédit des mots.",
        "作为人工智能领域的学者，他很有名。",
        "AIとして知られる技術です。",
    ],
)
def test_what_an_assistant_cites_or_tells_of_others_is_no_disclaimer(sentence):
    assert run(("user", "Tell me of it."), ("gpt", sentence))[0].metadata == {"disclaimers": 0}


@pytest.mark.parametrize("line", ["He has quit", "everyone has left", "Bob has quit.", "bob left"])
def test_people_who_say_that_somebody_went_stay(line):
    _, after = run(("a", "the disk is full today"), ("b", f"so I see\n{line}"))
    assert line in after.text
