"""LaTeX read once before it is walked: which braces match, what is verbatim, what authors defined.

One pass pairs the braces, so an argument's end is looked up and never searched for; verbatim pieces
and comments hide theirs. Simple macros (`\\newcommand`, `\\def` with plain parameters) are read
with their bodies, and the default of a first argument; those with delimiters or conditionals inside
are dropped by the walker like any unknown command. Of a conditional one branch is read: the one
that TeX would take by what the source itself defines, else the first. Knows nothing of what the
text is for.
"""

import re
from typing import NamedTuple

from .commands import (
    ARGUMENTS,
    BREAKING,
    DEFINITIONS,
    HEADINGS,
    MATHS,
    NOTES,
    SYMBOLS,
    VERBATIM,
)

MARKS = re.compile(
    r"\\begin[ \t]*\{(?P<environment>" + "|".join(VERBATIM) + r")\*?\}"
    r"|\\(?:verb|lstinline|Verb)(?![A-Za-z])\*?(?P<quote>[^\w\s*{\\])(?P<code>[^\n]{0,500}?)(?P=quote)"
    r"|\\(?P<conditional>if(?!f(?![A-Za-z@]))[A-Za-z@]*|else|or|fi)(?![A-Za-z@])"
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
SPEC = re.compile(r"\s*\{\s*(?:O\{(?P<default>[^{}]*)\}\s*)?(?P<plain>(?:[mr]\s*){0,9})\}")
"""What `\\NewDocumentCommand` says of arguments, where it is simple."""
BRACKET = re.compile(r"[\]{]")
GAP = re.compile(r"(?:[ \t]|%[^\n]*\n|\n(?![ \t]*\n))*")
SIGN = r"(?:\\[A-Za-z@]+[ \t]*\n?|\\.|[^\s{}\\])"
VALUE = r"\s*(?:[-+]?[\d.]+[ \t]*(?:[a-z]{2}\b)?|\\[A-Za-z@]+(?:\{[^{}]*\}|\d+)?)[ \t]?"
CONDITIONS = {
    name: re.compile(pattern)
    for names, pattern in (
        ("if ifx ifcat", rf"[ \t]*(?P<a>{SIGN})[ \t]*(?P<b>{SIGN})"),
        ("ifdefined", rf"[ \t]*(?P<a>{SIGN})"),
        ("ifcsname", r"(?P<a>[^\\{}]{1,100})\\endcsname[ \t]?"),
        ("ifnum ifdim", rf"(?P<a>{VALUE})\s*(?P<by>[<=>])(?P<b>{VALUE})"),
        ("ifodd ifcase ifvoid ifhbox ifvbox ifeof", VALUE),
    )
    for name in names.split()
}
"""What follows a conditional as its condition; nothing follows the others."""
NEVER = frozenset("iffalse ifvoid ifhbox ifvbox ifeof ifmmode ifinner ifxetex ifluatex".split())
KNOWN = frozenset((*ARGUMENTS, *SYMBOLS, *BREAKING, *HEADINGS, *DEFINITIONS, *NOTES))
UNDEFINED = frozenset(("undefined", "@undefined", "XeTeXversion", "XeTeXrevision", "luatexversion",
                       "directlua", "HCode"))  # fmt: skip
"""What pdfTeX, which most papers are written for, does not define."""
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
    default: str | None = None
    """Of the first argument, which then stands in brackets or is left out."""


class Names:
    """What a source has defined by the place that the walk has reached."""

    def __init__(self) -> None:
        self.macros: dict[str, Macro] = {}
        self.others: set[str] = set()
        """Names that are defined by more than is read here."""
        self.flags: dict[str, bool] = {}
        """Of `\\newif`."""

    def define(self, name: str, macro: Macro | None) -> None:
        """Keep a macro, or that there is one."""
        self.others.add(name)
        if macro:
            self.macros[name] = macro

    def is_flag(self, name: str) -> bool:
        """Whether a command sets a flag, such as `\\drafttrue`; sets it then."""
        flag, value = (name[:-4], True) if name.endswith("true") else (name[:-5], False)
        if flag not in self.flags or name not in (f"{flag}true", f"{flag}false"):
            return False
        self.flags[flag] = value
        return True

    def meaning(self, token: str) -> object:
        """What `\\ifx` compares: a body, a letter, a name that is known, or nothing."""
        token = token.strip()
        if len(token) < 2 or token[0] != "\\":
            return token
        name = token[1:]
        if name in ("empty", "@empty"):
            return Macro(0, "")
        if name in self.macros:
            return self.macros[name]
        is_known = name in self.others or name in KNOWN or "@" in name or name.startswith("pdf")
        return token if is_known and name not in UNDEFINED else ""

    def branch(self, text: str, name: str, at: int) -> int | None:
        """Where the branch begins if the condition at `at` holds; None if it does not."""
        found = CONDITIONS[name].match(text, at) if name in CONDITIONS else None
        if not self.holds(name, found):
            return None
        return found.end() if found else at

    def holds(self, name: str, found: re.Match[str] | None) -> bool:
        """Whether a condition holds; where only a run of TeX could tell, yes."""
        if name[2:] in self.flags:
            return self.flags[name[2:]]
        if name in NEVER:
            return False
        if found is None:
            return True
        if name in ("ifx", "if"):
            return self.meaning(found["a"]) == self.meaning(found["b"])
        if name in ("ifdefined", "ifcsname"):
            return self.meaning("\\" + found["a"].removeprefix("\\")) != ""
        if name == "ifnum":
            try:
                a, b = int(found["a"]), int(found["b"])
            except ValueError:
                return True
            return {"<": a < b, "=": a == b, ">": a > b}[found["by"]]
        return True


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
    jumps: dict[int, int]
    """Where to go on from a conditional that does not hold, and from an `\\else` at its end."""


def layout_of(text: str) -> Layout:
    """Pair the braces and find what is verbatim."""
    closes: dict[int, int] = {}
    verbatims: dict[int, Verbatim] = {}
    open_braces: list[int] = []
    endless: set[str] = set()  # environments that never end: not looked for again
    jumps: dict[int, int] = {}
    open_conditionals: list[list[int]] = []  # where it begins, then its others
    at = 0
    while found := MARKS.search(text, at):
        at = found.end()
        if found[0] == "{":
            open_braces.append(found.start())
        elif found[0] == "}":
            if open_braces:
                closes[open_braces.pop()] = found.start()
        elif name := found["conditional"]:
            if name.startswith("if"):
                if not text.startswith("{", at):  # \ifthenelse{…} and its like have no \fi
                    open_conditionals.append([found.start()])
            elif open_conditionals and name != "fi":
                open_conditionals[-1] += found.span()
            elif open_conditionals:
                jump(open_conditionals.pop(), found.start(), at, jumps)
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
    return Layout(closes, verbatims, jumps)


def jump(places: list[int], fi: int, after: int, jumps: dict[int, int]) -> None:
    """Note where to go from a conditional and from each `\\else` or `\\or` of it."""
    begin, *others = places
    jumps[begin] = others[1] if others else after
    jumps.update(dict.fromkeys(others[::2], after))
    jumps[fi] = after


def optional(text: str, at: int, closes: dict[int, int]) -> tuple[int, int, int] | None:
    """An argument in brackets, if one is there: where its text begins and ends, what follows."""
    gap = GAP.match(text, at)
    begin = gap.end() if gap else at
    if not text.startswith("[", begin):
        return None
    place, limit = begin + 1, begin + 2_000
    while found := BRACKET.search(text, place, limit):
        if found[0] == "]":
            return begin + 1, found.start(), found.end()
        place = closes.get(found.start(), found.start()) + 1
        limit = max(limit, place)
    return begin + 1, begin + 1, begin + 1


def defined(
    text: str, at: int, closes: dict[int, int], command: str
) -> tuple[str, Macro | None, int]:
    """The macro that a definition at `at` (after the command) makes, and where it ends."""
    name = NAME.match(text, at)
    if name is None:
        return "", None, at
    at, parameters, default = name.end(), 0, None
    if command in ("def", "edef", "gdef", "xdef"):
        plain = PLAIN_PARAMETERS.match(text, at)
        parameters = len(plain[0]) // 2 if plain else 0
        at += 2 * parameters
    elif command.endswith("DocumentCommand"):
        if (spec := SPEC.match(text, at)) is None:
            first = text.find("{", at, at + 200)
            at = text.find("{", closes.get(first, at), closes.get(first, at) + 200)
            return name[1], None, closes.get(at, at) + 1
        default, at = spec["default"], spec.end()
        parameters = len(spec["plain"].split()) + (default is not None)
    elif count := COUNT.match(text, at):
        parameters, at = int(count[1]), count.end()
        if found := optional(text, at, closes):
            default, at = text[found[0] : found[1]], found[2]
    brace = text.find("{", at, at + 200)
    end = closes.get(brace, -1)
    if end < 0:
        return name[1], None, at
    body = text[brace + 1 : end]
    is_plain = not text[at : max(at, brace)].strip()
    if not is_plain or len(body) > 2_000 or "\\if" in body or "@" in body:
        return name[1], None, end + 1
    return name[1], Macro(parameters, body, default), end + 1


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
