"""Sentences are slices: nothing is rewritten, nothing visible is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.retrieve import split_sentences
from groundup.retrieve.chunk import is_label, label_lines

TEXT = st.text(
    st.one_of(st.sampled_from(" \n\t.!?:;-=#*`>()\"'“”…。a1Ab"), st.characters(codec="utf-8")),
    max_size=300,
)


@given(TEXT, st.booleans())
def test_sentences_are_slices_in_order_that_hold_all_that_is_visible(text, lines_end):
    parts = split_sentences(text, lines_end)
    end = 0
    for part in parts:
        assert end <= part.start < part.end <= len(text)
        assert not text[end : part.start].strip()
        assert text[part.start : part.end].strip() == text[part.start : part.end]
        end = part.end
    assert not text[end:].strip()


def cut(text: str, lines_end: bool = False) -> list[str]:
    return [text[part.start : part.end] for part in split_sentences(text, lines_end)]


@pytest.mark.parametrize(
    "sentence",
    [
        "It was Dr. Smith, e.g. here, who said so.",
        "See Fig. 3 and No. 7 of Vol. 2.",
        "J. R. Smith wrote version 3.14.",
        "Is it “done”?",
        "Call os.path.join(a, b) now!",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(sentence):
    assert cut(f"{sentence} Then another one follows.") == [
        sentence,
        "Then another one follows.",
    ]


def test_full_width_stops_need_no_space():
    assert cut("你好。再见！") == ["你好。", "再见！"]


def test_code_stays_whole_and_apart_from_prose():
    text = "Do this:\n\n    x = 1\n\n    y = 2\n\nThen rest. And go."
    assert cut(text) == ["Do this:", "x = 1\n\n    y = 2", "Then rest.", "And go."]
    assert [part.kind for part in split_sentences(text)] == ["prose", "code", "prose", "prose"]


def test_a_fence_keeps_everything_inside_it():
    text = "Before.\n```\nOne. Two.\n\n# three\n```\nAfter."
    assert cut(text) == ["Before.", "```\nOne. Two.\n\n# three\n```", "After."]


def test_titles_and_list_items_end_a_sentence():
    text = "Title\n=====\n\n# Other\nWords here.\n- one thing\n- two things\n"
    assert cut(text) == ["Title\n=====", "# Other", "Words here.", "- one thing", "- two things"]


def test_lines_end_sentences_where_asked():
    assert cut("one line\nanother line", lines_end=True) == ["one line", "another line"]
    assert cut("one line\nanother line") == ["one line\nanother line"]


def test_labels_name_what_follows():
    assert is_label("os.path.join(path, *paths)") and not is_label("It is so.")
    assert label_lines("join(a, b)\nReturn both of them, one after the other.") == ["join"]
    assert label_lines("one\ntwo\nthree") == []


def test_a_line_end_ends_no_sentence_unless_lines_are_units():
    text = "It goes on\nin the next line."
    assert cut(text) == [text] == [text[s.start : s.end] for s in split_sentences(text)]
    assert cut(text, True) == ["It goes on", "in the next line."]


def test_what_begins_with_a_prompt_is_code_to_its_end():
    assert [
        part.kind for part in split_sentences(">>> brew(tea)\nIt is green and hot and good now")
    ] == ["code"]


def test_a_label_has_six_words_at_most():
    assert is_label("one two three four five six")
    assert not is_label("one two three four five six seven")
