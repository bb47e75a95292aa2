"""LaTeX read once before it is walked: which braces match, what is verbatim, what authors defined.

One pass pairs the braces, so an argument's end is looked up and never searched for; verbatim pieces
and comments hide theirs. Simple macros (`\\newcommand`, `\\def` with plain parameters) are read
with their bodies; those with a default, delimiters or conditionals inside are dropped by the walker
like any unknown command. Knows nothing of what the text is for.
"""

import re
from typing import NamedTuple

from .commands import MATHS, VERBATIM

MARKS = re.compile(
    r"\\begin[ \t]*\{(?P<environment>" + "|".join(VERBATIM) + r")\*?\}"
    r"|\\(?:verb|lstinline|Verb)(?![A-Za-z])\*?(?P<quote>[^\w\s*{\\])(?P<code>[^\n]{0,500}?)(?P=quote)"
    r"|\\.|%[^\n]*|[{}]",
    re.DOTALL,
)
LABELS = re.compile(
    r"\\(?P<section>chapter|(?:sub){0,2}section)(?P<star>\*?)\s{0,9}[\[{]"
    r"|\\(?P<caption>caption)[\[{]|\\label\s{0,9}\{(?P<label>[^{}\n]{1,100})\}"
    r"|\\(?P<edge>begin|end)\{(?P<name>figure|table|equation|align|gather|eqnarray)\}"
)
LEVELS = ("chapter", "section", "subsection", "subsubsection")
PARAMETER = re.compile(r"#([1-9])")
NAME = re.compile(r"\s*\{?\s*\\([A-Za-z@]+)\s*\}?[ \t]*")
PLAIN_PARAMETERS = re.compile(r"(?:#[1-9]){0,9}")
COUNT = re.compile(r"\s*\[([1-9])\]")
MANY_CHARACTERS = 20_000
LEAST_MADE, MOST_MADE = 500_000, 2_000_000
CALL_CHARACTERS = 50
"""What a call costs at least, counted as characters. Own judgement, measured: 5 MB of calls of
nested macros take 3.3 s of CPU, 5 MB of unknown commands 3.7, of plain text 2.1."""


class Verbatim(NamedTuple):
    """A verbatim piece: `text[start:end]` is its content, and the source goes on at `after`."""

    name: str
    start: int
    end: int
    after: int


class Macro(NamedTuple):
    """What an author's command stands for."""

    parameters: int
    body: str


class Expansion:
    """What the macros of one source may still write: half a million characters more than it has
    itself, two million at most."""

    def __init__(self, source_characters: int) -> None:
        self.left = min(LEAST_MADE + source_characters, MOST_MADE)
        self.refused = 0
        """Calls that stay as they are written, or that call themselves without end."""

    def allows(self, characters: int) -> bool:
        """Whether this much more may be written; if so, it is taken off."""
        cost = max(characters, CALL_CHARACTERS)
        if cost > self.left:
            return self.refuse()
        self.left -= cost
        return True

    def refuse(self) -> bool:
        """Count a call that is not carried out."""
        self.refused += 1
        return False


class Layout(NamedTuple):
    """Where things end."""

    closes: dict[int, int]
    """Opening brace to closing brace."""
    verbatims: dict[int, Verbatim]
    """By the place of the command that begins them."""


def layout_of(text: str) -> Layout:
    """Pair the braces and find what is verbatim."""
    closes: dict[int, int] = {}
    verbatims: dict[int, Verbatim] = {}
    open_braces: list[int] = []
    endless: set[str] = set()  # environments that never end: not looked for again
    at = 0
    while found := MARKS.search(text, at):
        at = found.end()
        if found[0] == "{":
            open_braces.append(found.start())
        elif found[0] == "}":
            if open_braces:
                closes[open_braces.pop()] = found.start()
        elif found["code"] is not None:
            start, end = found.span("code")
            verbatims[found.start()] = Verbatim("verb", start, end, at)
        elif (name := found["environment"]) and name not in endless:
            end = text.find(f"\\end{{{name}", at)
            if end < 0:
                endless.add(name)
                continue
            after = text.find("}", end)
            after = len(text) if after < 0 else after + 1
            verbatims[found.start()] = Verbatim(name, at, end, after)
            at = after
    return Layout(closes, verbatims)


def defined(
    text: str, at: int, closes: dict[int, int], is_def: bool
) -> tuple[str, Macro | None, int]:
    """The macro that a definition at `at` (after the command) makes, and where it ends."""
    name = NAME.match(text, at)
    if name is None:
        return "", None, at
    at, parameters, is_plain = name.end(), 0, True
    if is_def:
        plain = PLAIN_PARAMETERS.match(text, at)
        parameters = len(plain[0]) // 2 if plain else 0
        at += 2 * parameters
        brace = text.find("{", at, at + 200)
        is_plain = brace == at
    else:
        if count := COUNT.match(text, at):
            parameters, at = int(count[1]), count.end()
        brace = text.find("{", at, at + 200)
        is_plain = not text[at : max(at, brace)].strip()
    end = closes.get(brace, -1)
    if end < 0:
        return name[1], None, at
    body = text[brace + 1 : end]
    if not is_plain or len(body) > 2_000 or "\\if" in body or "@" in body:
        return name[1], None, end + 1
    return name[1], Macro(parameters, body), end + 1


def expanded(macro: Macro, arguments: list[str]) -> str | None:
    """A macro's body with its arguments in place; None when it would grow past all measure."""
    size = len(macro.body) + sum(len(one) for one in arguments) * (macro.body.count("#") + 1)
    if size > MANY_CHARACTERS:
        return None
    values = dict(enumerate(arguments, 1))
    return PARAMETER.sub(lambda found: values.get(int(found[1]), ""), macro.body)


def numbers_of_labels(text: str) -> dict[str, str]:
    """What `\\ref` prints for every label: sections, figures, tables and equations are counted."""
    counts: dict[str, int] = dict.fromkeys((*LEVELS, "figure", "table", "equation"), 0)
    found: dict[str, str] = {}
    section, inside = "", ""
    for mark in LABELS.finditer(text):
        if level := mark["section"]:
            if not mark["star"]:
                counts[level] += 1
                for lower in LEVELS[LEVELS.index(level) + 1 :]:
                    counts[lower] = 0
                numbers = [counts[one] for one in LEVELS[: LEVELS.index(level) + 1]]
                section = ".".join(str(one) for one in numbers if one)
        elif mark["caption"] and inside in ("figure", "table"):
            counts[inside] += 1
        elif mark["edge"] == "begin":
            inside = "equation" if mark["name"] in MATHS else mark["name"]
            counts["equation"] += inside == "equation"
        elif mark["edge"] == "end":
            inside = ""
        elif label := mark["label"]:
            found.setdefault(label, str(counts[inside]) if inside else section)
    return found
