"""Commands of LaTeX: tables without two meanings, and a first pass that pairs and counts."""

import re

import pytest

from groundup.documents.articles import commands
from groundup.documents.articles.commands import (
    MAX_BUDGET,
    Definitions,
    ExpansionBudget,
    Macro,
    expand_macro_body,
    label_numbers,
    read_definition,
    read_layout,
)

SETS = "definitions affiliations notes references not_citations tables verbatim dropped maths"
GROUPED = "arguments environment_arguments headings breaking floats".split()
MAPPED = "accents signs symbols ligatures".split()


def test_argument_lists_are_words_of_three_letters():
    tables = {**commands.ARGUMENTS, **commands.ENVIRONMENT_ARGUMENTS}
    assert all(set(word) <= set("omk") for word in tables.values())


def test_a_command_has_one_meaning():
    groups = [
        commands.HEADINGS,
        commands.NOTES,
        commands.AFFILIATIONS,
        commands.REFERENCES,
        commands.SYMBOLS,
    ]
    for number, one in enumerate(groups):
        for other in groups[number + 1 :]:
            assert not set(one) & set(other)


def test_the_file_has_these_tables():
    assert set(commands._TABLES) == {*SETS.split(), *GROUPED, *MAPPED}
    for table in [commands._TABLES[name] for name in (*GROUPED, *MAPPED)]:
        assert all(isinstance(value, str) for value in table.values())


@pytest.mark.parametrize("name", [*SETS.split(), *GROUPED])
def test_a_command_is_listed_once(name):
    table = commands._TABLES[name]
    words = (table if isinstance(table, str) else " ".join(table.values())).split()
    assert sorted(set(words)) == sorted(words)


def test_braces_pair_and_verbatim_hides_them():
    text = r"{a\{b}{\verb|{|c}% {" + "\n{d}"
    closes, verbatims, _ = read_layout(text)
    assert [text[a : b + 1] for a, b in sorted(closes.items())] == [
        r"{a\{b}",
        r"{\verb|{|c}",
        "{d}",
    ]
    assert [text[one.start : one.end] for one in verbatims.values()] == ["{"]


def test_definitions_are_read_where_they_are_simple():
    text = r"{\x}[2]{#1-#2} rest"
    assert read_definition(text, 0, read_layout(text).closing_braces, "newcommand") == (
        "x",
        Macro(2, "#1-#2"),
        14,
    )
    text = r"\y#1#2{<#2>}"
    assert read_definition(text, 0, read_layout(text).closing_braces, "def") == (
        "y",
        Macro(2, "<#2>"),
        len(text),
    )
    text = r"{\z}[1][d]{#1}"
    assert read_definition(text, 0, read_layout(text).closing_braces, "newcommand")[1] == Macro(
        1, "#1", "d"
    )
    text = r"{\z}[1][{a]b}]{#1}"
    assert read_definition(text, 0, read_layout(text).closing_braces, "newcommand")[1] == Macro(
        1, "#1", "{a]b}"
    )
    text = r"\z#1.{#1}"
    assert read_definition(text, 0, read_layout(text).closing_braces, "def")[1] is None
    text = r"{\z}{O{d} m}{#1#2}"
    wanted = ("z", Macro(2, "#1#2", "d"), len(text))
    assert (
        read_definition(text, 0, read_layout(text).closing_braces, "NewDocumentCommand") == wanted
    )
    text = r"{\z}{s m}{#1#2}"
    wanted = ("z", None, len(text))
    assert (
        read_definition(text, 0, read_layout(text).closing_braces, "NewDocumentCommand") == wanted
    )


def test_arguments_are_substituted():
    assert expand_macro_body(Macro(2, "#2 #1 #3"), ["a", "b"]) == "b a "
    assert expand_macro_body(Macro(1, "#1" * 100), ["x" * 10_000]) is None


def test_expansion_ends_and_counts():
    left = ExpansionBudget(10**9)
    assert (
        left.remaining == MAX_BUDGET and left.try_spend(MAX_BUDGET - 60) and not left.try_spend(61)
    )
    assert left.try_spend(1) and not left.try_spend(1), "a call costs something however short"
    assert left.refused_calls == 2


def test_labels_have_the_numbers_that_are_printed():
    text = (
        r"\section{A}\label{a}\subsection{B}\label{b}\section*{N}\section{C}\label{c}"
        r"\begin{figure}\caption{f}\label{f}\end{figure}\begin{equation}\label{e}\end{equation}"
    )
    assert label_numbers(text) == {"a": "1", "b": "1.1", "c": "2", "f": "1", "e": "1"}


def test_conditionals_lead_to_their_own_else_and_end():
    text = r"\ifx\a\b 1 \iftrue 2 \fi\else x \fi 4 \iffoo{a}{b} \iff \ifx % \fi"
    jumps = read_layout(text).branch_jumps
    leads = [(text[at:].split(" ")[0], text[to:].split(" ")[0]) for at, to in sorted(jumps.items())]
    assert leads == [
        ("\\ifx\\a\\b", ""), ("\\iftrue", "\\else"), ("\\fi\\else", "\\else"),
        ("\\else", ""), ("\\fi", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (r"\ifx\mine\undefined", False), (r"\ifx\none\undefined", True),
        (r"\ifx\mine\same", True), (r"\ifx\mine\other", False), (r"\ifx\void\empty", True),
        (r"\ifx\pdfoutput\undefined", False), (r"\ifdefined\mine", True),
        (r"\ifcsname none\endcsname", False), (r"\ifnum1>2 ", False), (r"\ifnum\count1>2 ", True),
        (r"\ifdraft", False), (r"\iffalse", False), (r"\iftrue", True), (r"\ifunheardof", True),
        (r"\if aa", True), (r"\if ab", False),
    ],
)  # fmt: skip
def test_the_branch_is_the_one_that_tex_reads(condition, holds):
    names = Definitions()
    for name, body in (("mine", "x"), ("same", "x"), ("other", "y"), ("void", "")):
        names.define(name, Macro(0, body))
    names.flags["draft"] = False
    name = re.match(r"\\(if[a-z]*)", condition)
    assert name is not None
    begin = names.branch_start(condition + ".", name[1], name.end())
    assert (begin is not None) == holds
    assert begin is None or condition[begin:] == ""
