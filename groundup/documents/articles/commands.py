"""Commands of LaTeX: tables of what they mean, and a first pass over a source for its own.

commands.toml has the tables and explains them; a command that none names is dropped and its
arguments in braces are kept, as `detex` does. Braces are paired once, so that the end of an
argument is a look-up and not a search; braces in verbatim text and comments are ignored. Simple
macros (`\\newcommand`, `\\def` with undelimited parameters) are read with their bodies and the
default of a first argument; macros with delimiters or conditionals are dropped like any unknown
command. One branch of a conditional is read: the one that TeX would take by the definitions of the
source itself, else the first.
"""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _inverted(table: str) -> dict[str, str]:
    return {name: value for value, names in _TABLES[table].items() for name in names.split()}


def _names(table: str) -> frozenset[str]:
    return frozenset(_TABLES[table].split())


ARGUMENTS = _inverted("arguments")
ENVIRONMENT_ARGUMENTS = _inverted("environment_arguments")
FLOATS = _inverted("floats")
HEADINGS = {name: int(level) for name, level in _inverted("headings").items()}
BREAKING = {name: int(strength) for name, strength in _inverted("breaking").items()}
DEFINITIONS, AFFILIATIONS, NOTES, REFERENCES, NOT_CITATIONS, TABLES, DROPPED, MATHS = map(
    _names,
    "definitions affiliations notes references not_citations tables dropped maths".split(),
)
VERBATIM: list[str] = _TABLES["verbatim"].split()
ACCENTS: dict[str, str] = _TABLES["accents"]
SIGNS: dict[str, str] = _TABLES["signs"]
SYMBOLS: dict[str, str] = _TABLES["symbols"]
LIGATURES: dict[str, str] = _TABLES["ligatures"]
TOKEN = re.compile(
    r"\\(?P<name>[A-Za-z@]+)(?P<star>\*?)|\\(?P<sign>[^A-Za-z@])|(?P<comment>%[^\n]*\n?[ \t]*)"
    r"|(?P<brace>[{}])|(?P<math>\$\$?)|(?P<blank>\n[ \t]*\n\s*)|(?P<cell>&)"
    r"|(?P<ligature>---?|``|''|`|~|[!?]`)",
    re.DOTALL,
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
DOCUMENT_COMMAND_SPEC = re.compile(
    r"\s*\{\s*(?:O\{(?P<default>[^{}]*)\}\s*)?(?P<plain>(?:[mr]\s*){0,9})\}"
)
"""A simple argument specification of `\\NewDocumentCommand`."""
BRACKET = re.compile(r"[\]{]")
SKIPPED_SPACE = re.compile(r"(?:[ \t]|%[^\n]*\n|\n(?![ \t]*\n))*")
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
"""Conditional -> pattern of its condition; the others have none."""
ALWAYS_FALSE = frozenset(
    "iffalse ifvoid ifhbox ifvbox ifeof ifmmode ifinner ifxetex ifluatex".split()
)
KNOWN_COMMANDS = frozenset((*ARGUMENTS, *SYMBOLS, *BREAKING, *HEADINGS, *DEFINITIONS, *NOTES))
UNDEFINED_NAMES = frozenset(
    "undefined @undefined XeTeXversion XeTeXrevision luatexversion directlua HCode".split()
)
"""Names that pdfTeX, which most papers are written for, does not define."""
MAX_EXPANSION = 20_000
MIN_BUDGET, MAX_BUDGET = 500_000, 2_000_000
MIN_CALL_COST = 50
"""Minimum cost of a call in characters. Own judgement, measured: 5 MB of calls of nested macros
take 3.3 s of CPU, 5 MB of unknown commands 3.7 s, of plain text 2.1 s."""


class _VerbatimBlock(NamedTuple):
    name: str
    start: int
    end: int
    after: int


class Macro(NamedTuple):
    """The definition of a macro."""

    parameters: int
    body: str
    default: str | None = None
    """Of the first argument, which is then optional and in brackets."""


class Definitions:
    """The definitions of a source up to the current offset."""

    def __init__(self) -> None:
        self.macros: dict[str, Macro] = {}
        self.defined_names: set[str] = set()
        """All defined names, also those whose definition is not understood."""
        self.flags: dict[str, bool] = {}
        """Values of flags made by `\\newif`."""

    def define(self, name: str, macro: Macro | None) -> None:
        """Record a macro, or only that the name is defined."""
        self.defined_names.add(name)
        if macro:
            self.macros[name] = macro

    def set_flag(self, name: str) -> bool:
        """Whether a command sets a flag, such as `\\drafttrue`; if so, sets it."""
        flag, value = (name[:-4], True) if name.endswith("true") else (name[:-5], False)
        if flag not in self.flags or name not in (f"{flag}true", f"{flag}false"):
            return False
        self.flags[flag] = value
        return True

    def _ifx_value(self, token: str) -> object:
        """The value that `\\ifx` compares: a macro, a letter, a known name, or an empty string."""
        token = token.strip()
        if len(token) < 2 or token[0] != "\\":
            return token
        name = token[1:]
        if name in ("empty", "@empty"):
            return Macro(0, "")
        if name in self.macros:
            return self.macros[name]
        is_known = name in self.defined_names or name in KNOWN_COMMANDS
        is_known = is_known or "@" in name or name.startswith("pdf")
        return token if is_known and name not in UNDEFINED_NAMES else ""

    def branch_start(self, text: str, name: str, at: int) -> int | None:
        """Offset of the branch if the condition at `at` holds; None otherwise."""
        condition = CONDITIONS[name].match(text, at) if name in CONDITIONS else None
        if not self._is_condition_true(name, condition):
            return None
        return condition.end() if condition else at

    def _is_condition_true(self, name: str, condition: re.Match[str] | None) -> bool:
        """Whether a condition holds; true if only TeX could decide."""
        if name[2:] in self.flags:
            return self.flags[name[2:]]
        if name in ALWAYS_FALSE:
            return False
        if condition is None:
            return True
        if name in ("ifx", "if"):
            return self._ifx_value(condition["a"]) == self._ifx_value(condition["b"])
        if name in ("ifdefined", "ifcsname"):
            return self._ifx_value("\\" + condition["a"].removeprefix("\\")) != ""
        if name == "ifnum":
            try:
                a, b = int(condition["a"]), int(condition["b"])
            except ValueError:
                return True
            return {"<": a < b, "=": a == b, ">": a > b}[condition["by"]]
        return True


class ExpansionBudget:
    """Budget for macro expansion: the length of the source plus 500,000 characters, 2,000,000 at
    most."""

    def __init__(self, source_characters: int) -> None:
        self.remaining = min(MIN_BUDGET + source_characters, MAX_BUDGET)
        self.refused_calls = 0
        """Calls that are not expanded: over the budget, or endless recursion."""

    def try_spend(self, characters: int) -> bool:
        """Whether the budget allows an expansion; if so, subtracts it."""
        cost = max(characters, MIN_CALL_COST)
        if cost > self.remaining:
            return self.count_refusal()
        self.remaining -= cost
        return True

    def count_refusal(self) -> bool:
        """Count a call that is not expanded."""
        self.refused_calls += 1
        return False


class _SourceLayout(NamedTuple):
    closing_braces: dict[int, int]  # Opening brace to closing brace
    verbatim_blocks: dict[int, _VerbatimBlock]  # By the offset of the command that begins them
    branch_jumps: dict[int, int]
    """Where to continue from a false conditional, and from an `\\else` after a true branch."""


def read_layout(text: str) -> _SourceLayout:
    """Pair the braces, and find verbatim text and branches."""
    closes: dict[int, int] = {}
    verbatims: dict[int, _VerbatimBlock] = {}
    open_braces: list[int] = []
    endless: set[str] = set()  # unclosed environments: not searched again
    jumps: dict[int, int] = {}
    # Offset of \if, then start and end of each \else or \or.
    open_conditionals: list[list[int]] = []
    at = 0
    while match := MARKS.search(text, at):
        at = match.end()
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}":
            if open_braces:
                closes[open_braces.pop()] = match.start()
        elif name := match["conditional"]:
            if name.startswith("if"):
                if not text.startswith("{", at):  # \ifthenelse{…} and the like have no \fi
                    open_conditionals.append([match.start()])
            elif open_conditionals and name != "fi":
                open_conditionals[-1] += match.span()
            elif open_conditionals:
                _record_jumps(open_conditionals.pop(), match.start(), at, jumps)
        elif match["code"] is not None:
            start, end = match.span("code")
            verbatims[match.start()] = _VerbatimBlock("verb", start, end, at)
        elif (name := match["environment"]) and name not in endless:
            end = text.find(f"\\end{{{name}", at)
            if end < 0:
                endless.add(name)
                continue
            after = text.find("}", end)
            after = len(text) if after < 0 else after + 1
            verbatims[match.start()] = _VerbatimBlock(name, at, end, after)
            at = after
    return _SourceLayout(closes, verbatims, jumps)


def _record_jumps(offsets: list[int], fi: int, after: int, jumps: dict[int, int]) -> None:
    begin, *others = offsets
    jumps[begin] = others[1] if others else after
    jumps.update(dict.fromkeys(others[::2], after))
    jumps[fi] = after


def optional_argument(text: str, at: int, closes: dict[int, int]) -> tuple[int, int, int] | None:
    """Start and end of an optional argument's text, and the offset after it; None if absent."""
    gap = SKIPPED_SPACE.match(text, at)
    begin = gap.end() if gap else at
    if not text.startswith("[", begin):
        return None
    after, limit = begin + 1, begin + 2_000
    while match := BRACKET.search(text, after, limit):
        if match[0] == "]":
            return begin + 1, match.start(), match.end()
        after = closes.get(match.start(), match.start()) + 1
        limit = max(limit, after)
    return begin + 1, begin + 1, begin + 1


def read_argument(text: str, at: int, closes: dict[int, int]) -> tuple[int, int, int]:
    """The argument at an offset: start and end of its text, and the offset after it."""
    gap = SKIPPED_SPACE.match(text, at)
    begin = gap.end() if gap else at
    if text.startswith("{", begin):
        end = closes.get(begin, -1)
        return (begin + 1, end, end + 1) if end >= 0 else (begin + 1, begin + 1, begin + 1)
    token = TOKEN.match(text, begin)
    if token is not None and token.lastgroup in ("star", "sign"):
        return (begin, token.end(), token.end())
    stop = min(begin + 1, len(text))
    if text[begin:stop] in ("", "}", "$", "\n"):
        return (at, at, at)
    return (begin, stop, stop)


def skip_arguments(text: str, arguments: str, at: int, closes: dict[int, int]) -> int:
    """Skip dropped arguments (m, or o in brackets), up to the first that is kept (k)."""
    for argument in arguments:
        if argument == "k":
            return at
        gap = SKIPPED_SPACE.match(text, at)
        if argument == "o":
            bracket = optional_argument(text, at, closes)
            at = bracket[2] if bracket else at
        elif gap and text.startswith("{", gap.end()):
            at = read_argument(text, at, closes)[2]
    return at


def read_definition(
    text: str, at: int, closes: dict[int, int], command: str
) -> tuple[str, Macro | None, int]:
    """Name and macro of a definition at `at` (after the command), and the offset after it."""
    name = NAME.match(text, at)
    if name is None:
        return "", None, at
    at, parameters, default = name.end(), 0, None
    if command in ("def", "edef", "gdef", "xdef"):
        plain = PLAIN_PARAMETERS.match(text, at)
        parameters = len(plain[0]) // 2 if plain else 0
        at += 2 * parameters
    elif command.endswith("DocumentCommand"):
        if (spec := DOCUMENT_COMMAND_SPEC.match(text, at)) is None:
            first = text.find("{", at, at + 200)
            at = text.find("{", closes.get(first, at), closes.get(first, at) + 200)
            return name[1], None, closes.get(at, at) + 1
        default, at = spec["default"], spec.end()
        parameters = len(spec["plain"].split()) + (default is not None)
    elif count := COUNT.match(text, at):
        parameters, at = int(count[1]), count.end()
        if bracket := optional_argument(text, at, closes):
            default, at = text[bracket[0] : bracket[1]], bracket[2]
    brace = text.find("{", at, at + 200)
    end = closes.get(brace, -1)
    if end < 0:
        return name[1], None, at
    body = text[brace + 1 : end]
    is_plain = not text[at : max(at, brace)].strip()
    if not is_plain or len(body) > 2_000 or "\\if" in body or "@" in body:
        return name[1], None, end + 1
    return name[1], Macro(parameters, body, default), end + 1


def expand_macro_body(macro: Macro, arguments: list[str]) -> str | None:
    """A macro's body with its arguments; None if it is too large."""
    size = len(macro.body) + sum(map(len, arguments)) * (macro.body.count("#") + 1)
    if size > MAX_EXPANSION:
        return None
    values = dict(enumerate(arguments, 1))
    return PARAMETER.sub(lambda match: values.get(int(match[1]), ""), macro.body)


def label_numbers(text: str) -> dict[str, str]:
    """The number that `\\ref` prints for every label of a section, figure, table or equation."""
    counts: dict[str, int] = dict.fromkeys((*LEVELS, "figure", "table", "equation"), 0)
    labels: dict[str, str] = {}
    section, inside = "", ""
    for mark in LABELS.finditer(text):
        if level := mark["section"]:
            if not mark["star"]:
                counts[level] += 1
                for lower in LEVELS[LEVELS.index(level) + 1 :]:
                    counts[lower] = 0
                numbers = [counts[name] for name in LEVELS[: LEVELS.index(level) + 1]]
                section = ".".join(str(number) for number in numbers if number)
        elif mark["caption"] and inside in ("figure", "table"):
            counts[inside] += 1
        elif mark["edge"] == "begin":
            inside = "equation" if mark["name"] in MATHS else mark["name"]
            counts["equation"] += inside == "equation"
        elif mark["edge"] == "end":
            inside = ""
        elif label := mark["label"]:
            labels.setdefault(label, str(counts[inside]) if inside else section)
    return labels
