"""Threads: headers first, then quotes, then subjects; never dependent on the order."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap
from groundup.documents.conversations.threads import ThreadMessage, build_threads, extract_message


def mail(name: str, day: int, text: str, **headers: str) -> ThreadMessage:
    metadata = {
        "Message-ID": f"<{name}@x>",
        "Date": f"{day:02d} Aug 2002 10:00:00 +0000",
        **headers,
    }
    record = Record(name, "s", name, "mail", text, SourceMap.identity(text), metadata=metadata)
    return extract_message(record)


FIRST = mail("a", 1, "How do I make the best tea of the world?\n", Subject="Tea")
SECOND = mail(
    "b", 2, "> How do I make the best tea of the world?\nWith a kettle and very hot water.\n",
    Subject="Re: [list] Tea", **{"In-Reply-To": "<a@x>"},
)  # fmt: skip
THIRD = mail(
    "c",
    3,
    "> With a kettle and very hot water.\nThanks.\n",
    Subject="thanks",
    References="<a@x> <b@x>",
)
OTHER = mail("d", 4, "A new matter altogether, please look.\n", Subject="Pots")
LAST = mail("e", 5, "Me too.\n", Subject="RE: Pots")


def test_headers_tell():
    found = build_threads([FIRST, SECOND, THIRD, OTHER, LAST])
    assert {name: one.thread for name, one in found.items()} == dict(
        a="a", b="a", c="a", d="d", e="d"
    )
    assert (found["c"].parent, found["c"].evidence, found["c"].position, found["c"].size) == (
        "b",
        "header",
        2,
        3,
    )
    assert (found["e"].parent, found["e"].evidence) == ("d", "subject")


def test_quotes_and_subjects_tell_without_headers():
    found = build_threads([FIRST, SECOND, THIRD, OTHER, LAST], use_headers=False)
    assert (found["b"].parent, found["b"].evidence) == ("a", "quote")
    assert found["c"].parent == ""  # one line under another subject is too little
    assert (found["e"].parent, found["e"].evidence) == ("d", "subject")


def test_a_loop_of_references_is_opened():
    one = mail("a", 1, "x\n", **{"In-Reply-To": "<b@x>"})
    two = mail("b", 2, "y\n", **{"In-Reply-To": "<a@x>"})
    found = build_threads([one, two])
    assert {place.thread for place in found.values()} == {"a"}
    assert sum(not place.parent for place in found.values()) == 1


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=10),
    st.integers(0, 99),
)
def test_the_order_of_messages_does_not_matter(rows, seed):
    messages = [
        ThreadMessage(
            f"r{n}", n + 1, (parent + 1,), subject, True, float(n % 3), (n + 100,), (parent + 100,)
        )
        for n, (_, parent, subject) in enumerate(rows)
    ]
    shuffled = random.Random(seed).sample(messages, len(messages))
    found = build_threads(messages)
    assert found == build_threads(shuffled)
    for one in found.values():
        assert one.thread in found and found[one.thread].parent == ""


def test_what_a_reader_of_mails_gives_is_enough():
    about = {"format": "mail", "title": "[tea] Re: Cups", "date": "2002-08-02T10:00:00+01:00"}
    first = Record("a", "s", "a", "conversation", "One.", SourceMap.identity("One."))
    first = replace(first, metadata=about | {"title": "[tea] Cups", "message_id": "1@x"})
    reply = replace(first, id="b", metadata=about | {"message_id": "2@x", "in_reply_to": "1@x"})
    found = build_threads([extract_message(first), extract_message(reply)])
    assert (found["b"].parent, found["b"].evidence) == ("a", "header")
    assert extract_message(first).subject == extract_message(reply).subject


def test_quotes_that_were_set_aside_still_tell():
    said = "Tea is best with a pot that has been warmed."
    first = Record("a", "s", "a", "mail", said, SourceMap.identity(said))
    reply = replace(first, id="b", text="Yes.", metadata={"aside": {"quotes": [f"> {said}"]}})
    assert extract_message(reply).quoted_lines == extract_message(first).own_lines
