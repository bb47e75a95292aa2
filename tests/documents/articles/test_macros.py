"""Before the walk: braces paired, verbatim found, labels numbered."""

from groundup.documents.articles.macros import (
    MOST_MADE,
    Expansion,
    Macro,
    defined,
    expanded,
    layout_of,
    numbers_of_labels,
)


def test_braces_pair_and_verbatim_hides_them():
    text = r"{a\{b}{\verb|{|c}% {" + "\n{d}"
    closes, verbatims = layout_of(text)
    assert [text[a : b + 1] for a, b in sorted(closes.items())] == [
        r"{a\{b}",
        r"{\verb|{|c}",
        "{d}",
    ]
    assert [text[one.start : one.end] for one in verbatims.values()] == ["{"]


def test_definitions_are_read_where_they_are_simple():
    text = r"{\x}[2]{#1-#2} rest"
    assert defined(text, 0, layout_of(text).closes, False) == ("x", Macro(2, "#1-#2"), 14)
    text = r"\y#1#2{<#2>}"
    assert defined(text, 0, layout_of(text).closes, True) == ("y", Macro(2, "<#2>"), len(text))
    text = r"{\z}[1][d]{#1}"
    assert defined(text, 0, layout_of(text).closes, False)[1] is None


def test_arguments_take_their_places():
    assert expanded(Macro(2, "#2 #1 #3"), ["a", "b"]) == "b a "
    assert expanded(Macro(1, "#1" * 100), ["x" * 10_000]) is None


def test_expansion_ends_and_counts():
    left = Expansion(10**9)
    assert left.left == MOST_MADE and left.allows(MOST_MADE - 60) and not left.allows(61)
    assert left.allows(1) and not left.allows(1), "a call costs something however short"
    assert left.refused == 2


def test_labels_have_the_numbers_that_are_printed():
    text = (
        r"\section{A}\label{a}\subsection{B}\label{b}\section*{N}\section{C}\label{c}"
        r"\begin{figure}\caption{f}\label{f}\end{figure}\begin{equation}\label{e}\end{equation}"
    )
    assert numbers_of_labels(text) == {"a": "1", "b": "1.1", "c": "2", "f": "1", "e": "1"}
