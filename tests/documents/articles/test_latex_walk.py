"""Reading LaTeX: arguments, accents and references."""

import pytest

from groundup.documents import SourceMap
from groundup.documents.articles.latex_walk import LatexConfig, LatexReader


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
    walk = LatexReader(SourceMap.identity(source), LatexConfig())
    walk.read_document()
    assert walk.writer.text() == text


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
    walk = LatexReader(SourceMap.identity(source), LatexConfig())
    walk.read_document()
    assert walk.writer.text() == text


def test_conditionals_that_never_end_take_linear_time():
    for piece in (r"\ifx a b", r"\iftrue \else ", r"\hi[", r"\iftrue{", r"\fi\else\or"):
        source = r"\newcommand\hi[1][x]{#1}" + piece * (100_000 // len(piece))
        LatexReader(SourceMap.identity(source), LatexConfig()).read_document()
