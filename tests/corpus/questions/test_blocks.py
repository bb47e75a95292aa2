import pytest

from groundup.corpus.questions.blocks import (
    PATTERNS,
    is_action,
    is_preformatted_block,
    is_prose_block,
    match_signature,
    option_name,
    signature_parameters,
    split_line_blocks,
)
from groundup.documents import read_bytes


def test_blocks_lie_where_they_say_and_code_is_left_out():
    text = "# T\n\nOne\ntwo.\n- a\n- b\n\n```\ncode\n\nmore\n```\n<!-- x -->\nEnd.\n"
    found = list(split_line_blocks(text))
    assert [block.lines for block in found] == [
        ("# T",), ("One", "two."), ("- a",), ("- b",), ("End.",),
    ]  # fmt: skip
    for block in found:
        assert text[block.start : block.end].split("\n")[0].strip() == block.lines[0]


def test_a_part_of_a_text_has_the_blocks_of_the_whole():
    text = "A b.\n\n  C d.\n\nE f."
    assert [block.lines for block in split_line_blocks(text, 4, 14)] == [("C d.",)]
    assert next(split_line_blocks(text, 4, 14)).indent == 2


@pytest.mark.parametrize(
    "line",
    ["f(a, b=1)", "class m.C(x: int = 3)", "m.f(a[, b[, c]])", "PyObject *f(Py_ssize_t n)",
     "@m.d(msg, *, stack=1)", "f(*args, **kwargs)", "int f(PyObject *p)"],
)  # fmt: skip
def test_signatures_are_recognised(line):
    assert match_signature(line)


@pytest.mark.parametrize("line", ["f('a')", "f(1, 2)", "def f(a):", "return f(a)", "f(a) is it."])
def test_calls_are_no_signatures(line):
    assert not match_signature(line)


def test_parameters_keep_their_defaults_together():
    assert signature_parameters("a, b=(1, 2), *, c={'x': 1}[, d]") == [
        "a",
        "b=(1, 2)",
        "*",
        "c={'x': 1}",
        "d",
    ]


def test_the_long_name_of_an_option_wins_and_no_negation():
    heads = ("-q --quiet", "--no-color --color", "-D dir--data=dir", "--[no-]sign", "-5", "-- x")
    assert [option_name(head) for head in heads] == [
        "--quiet", "--color", "--data", "--sign", "-5", "",
    ]  # fmt: skip


def test_prose_is_told_from_code_and_boilerplate():
    page = "Open the file now.\n\nfoo = bar(1)\n\n>>> open now.\n\nSee also the others.\n\nf(a, b)"
    assert [is_prose_block(block, "html") for block in split_line_blocks(page)] == [True] + [
        False
    ] * 4


def test_code_of_a_page_is_told_by_its_line_ends():
    page = b"<p>Text.</p><p>f(a)</p><pre>from m import f\n\nf(a)\n\n  f(b)</pre><p>More.</p>"
    document = read_bytes(page, "m.html")
    told = {
        block.lines[0]: is_preformatted_block(document, block)
        for block in split_line_blocks(document.text)
    }
    assert told == {"Text.": False, "f(a)": True, "from m import f": True, "f(b)": True,
                    "More.": False}  # fmt: skip
    first = next(iter(list(split_line_blocks(document.text))[1:]))
    assert first.lines == ("f(a)",) and not is_preformatted_block(document, first)


def test_lines_before_examples_are_told_from_those_before_entries():
    for line in ("Example:", "For example, the following does it:", "Register it directly:"):
        assert PATTERNS["introduces_example"].match(line)
    for line in ("The module defines the following functions:", "These are allowed:", "Text."):
        assert not PATTERNS["introduces_example"].match(line)


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        ("Copies the file.", True),
        ("Check whether it is there.", True),
        ("Return values are kept.", False),
        ("The file is copied.", False),
        ("Blue paint.", False),
    ],
)
def test_an_action_begins_with_a_verb_that_is_no_noun(text, is_said):
    assert is_action(text) is is_said
