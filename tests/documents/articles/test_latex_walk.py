"""The walk over LaTeX: arguments, accents and references one by one."""

import pytest

from groundup.documents import SourceMap
from groundup.documents.articles.latex_walk import LatexConfig, Walk


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
    walk = Walk(SourceMap.identity(source), LatexConfig())
    walk.document()
    assert walk.writer.text() == text
