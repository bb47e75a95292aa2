"""Four times the text takes four times the steps: nothing hostile makes a walk quadratic.

Steps are counted, not timed: lines run and functions called, the same on every machine and under
every load, so that texts of some thousand characters are enough. What a regular expression does
inside is not counted: tests of rooms whose work is one large pattern give it texts that would not
end otherwise.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from groundup.documents import (
    Record,
    SourceMap,
    StepResult,
    TextEdit,
    apply_result,
    split_sentences,
)
from groundup.documents.articles.latex import LatexConfig, LatexStep
from groundup.documents.articles.parts import ArticleParts, ArticlePartsConfig
from groundup.documents.articles.xml import ArticleXml, ArticleXmlConfig
from groundup.documents.conversations.mail import MailStep, MailStepConfig, classify_lines
from tests.checking import unchecked

Step = Callable[[Record], StepResult]
SIZE, TIMES = 3_000, 4
SLACK = 1.15
"""Of the steps that so many times the text may take; quadratic work takes 3.5 times more."""


class Counter:
    """Counts events of the interpreter."""

    def __init__(self) -> None:
        self.steps = 0

    def trace(self, frame: FrameType, event: str, value: Any) -> Callable[..., Any]:
        """Count a line, a call or a return."""
        self.steps += 1
        return self.trace


def steps_of(work: Callable[[], object]) -> int:
    """Steps that the work takes, without the checks of types that tests add."""
    counter, before = Counter(), sys.gettrace()
    with unchecked():
        sys.settrace(counter.trace)
        try:
            work()
        finally:
            sys.settrace(before)
    return counter.steps


class Walk(NamedTuple):
    """A piece of work on a text, and pieces that are hostile to it."""

    work: Callable[[str], object]
    pieces: tuple[str, ...]


def on_bytes(
    step: Callable[[Record], StepResult], kind: str, head: str = ""
) -> Callable[[str], object]:
    """Read a file of a kind, as it came."""

    def work(text: str) -> object:
        record = Record("1", "s", "p", kind, data=(head + text).encode())
        ruling = step(record)
        return ruling.reason or apply_result(record, ruling)

    return work


def on_text(step: Step, kind: str, head: str = "") -> Callable[[str], object]:
    """Read a text."""

    def work(text: str) -> object:
        record = Record("1", "s", "p", kind, head + text, SourceMap.identity(head + text))
        ruling = step(record)
        return ruling.reason or apply_result(record, ruling)

    return work


def set_aside(text: str) -> object:
    """Take every second character out and keep it aside."""
    record = Record("1", "s", "p", "text", text, SourceMap.identity(text))
    edits = tuple(
        TextEdit(at, at + 1, "note", metadata_key="notes") for at in range(0, len(text), 2)
    )
    return apply_result(record, StepResult(edits=edits))


WALKS = {
    "latex": Walk(
        on_bytes(LatexStep(LatexConfig()), "latex", "x "),
        (
            "a",
            "{",
            "}",
            "\\begin{verbatim}",
            "\\begin{figure}",
            "$",
            "\\[",
            "\\verb!",
            "[",
            "\\item[",
            "\\newcommand{\\a}",
            "\\iffalse",
            "<",
            "%",
            "\\caption{",
            "\\footnote{",
            "\\cite{",
        ),
    ),
    "markup": Walk(
        on_bytes(ArticleXml(ArticleXmlConfig()), "jats", "<book><para>x "),
        ("<", "<a", '<a b="', "<p>", "</p>", "&", "<!--", "<![CDATA[", "a", "&#x;"),
    ),
    "parts": Walk(
        on_text(ArticleParts(ArticlePartsConfig()), "text", "On tea\n\n"),
        ("Figure 1 ", "Ann Lee, ", "\n\n", "[1] ", "References\n\n", "@", "[1] Lee 1999.\n"),
    ),
    "mail": Walk(
        on_text(MailStep(MailStepConfig()), "mail"),
        ("a", ">", "> a\n", "On Mon ", "-- \n", "-", "_", "@", "\n", "wrote: ", "[", "|\n"),
    ),
    "ends of mail": Walk(
        lambda text: classify_lines("new\n\n" + text, MailStepConfig()),
        ("--\n", "-----\n", "a -- ", "Why ", "To unsubscribe\n\n", ">>> x\n"),
    ),
    "asides": Walk(set_aside, ("ab",)),
    "sentences": Walk(
        split_sentences, (".", "Foo bar.\n", "- key: value\n", "a:\n", "    x\n", "``` ")
    ),
}


@pytest.mark.parametrize(
    ("name", "piece"), [(name, piece) for name, walk in WALKS.items() for piece in walk.pieces]
)
def test_steps_grow_with_the_text_not_its_square(name, piece):
    work = WALKS[name].work
    work(piece * 3)  # what is made once and kept
    few, many = (
        steps_of(lambda n=n: work(piece * (n // len(piece)))) for n in (SIZE, TIMES * SIZE)
    )
    assert many <= SLACK * TIMES * few, f"{few} steps became {many}"


def test_a_square_would_be_seen():
    def work(text: str) -> int:
        return sum(1 for a in text for b in text if a < b)

    few, many = (steps_of(lambda n=n: work("ab" * n)) for n in (50, 200))
    assert many > SLACK * TIMES * few
