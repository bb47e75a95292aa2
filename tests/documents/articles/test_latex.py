"""LaTeX as prose: the text of the printed paper, mapped to its bytes."""

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import Record, apply_result
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
from groundup.documents.articles.latex import LatexConfig, LatexStep
from tests.checking import unchecked

PAPER = r"""\documentclass[a4paper]{article} % a class
\newcommand{\model}{\textsc{Tiny}}
\newcommand{\pair}[2]{#1 and~#2}
\title{On \model: caf\'e \& ``tea''\thanks{Paid by us.}}
\author{Ann Lee\thanks{x@y.org} \and Bo {\"O}z, Cy Ng}
\begin{document}
\maketitle
\begin{abstract}We study
tea.\end{abstract}
\section{Tea}\label{sec:tea}
As \cite{lee,ng} say\footnote{Not all do.}, see Section~\ref{sec:tea} --- 10\% of
\pair{cups}{pots} hold $x_1^2$.

% a comment
\begin{figure}\includegraphics[width=2cm]{a.png}
\caption{A \emph{cup}.}\end{figure}
\begin{tabular}{ll} a & b \\ c & d \end{tabular}
After.
\begin{verbatim}
x = {1}  % kept
\end{verbatim}
\begin{thebibliography}{9}
\bibitem{lee} A. Lee. \emph{Tea}. 1999.
\bibitem{ng} C. Ng. Pots. 2001.
\end{thebibliography}
\end{document}
ignored
"""


def read(source: str | bytes, **settings: str):
    data = source.encode() if isinstance(source, str) else source
    record = Record("1", "s", "a.tex", "latex", data=data)
    ruling = LatexStep(LatexConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


def test_a_paper_becomes_what_is_printed():
    _, after = read(PAPER)
    assert after.text == (
        "On Tiny: café & “tea”\n\nWe study tea.\n\nTea\n\n"
        "As [1, 2] say, see Section 1 — 10% of cups and pots hold $x_1^2$.\n\n"
        "After.\n\nx = {1}  % kept"
    )
    assert after.metadata["title"] == "On Tiny: café & “tea”"
    assert after.metadata["authors"] == ["Ann Lee", "Bo Öz", "Cy Ng"]
    assert after.metadata["abstract"] == "We study tea."
    assert after.metadata["aside"] == {
        "authors": ["Ann Lee\n\nBo Öz, Cy Ng"],
        "footnotes": ["Not all do."],
        "captions": ["A cup."],
        "tables": ["a\tb\nc\td"],
        "references": ["A. Lee. Tea. 1999.", "C. Ng. Pots. 2001."],
    }


def test_moved_parts_have_reasons():
    ruling, _ = read(PAPER)
    assert {edit.reason for edit in ruling.edits} == {
        "authors", "footnote", "caption", "table", "reference",
    }  # fmt: skip


def test_headings_are_ranges_of_the_text():
    _, after = read(PAPER)
    found = [(s.value, after.text[s.start : s.end]) for s in after.spans if s.kind == "heading"]
    assert found == [("1", "On Tiny: café & “tea”"), ("2", "Tea")]


def test_exact_segments_are_the_bytes_of_the_source():
    data = PAPER.encode()
    _, after = read(PAPER)
    last = 0
    for piece in after.map.segments:
        assert last <= piece.byte_start <= piece.byte_end <= len(data)
        last = piece.byte_end if piece.exact else last
        if piece.exact:
            said = data[piece.byte_start : piece.byte_end].decode()
            assert said == after.text[piece.start : piece.end]
    start = after.text.index("hold")
    first, end = after.map.byte_range(start, start + 4)
    assert data[first:end] == b"hold"
    assert after.map.line(start) == PAPER[: PAPER.index("hold")].count("\n") + 1


def test_latin1_sources_are_read_byte_by_byte():
    _, after = read("Caf\xe9 und \x80 5".encode("latin-1"))
    assert after.text == "Café und € 5"
    assert after.map.byte_range(3, 4) == (3, 4)


def test_white_space_after_a_command_word_is_not_printed():
    _, after = read("Stra\\ss e, stra\\ss\ne, Stra\\ss{}e and \\ae{} gir")
    assert after.text == "Straße, straße, Straße and æ gir"


@pytest.mark.parametrize(
    ("math", "shown"), [("source", "a $x+y$ b"), ("placeholder", "a [MATH] b"), ("drop", "a b")]
)
def test_formulas_as_configured(math, shown):
    _, after = read("a $x+y$ b", math=math)
    assert after.text == shown


def test_macros_without_parameters_are_expanded_in_formulas():
    _, after = read(r"\newcommand{\R}{\mathbb{R}} in $\R^n$ \def\x#1.{odd}")
    assert after.text == r"in ${\mathbb{R}}^n$"


def test_a_bomb_of_macros_stays_small(monkeypatch):
    monkeypatch.setattr(commands, "MIN_BUDGET", 20_000)
    bomb = r"\newcommand{\a}{aaaaaaaaaa}" + "".join(
        rf"\newcommand{{\{chr(98 + i)}}}{{{(chr(92) + chr(97 + i) + '{}') * 10}}}"
        for i in range(12)
    )
    _, after = read(bomb + r" \m end")
    assert after.text.endswith("end") and len(after.text) < 100_000
    assert after.metadata["macros_not_expanded"] > 0 and r"\a{}" not in after.text[:1_000]
    assert read(r"\def\x{\x\x}\x done")[1].text == "done"


def test_nested_macros_of_a_large_source_are_bounded_and_the_rest_is_kept(monkeypatch):
    monkeypatch.setattr(commands, "MAX_BUDGET", 20_000)
    names = "abcdefgh"
    made = "".join(
        rf"\newcommand{{\{one}}}{{\{two}\{two} word}}"
        for one, two in zip(names, names[1:], strict=False)
    )
    source = made + r"\newcommand{\h}{x}" + r"\a and so on. " * 1_000
    _, after = read(source)
    assert len(after.text) < 60_000 and after.text.endswith(r"\a and so on.")
    assert after.metadata["macros_not_expanded"] > 900
    _, after = read(r"\newcommand{\box}[1]{#1 #1}\box{" + "word " * 8_000 + "} end")
    assert after.text.startswith(r"\box") and after.text.count("word") == 8_000


@pytest.mark.parametrize(
    "bad", ["", "\\", "{", "}", "$", "\\begin{", "\\verb|", "%", "\\cite", "\0", "\\'"]
)
def test_broken_sources_are_read_to_their_end(bad):
    ruling, after = read(f"one {bad} two")
    assert ruling.reason or after.text.startswith("one")
    ruling, _ = read(bad)
    assert ruling.reason in ("latex: no prose", "binary", "")


def test_no_prose_is_a_reason():
    assert read("% only\n\\usepackage{x}")[0].reason == "latex: no prose"


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab {}\\$%&~\n[]-'`#^") | st.characters(codec="utf-8"), max_size=80))
def test_any_text_gives_a_sound_map(source):
    ruling, after = read(source)
    if after is not None:
        data = source.encode()
        for piece in after.map.segments:
            if piece.exact:
                said = data[piece.byte_start : piece.byte_end].decode()
                assert said == after.text[piece.start : piece.end]
        assert not re.search(r"[ \t]{2,}$", after.text)


@pytest.mark.parametrize("text", ["-\n", "&#", "`"])
@unchecked()  # a call that is checked costs twenty times as much
def test_latex_that_needs_a_segment_a_byte_stays_small(text):
    data = (text * 10_000)[:10_000].encode()
    tracemalloc.start()
    ruling = LatexStep(LatexConfig())(Record("1", "s", "p", "latex", data=data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ruling.extracted and peak < 200 * len(data)


def test_a_macro_that_stands_for_nothing_leaves_nothing():
    _, after = read(r"\newcommand{\rev}[1]{#1}\newcommand{\two}[2]{#2}A \rev{} b, \two{x}{} c")
    assert " ".join(after.text.split()) == "A b, c"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\'{e}\"o\c{c}\v s \ss{} \LaTeX\ x", "éöçš ß LaTeX x"),
        (r"\href{http://x}{here} \textcolor{red}{red} \textbf{b}", "here red b"),
        (r"one\\two \par three", "one\ntwo\n\nthree"),
        (r"\iffalse no \ifx a b \fi no\fi yes", "yes"),
        (r"a~b---c ``d''", "a b—c “d”"),
        ("\\begin{itemize}\\item one\n\\item two\\end{itemize}", "- one\n- two"),
        (
            r"\begin{equation}x\label{e}\end{equation} see \eqref{e}",
            "\\begin{equation}x\\end{equation}\nsee 1",
        ),
    ],
)  # fmt: skip
def test_pieces(source, text):
    assert read(source)[1].text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\newcommand{\hi}[2][all]{To #1, #2!}\hi{x} \hi[you]{y}", "To all, x! To you, y!"),
        (r"\newcommand\hi[1][{a]b}]{<#1>}\hi. \hi[{x]y}].", "<a]b>. <x]y>."),
        (r"\NewDocumentCommand{\hi}{O{all} m}{#1-#2}\hi{x} \hi[you]{y}", "all-x you-y"),
        (r"\NewDocumentCommand{\hi}{s m}{#1-#2}a \hi{x}", "a x"),
        (r"A \ifx\foo\undefined one\else two\fi B", "A one B"),
        (r"\newcommand\foo{}A \ifx\foo\undefined one\else two\fi B", "A two B"),
        (r"\newif\ifabc \ifabc one\else two\fi. \abctrue\ifabc one\else two\fi", "two. one"),
        (r"\iffalse a \iftrue b\fi c\else d\fi e", "d e"),
        (r"\ifcase 1 a\or b\or c\else d\fi!", "a!"),
        (r"\ifx\x\y never closed", "never closed"),
        (r"\ifnum1>2 \begin{quote}x\end{quote}\else{y}\fi", "y"),
    ],
)  # fmt: skip
def test_a_default_is_put_in_and_one_branch_is_read(source, text):
    assert read(source)[1].text == text


def test_conditionals_that_never_end_take_linear_time():
    for piece in (r"\ifx a b", r"\iftrue \else ", r"\hi[", r"\iftrue{", r"\fi\else\or"):
        source = r"\newcommand\hi[1][x]{#1}" + piece * (30_000 // len(piece))
        read(source)


SETS = "definitions affiliations notes references not_citations tables verbatim dropped maths"
GROUPED = "arguments environment_arguments headings breaking floats".split()
MAPPED = "accents signs symbols ligatures".split()


def test_argument_lists_are_words_of_three_letters():
    tables = {**commands.ARGUMENTS, **commands.ENVIRONMENT_ARGUMENTS}
    assert all(set(word) <= set("omk") for word in tables.values())


def test_a_command_has_one_meaning():
    groups = [
        commands.HEADINGS, commands.NOTES, commands.AFFILIATIONS, commands.REFERENCES,
        commands.SYMBOLS,
    ]  # fmt: skip
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
