"""A single pass over LaTeX: the text of the printed paper, mapped to the bytes of the source.

The source is read command by command; TeX is not run and no other file is read. Comments, the
preamble, layout commands and labels are skipped; simple macros are expanded; accents, quotes and
dashes become characters; `\\ref` prints its number and `\\cite` the number of its source. Authors,
captions, tables, figures, footnotes and the bibliography are moved to the metadata. Knows nothing
of classes and packages beyond the tables of commands.py.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from groundup.core import Config

from ..document import SourceMap
from . import commands
from .macros import (
    GAP,
    Expansion,
    Macro,
    Names,
    defined,
    expanded,
    layout_of,
    numbers_of_labels,
    optional,
)
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, Writer

TOKEN = re.compile(
    r"\\(?P<name>[A-Za-z@]+)(?P<star>\*?)|\\(?P<sign>[^A-Za-z@])|(?P<comment>%[^\n]*\n?[ \t]*)"
    r"|(?P<brace>[{}])|(?P<math>\$\$?)|(?P<blank>\n[ \t]*\n\s*)|(?P<cell>&)"
    r"|(?P<ligature>---?|``|''|`|~|[!?]`)",
    re.DOTALL,
)
DOLLAR = re.compile(r"(?:[^$\\]|\\.){0,5000}", re.DOTALL)
MACRO_IN_MATH = re.compile(r"\\([A-Za-z]+)(?![A-Za-z@])")
NEW_FLAG = re.compile(r"\s*\{?\s*\\if([A-Za-z@]+)\s*\}?")
LABEL_IN_MATH = re.compile(r"\\label\{[^{}\n]{0,100}\}|\\(?:nonumber|notag)(?![A-Za-z])")
FRONT = frozenset(("title", "author", "subtitle", "icmltitle", "authors"))
DEEP, DEEP_GROUPS = 8, 200


class LatexConfig(Config):
    """Settings of `articles.latex`."""

    math: Literal["source", "placeholder", "drop"] = "source"
    """Formulas: their LaTeX source between dollars, the word [MATH], or nothing. Source: own
    choice; Galactica (arXiv:2211.09085, section 3.1) and Llemma keep the source."""
    citations: Literal["number", "drop"] = "number"
    """Citations: a number in brackets by first appearance, as plain styles print it, or nothing."""
    code: Literal["keep", "aside"] = "keep"
    """Verbatim text and listings: keep, or move to the metadata."""
    footnotes: Literal["aside", "keep"] = "aside"
    """Footnotes: move to the metadata, or keep at their marks in the text."""
    authors: Literal["aside", "keep"] = "aside"
    """Authors and affiliations: move to the metadata (they are personal data), or keep in the
    text. The names are in the metadata in both cases."""


class Closing(NamedTuple):
    """An action to run when the walk reaches an offset."""

    place: int
    act: Callable[[], None]


class Environment(NamedTuple):
    """An open environment."""

    name: str
    start: int
    """Offset of its text."""


class Walk:
    """Reads one LaTeX source."""

    def __init__(
        self, source: SourceMap, config: LatexConfig, names: Names | None = None, depth: int = 0
    ) -> None:
        self.text, self.config, self.depth = source.text, config, depth
        self.writer = Writer(source)
        self.closes, self.verbatims, self.jumps = layout_of(self.text)
        self.names = names or Names()
        self.labels = {} if depth else numbers_of_labels(self.text)
        self.cited: dict[str, int] = {}
        self.closing: list[Closing] = []
        self.environments: list[Environment] = []
        self.entry = -1  # offset of the open bibliography entry
        self.is_naming = False  # inside \author
        self.is_preamble = False
        self.inputs: list[str] = []
        self.endless: set[str] = set()  # unclosed environments: not searched again
        self.expansion = Expansion(len(self.text))

    def document(self) -> None:
        """Read a file: the preamble for its title and macros, then the body."""
        begin = self.text.find("\\begin{document}")
        if begin >= 0:
            self.is_preamble = True
            self.walk(0, begin)
            self.is_preamble = False
            begin += len("\\begin{document}")
        begin = max(begin, 0)
        end = self.text.rfind("\\end{document}", begin)  # earlier ones may be quoted
        self.walk(begin, len(self.text) if end < 0 else end)

    def walk(self, at: int, end: int) -> None:
        """Read a slice of the source."""
        while at < end:
            token = TOKEN.search(self.text, at, end)
            stop = token.start() if token else end
            self.close(at)
            if stop > at and not self.is_preamble:
                self.writer.keep(at, stop)
            self.close(stop)
            at = end if token is None else max(self.take(token), stop + 1)  # always advance
        self.close(end)

    def close(self, place: int) -> None:
        """Run the actions due at this offset."""
        while self.closing and self.closing[-1].place <= place:
            self.closing.pop().act()

    def take(self, token: re.Match[str]) -> int:
        """Read one token; returns the offset to continue at."""
        start, end, kind = token.start(), token.end(), token.lastgroup
        if start in self.verbatims:
            return self.verbatim(start)
        if kind == "star":
            return self.command(token["name"], start, end)
        if self.is_preamble:
            closing = self.closes.get(start, -1) if token[0] == "{" else -1
            return closing if closing > 0 else end
        if kind == "sign":
            return self.sign(token["sign"], start, end)
        if kind == "math":
            return self.dollars(start, end)
        if kind == "blank" or (kind == "comment" and self.text.startswith("\n", end)):
            self.writer.want(BLANK_LINE)
        elif kind == "cell":
            self.writer.want(TAB)
        elif kind == "ligature":
            self.writer.put(start, end, commands.LIGATURES[token[0]])
        return end

    def command(self, name: str, start: int, end: int) -> int:
        """Read a command with its arguments."""
        if name in commands.DEFINITIONS:
            macro_name, macro, end = defined(self.text, end, self.closes, name)
            if name != "providecommand" or macro_name not in self.names.others:
                self.names.define(macro_name, macro)
            return end
        if start in self.jumps:
            return self.conditional(name, start, end)
        if name in ("begin", "end"):
            return self.environment(name, start, end)
        if name == "newif" and (flag := NEW_FLAG.match(self.text, end)):
            self.names.flags[flag[1]] = False
            return flag.end()
        if self.names.is_flag(name):
            return end
        if name in FRONT:
            return self.front(name, end)
        if self.is_preamble:
            return self.skip(commands.ARGUMENTS.get(name, "om"), end)
        if name in self.names.macros and name not in commands.HEADINGS:
            return self.macro(self.names.macros[name], start, end)
        return self.printed(name, start, end)

    def conditional(self, name: str, start: int, end: int) -> int:
        """Continue in the branch that is read."""
        begin = self.names.branch(self.text, name, end) if name.startswith("if") else None
        return self.jumps[start] if begin is None else begin

    def printed(self, name: str, start: int, end: int) -> int:
        """Read a command of the body that is neither a macro nor an environment."""
        if name in commands.SYMBOLS or name in commands.BREAKING or name in commands.ACCENTS:
            return self.character(name, start, end)
        if name in commands.HEADINGS:
            return self.heading(name, end)
        if name == "caption" or name in commands.NOTES:
            return self.note(name, end)
        if name in commands.AFFILIATIONS:
            return self.set_aside("affiliations", self.skip("o", end), "affiliation")
        if name in ("input", "include"):
            group = self.group(end)
            self.inputs.append(self.text[group[0] : group[1]])
        if "cite" in name.lower() and name not in commands.NOT_CITATIONS:
            return self.citation(start, end)
        if name in commands.REFERENCES:
            inside = self.group(end)
            key = self.text[inside[0] : inside[1]]
            self.writer.put(start, inside[2], self.labels.get(key, ""))
            return inside[2]
        if name == "bibitem":
            self.end_entry()
            end = self.skip("om", end)
            self.writer.want(BLANK_LINE)
            self.entry = self.writer.here()
            return end
        if name in ("(", "["):
            return end
        return self.skip(commands.ARGUMENTS.get(name, "o"), end)

    def character(self, name: str, start: int, end: int) -> int:
        """Write a symbol, an accented letter or a break."""
        if name in commands.SYMBOLS:
            self.writer.put(start, end, commands.SYMBOLS[name])
            after = GAP.match(self.text, end)
            if self.text.startswith("{}", end):
                return end + 2
            is_word = self.text[end : end + 1] in (" ", "\n")
            return (
                after.end() if after and is_word else end
            )  # TeX skips white space after a command word
        if name in commands.BREAKING:
            self.writer.want(commands.BREAKING[name])
            if name == "item":
                self.writer.bullet(start, end)
            return self.skip("m" if name == "hskip" else "", end)
        return self.accent(name, start, end)

    def sign(self, sign: str, start: int, end: int) -> int:
        """Read a command of one character that is no letter."""
        if sign == "\\":
            self.writer.want(NEWLINE)
            return self.skip("o", end)
        if sign in "([":
            closer = self.text.find("\\)" if sign == "(" else "\\]", end, end + 5_000)
            if closer >= 0:
                self.math(start, closer + 2, end, closer, sign == "[")
                return closer + 2
        if sign in commands.ACCENTS:
            return self.accent(sign, start, end)
        self.writer.put(start, end, commands.SIGNS.get(sign, ""))
        return end

    def accent(self, name: str, start: int, end: int) -> int:
        """Write the next letter with its accent."""
        inside = self.group(end)
        base = self.text[inside[0] : inside[1]].strip()
        base = {"\\i": "i", "\\j": "j"}.get(base, base)
        if not base or len(base) > 2 or "\\" in base:
            return end
        letter = unicodedata.normalize("NFC", base[0] + commands.ACCENTS[name]) + base[1:]
        self.writer.put(start, inside[2], letter)
        return inside[2]

    def heading(self, name: str, end: int) -> int:
        """Read a heading: a paragraph of its own."""
        inside = self.group(self.skip("o", end))
        self.writer.want(BLANK_LINE)
        act = partial(self.end_heading, name, self.writer.here())
        self.closing.append(Closing(inside[1], act))
        return inside[0]

    def end_heading(self, name: str, start: int) -> None:
        self.writer.span("heading", start, str(commands.HEADINGS[name]))
        self.writer.want(SPACE if name in ("paragraph", "subparagraph") else BLANK_LINE)

    def note(self, name: str, end: int) -> int:
        """Read a caption or a footnote."""
        end = self.skip("o", end)
        if name == "caption":
            self.writer.want(BLANK_LINE)
            return self.set_aside("captions", end, "caption", "caption")
        if self.is_naming or name == "thanks":
            return self.group(end)[2]
        if self.config.footnotes == "keep":
            return end
        return self.set_aside("footnotes", end, "footnote")

    def set_aside(self, name: str, end: int, reason: str, span: str = "") -> int:
        """Move the next argument to the metadata."""
        inside = self.group(end)
        if name == "affiliations":
            self.writer.want(NEWLINE)
        if len(self.closing) < DEEP_GROUPS:
            act = partial(self.end_aside, name, self.writer.here(), reason, span)
            self.closing.append(Closing(inside[1], act))
        return inside[0]

    def end_aside(self, name: str, start: int, reason: str, span: str) -> None:
        if span:
            self.writer.span(span, start)
            self.writer.want(BLANK_LINE)
        if name != "affiliations" or self.config.authors == "aside":
            self.writer.aside(name, start, reason)

    def front(self, name: str, end: int) -> int:
        """Read title and authors, in the preamble or the body, and walk their argument."""
        inside = self.group(self.skip("o", end))
        kind = "author" if name.startswith("author") else "title"
        was_preamble, self.is_preamble = self.is_preamble, False
        self.writer.want(BLANK_LINE)
        start = self.writer.here()
        self.is_naming = kind == "author"
        outer, self.closing = self.closing, []
        self.walk(inside[0], inside[1])
        self.closing, self.is_naming = outer, False
        self.is_preamble = was_preamble
        if kind == "author":
            self.writer.span("author", start)
            if self.config.authors == "aside":
                self.writer.aside("authors", start, "authors")
        elif name == "subtitle":
            self.writer.span("subtitle", start)
        else:
            self.writer.span("heading", start, "1")
            self.writer.span("title", start)
        self.writer.want(BLANK_LINE)
        return max(inside[2], end)

    def environment(self, edge: str, start: int, end: int) -> int:
        """Open or close an environment."""
        inside = self.group(end)
        name = self.text[inside[0] : inside[1]].strip()
        after, plain = inside[2], name.rstrip("*")
        if edge == "end":
            self.end_environment(plain)
            return after
        if self.is_preamble:
            return after
        if plain in commands.MATHS or plain in commands.DROPPED:
            closer = -1 if name in self.endless else self.text.find(f"\\end{{{name}}}", after)
            if closer < 0:
                self.endless.add(name)
            else:
                stop = closer + len(name) + 6
                if plain in commands.MATHS:
                    self.math(start, stop, start, stop, True)
                return stop
        after = self.skip(commands.ENVIRONMENT_ARGUMENTS.get(plain, "o"), after)
        if plain not in ("minipage", "center", "scope"):
            self.writer.want(BLANK_LINE)
        self.environments.append(Environment(plain, self.writer.here()))
        return after

    def end_environment(self, name: str) -> None:
        """Close an environment and the unclosed ones inside it."""
        depth = len(self.environments)
        for index in range(depth - 1, max(-1, depth - 20), -1):
            if self.environments[index].name == name:
                break
        else:
            return
        start = self.environments[index].start
        del self.environments[index:]
        if name == "thebibliography":
            self.end_entry()
        elif name == "abstract":
            self.writer.span("abstract", start)
        kind = commands.FLOATS.get(name) or ("tables" if name in commands.TABLES else "")
        if kind:
            self.writer.span(kind[:-1], start)
            self.writer.aside(kind, start, kind[:-1])
        self.writer.want(BLANK_LINE)

    def end_entry(self) -> None:
        """Close the open bibliography entry."""
        if self.entry >= 0:
            self.writer.span("reference", self.entry)
            self.writer.aside("references", self.entry, "reference")
            self.entry = -1

    def citation(self, start: int, end: int) -> int:
        """Read a citation: numbers by first appearance."""
        after = self.skip("oo", end)
        inside = self.group(after)
        keys = [key.strip() for key in self.text[inside[0] : inside[1]].split(",") if key.strip()]
        if inside[2] - inside[0] > 2_000 or not keys:
            return after
        if self.config.citations == "number":
            numbers = [self.cited.setdefault(key, len(self.cited) + 1) for key in keys]
            self.writer.put(start, inside[2], f"[{', '.join(map(str, numbers))}]")
        return inside[2]

    def dollars(self, start: int, end: int) -> int:
        """Read a formula between dollars; a single dollar is dropped."""
        sign = self.text[start:end]
        body = DOLLAR.match(self.text, end)
        stop = body.end() if body else end
        if not self.text.startswith(sign, stop) or "\n\n" in self.text[end:stop]:
            return start + 1
        self.math(start, stop + len(sign), end, stop, sign == "$$")
        return stop + len(sign)

    def math(self, start: int, stop: int, inner: int, end: int, is_display: bool) -> None:
        """Write a formula as configured."""
        if is_display:
            self.writer.want(NEWLINE)
        if self.config.math == "placeholder":
            self.writer.put(start, stop, "[MATH]")
        elif self.config.math == "source":
            source = self.text[inner:end]
            changed = LABEL_IN_MATH.sub("", MACRO_IN_MATH.sub(self.in_math, source))
            begins = self.writer.here()
            if changed == source:
                self.writer.keep(start, stop)
            else:
                before, after = self.text[start:inner], self.text[end:stop]
                self.writer.put(start, stop, before + changed + after)
            self.writer.span("formula", begins)
        if is_display:
            self.writer.want(NEWLINE)

    def in_math(self, match: re.Match[str]) -> str:
        """Expand a macro without parameters inside a formula."""
        macro = self.names.macros.get(match[1])
        if macro is None or macro.parameters or len(macro.body) > 200:
            return match[0]
        return f"{{{macro.body}}}" if len(macro.body) > 1 else macro.body

    def verbatim(self, start: int) -> int:
        """Write verbatim text unchanged."""
        block = self.verbatims[start]
        if self.is_preamble or block.name.startswith(("comment", "filecontents")):
            return block.after
        if block.name == "verb":
            self.writer.exactly(block.start, block.end)
            return block.after
        self.writer.want(BLANK_LINE)
        begins = self.writer.here()
        first = block.start
        while first < block.end and self.text[first] in "[{" and first == block.start:
            line = self.text.find("\n", first, block.end)
            first = block.end if line < 0 else line
        while first < block.end and self.text[first] in "\r\n":
            first += 1
        last = len(self.text[first : block.end].rstrip()) + first
        self.writer.exactly(first, last)
        self.writer.span("code", begins)
        if self.config.code == "aside":
            self.writer.aside("code", begins, "code")
        self.writer.want(BLANK_LINE)
        return block.after

    def macro(self, macro: Macro, start: int, end: int) -> int:
        """Write the expansion of a macro, or the command itself if the expansion is too large."""
        arguments, after_name = [], end
        if macro.default is not None:
            bracket = optional(self.text, end, self.closes)
            arguments.append(self.text[bracket[0] : bracket[1]] if bracket else macro.default)
            end = bracket[2] if bracket else end
        for _ in range(macro.parameters - len(arguments)):
            inside = self.group(end)
            arguments.append(self.text[inside[0] : inside[1]])
            end = inside[2]
        body = expanded(macro, arguments)
        if self.depth >= DEEP:
            self.expansion.refuse()
            return end
        if body is None or not self.expansion.allows(len(body)):
            self.expansion.refused += body is None
            self.writer.keep(start, after_name)
            return after_name
        inner = Walk(SourceMap.identity(body), self.config, self.names, self.depth + 1)
        inner.expansion, inner.labels, inner.cited = self.expansion, self.labels, self.cited
        inner.walk(0, len(body))
        text = inner.writer.text()
        if inner.writer.wanted == SPACE or body[-1:].isspace():
            text += " "
        self.writer.put(start, end, text)
        return end

    def group(self, at: int) -> tuple[int, int, int]:
        """The argument at an offset: start and end of its text, and the offset after it."""
        gap = GAP.match(self.text, at)
        begin = gap.end() if gap else at
        if self.text.startswith("{", begin):
            end = self.closes.get(begin, -1)
            return (begin + 1, end, end + 1) if end >= 0 else (begin + 1, begin + 1, begin + 1)
        token = TOKEN.match(self.text, begin)
        if token is not None and token.lastgroup in ("star", "sign"):
            return (begin, token.end(), token.end())
        stop = min(begin + 1, len(self.text))
        if self.text[begin:stop] in ("", "}", "$", "\n"):
            return (at, at, at)
        return (begin, stop, stop)

    def skip(self, arguments: str, at: int) -> int:
        """Skip dropped arguments, up to the first that is kept."""
        for argument in arguments:
            if argument == "k":
                return at
            if argument == "o":
                bracket = optional(self.text, at, self.closes)
                at = bracket[2] if bracket else at
            elif self.text.startswith("{", GAP.match(self.text, at).end()):  # type: ignore[union-attr]
                at = self.group(at)[2]
        return at
