"""Boilerplate: servers, bots and forms go, what people say about them stays."""

from dataclasses import replace

import pytest

from groundup.documents import follow
from groundup.documents.conversations.boilerplate import EVENT, Boilerplate, BoilerplateConfig
from tests.checking import unchecked

from .test_turns import chat


def run(*turns: tuple[str, str], **settings):
    record = chat(*turns)
    ruling = Boilerplate(BoilerplateConfig(**settings))(record)
    return ruling, None if ruling.reason else follow(record, ruling)


@pytest.mark.parametrize(
    "line",
    [
        "*** ann has joined #tea",
        "ann [~a@h.org] has quit [Ping timeout]",
        "-!- bo is now known as bob",
        "<Media omitted>",
        "-!- mode/#tea [+o ann] by ChanServ",
        "12:01 -!- ann [a@h] has joined #tea",
        "Ann Lee has joined the group",
        "[15 Jan 00:53] *** You disconnected",
        "(19:43)                -!- ann [~a@h] has quit [Ping timeout]",
    ],
)
def test_server_lines_go(line):
    assert EVENT.fullmatch(line)


@pytest.mark.parametrize(
    "line",
    [
        "Ann has left the building",
        "he joined us late",
        "Bob has quit smoking (again?)",
        "I set mode one",
        "*** read this first ***",
        "== Results ==",
    ],
)
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
    assert "connected" not in follow(record, ruling).text


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
