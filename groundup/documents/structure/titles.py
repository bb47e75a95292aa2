"""Titles of plain texts: underlined, of chapters, numbered, in capitals, or short with a colon.

Titles but the underlined stand below an empty line (titles.toml). Each kind is a level, in the
order in which they begin; one with a colon is the lowest. A line that could be an item of a list,
or the head of a table, is no title.
"""

import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..document import Record, TextSpan
from .outline import rst_headings

LISTED = re.compile(r"(?s)(?:\A|.*\n[ \t]*\n)\s*\d{1,3}[.)]\s")  # the last paragraph is an item


@cache
def _title_pattern() -> re.Pattern[str]:
    table = tomllib.loads(Path(__file__).with_name("titles.toml").read_text(encoding="utf-8"))
    kinds = "|".join(f"(?P<{kind}>{lines})" for kind, lines in table.items()).replace("\n", "")
    kinds = kinds.replace("$", r"[ \t]*$")
    words = r"(?=\S+(?: {1,2}\S+){0,8}[ \t]*$\s*\S)(?![^\n]*\.\.\.)"
    return re.compile(rf"(?m)(?:\A\s*|^[ \t\f]*\n){words}(?:{kinds})")


def with_titles(document: Record) -> Record:
    """A plain text with its titles; any other document as it is."""
    if document.kind != "text" or document.headings:
        return document
    text, spans, levels, end = document.text, dict[int, TextSpan](), dict[str, int](), 0
    for level, start, stop in rst_headings(text):
        stop = text.find("\n", text.find("\n", stop) + 1)  # that of the line below it
        spans[start] = TextSpan("heading", start, stop if stop > 0 else len(text), str(level))
        levels.setdefault(f"line {level}", level)
    text = text.replace("\r", " ")
    for match in _title_pattern().finditer(text):
        kind = str(match.lastgroup)
        start, above = match.start(kind), text[max(end, match.start() - 300) : match.start()]
        if start in spans or kind == "item" and LISTED.match(above.rstrip() + " "):
            continue
        depth = "." * match[kind].partition(" ")[0].rstrip(".)").count(".")
        level = 9 if kind == "label" else levels.setdefault(kind + depth, len(levels) + 1)
        end = start + len(match[kind].rstrip())
        spans[start] = TextSpan("heading", start, end, str(level))
    return replace(document, spans=tuple(spans[at] for at in sorted(spans)))
