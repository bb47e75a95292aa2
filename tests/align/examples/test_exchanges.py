import random

from groundup.align.examples.exchanges import (
    PHRASINGS,
    REFUSAL_TEXT,
    NameQuestion,
    _split_answers,
    ask_name,
    ask_topic,
    clip_sentences,
    explain_code,
    is_refusal,
    name_conversations,
    pair_with_made_up,
    write_code,
    write_docstring,
)
from groundup.corpus import DocumentedFunction, DocumentSection, word_pools

NAME = PHRASINGS["name"]

FUNCTION = DocumentedFunction(
    "store.files",
    "Store.read_text",
    "def read_text(self):\n    return self.text",
    "Read the whole text.\n\nLines end as in the file.",
    "method",
)


def turns(make, *arguments):
    """Conversations that 40 seeds give."""
    return [make(*arguments, random.Random(seed)) for seed in range(40)]


def test_answers_are_what_the_document_says():
    for talk in turns(explain_code, FUNCTION):
        assert FUNCTION.code in talk.messages[0].content
        assert talk.messages[1].content == "Read the whole text."
        assert talk.messages[3:] in ((), (("assistant", f'"""{FUNCTION.docstring}"""'),))
    for talk in turns(write_docstring, FUNCTION):
        assert talk.messages[1].content == f'"""{FUNCTION.docstring}"""'
    for talk in turns(write_code, FUNCTION):
        assert FUNCTION.code in talk.messages[1].content
        assert FUNCTION.code not in talk.messages[0].content
        assert [m.content for m in talk.messages[3:]] in ([], ["Read the whole text."])
    assert {len(talk.messages) for talk in turns(write_code, FUNCTION)} == {2, 4}


def test_some_conversations_have_several_turns_and_roles_take_turns():
    talks = turns(explain_code, FUNCTION) + turns(write_code, FUNCTION)
    assert {len(talk.messages) for talk in talks} == {2, 4}
    for talk in talks:
        assert [m.role for m in talk.messages] == ["user", "assistant"] * (len(talk.messages) // 2)


def test_known_and_unknown_names_are_asked_alike():
    known = ask_name(FUNCTION)._replace(exposure="read")
    pools = word_pools(["read_text", "write_lines"])
    taken = {"read_text", "write_lines"}
    _, made_up = pair = pair_with_made_up([known], pools, taken, random.Random(0))
    for naming in pair:
        for seed in range(20):
            (talk,) = name_conversations([naming], NAME, random.Random(seed))
            question, answer = (message.content for message in talk.messages)
            assert question in [phrase.format(name=naming.name) for phrase in NAME]
            assert FUNCTION.code not in question
            assert is_refusal(answer) is talk.refusal is (naming.answer is None)
    assert known.answer == "The documents say: Read the whole text."
    assert made_up.group == known.group and made_up.name.startswith("store.files.Store.")


def test_where_no_name_can_be_made_up_the_known_one_goes_too():
    known = ask_name(FUNCTION)
    pools = word_pools(["read_text", "write_lines"])
    taken = {"read_text", "write_lines", "write_text"}
    pairs = pair_with_made_up([known] * 5, pools, taken, random.Random(0))
    assert [naming.name.rpartition(".")[2] for naming in pairs] == ["read_text", "read_lines"]


def test_every_name_is_asked_once_and_only_with_its_own_module():
    namings = [NameQuestion(f"m{i % 4}.f_{i}", f"m{i % 4}", "Do it well." if i % 2 else None)
               for i in range(60)]  # fmt: skip
    talks = list(name_conversations(namings, NAME, random.Random(0)))
    assert sum(len(talk.messages) // 2 for talk in talks) == 60
    assert any(len(talk.messages) > 2 for talk in talks)
    for talk in talks:
        last = talk.messages[-1].content
        assert talk.refusal is is_refusal(last) and talk.known is not talk.refusal
        for message in talk.messages[::2]:
            assert f"{talk.group}.f_" in message.content


def test_a_paragraph_that_announces_a_block_keeps_it():
    text = (
        "It is so, as the next lines show in some detail:",
        "   x = 1",
        "Then it goes on like this.",
    )
    assert _split_answers(text)[0].endswith("detail:\n\n   x = 1")
    section = DocumentSection(
        "topics.names", "Names", ("A name is bound by an assignment statement.",)
    )
    talk = ask_topic(section, "Explain {title}.", random.Random(0))
    assert talk.messages[0].content == "Explain Names."
    assert talk.messages[1].content == section.paragraphs[0]


def test_what_has_no_answer_is_left_out():
    silent = FUNCTION._replace(docstring="TBD")
    assert [f(silent, random.Random(0)) for f in (explain_code, write_docstring, write_code)] == [
        None
    ] * 3
    assert ask_name(silent) is None
    assert (
        ask_topic(DocumentSection("m", "Empty", ("Short.",)), "Explain {title}.", random.Random(0))
        is None
    )


def test_held_out_phrasings_are_none_of_training():
    held_out = {phrase.replace("`", "") for phrase in PHRASINGS["name_held_out"]}
    assert not held_out & {phrase.replace("`", "") for phrase in NAME + PHRASINGS["name_next"]}


def test_every_phrasing_takes_its_parts():
    for kind in ("name", "name_held_out", "name_next"):
        assert all("json.dumps" in one.format(name="json.dumps") for one in PHRASINGS[kind])
    for phrase in PHRASINGS["write"]:
        filled = phrase.format(thing="function", identifier="dumps", docstring="Write it.")
        assert "`dumps`" in filled and filled.endswith("Write it.")
    assert all("Names" in phrase.format(title="Names") for phrase in PHRASINGS["topic"])


def test_the_refusal_is_recognised_and_nothing_else_is():
    assert is_refusal(REFUSAL_TEXT)
    assert is_refusal("\n" + REFUSAL_TEXT[:30])
    assert not is_refusal("I know `a.b`.") and not is_refusal("")


def test_clip_keeps_whole_sentences():
    assert clip_sentences("One two. Three four.", 12) == "One two."
    assert clip_sentences("One two three.", 5) == ""
