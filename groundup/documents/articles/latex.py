"""The step for LaTeX: extracts the prose, and title, authors and abstract as metadata.

One pass over the source, command by command; TeX is not run and no other file is read. Comments,
the preamble, layout commands and labels are skipped; simple macros are expanded; accents, quotes
and dashes become characters; `\\ref` prints its number and `\\cite` the number of its source.
Authors, captions, tables, figures, footnotes and the bibliography are moved to the metadata. Knows
nothing of classes and packages beyond the tables of commands.py.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Literal

from groundup.core import Config

from ..document import SourceMap
from ..readers.reader import Refused
from ..record import Record, StepResult, TextSpan
from . import commands
from .commands import (
    SKIPPED_SPACE,
    TOKEN,
    Definitions,
    ExpansionBudget,
    Macro,
    expand_macro_body,
    label_numbers,
    optional_argument,
    read_argument,
    read_definition,
    read_layout,
    skip_arguments,
)
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, MappedWriter, record_source

DOLLAR = re.compile(r"(?:[^$\\]|\\.){0,5000}", re.DOTALL)
MACRO_IN_MATH = re.compile(r"\\([A-Za-z]+)(?![A-Za-z@])")
NEW_FLAG = re.compile(r"\s*\{?\s*\\if([A-Za-z@]+)\s*\}?")
LABEL_IN_MATH = re.compile(r"\\label\{[^{}\n]{0,100}\}|\\(?:nonumber|notag)(?![A-Za-z])")
FRONT_COMMANDS = frozenset(("title", "author", "subtitle", "icmltitle", "authors"))
MAX_MACRO_DEPTH, MAX_OPEN_GROUPS = 8, 200


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


class LatexStep:
    """Step `articles.latex`: the prose of a record of kind latex."""

    def __init__(self, config: LatexConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Extract the text; a record without prose is dropped."""
        try:
            walk = _LatexReader(record_source(record), self.config)
        except Refused as refused:
            return StepResult(refused.reason, details=refused.details)
        walk.read_document()
        if not walk.writer.length:
            return StepResult("latex: no prose", details=f"{len(walk.text)} characters of source")
        result = walk.writer.to_result({})
        assert result.extracted is not None
        return result._replace(metadata=_metadata_of(result.extracted.map.text, walk))


def _metadata_of(text: str, walk: "_LatexReader") -> dict[str, object]:
    spans = walk.writer.spans
    facts: dict[str, object] = {}
    titles = [next((s for s in spans if s.kind == kind), None) for kind in ("title", "subtitle")]
    title = " ".join(text[span.start : span.end] for span in titles if span)
    if title.strip():
        facts["title"] = " ".join(title.split())
    if names := _author_names(text, spans):
        facts["authors"] = names
    abstract = next((s for s in spans if s.kind == "abstract"), None)
    if abstract:
        facts["abstract"] = text[abstract.start : abstract.end].strip()
    for kind in ("reference", "caption", "formula"):
        facts[f"{kind}s"] = sum(span.kind == kind for span in spans)
    if walk.expansion.refused_calls:
        facts["macros_not_expanded"] = walk.expansion.refused_calls
    if walk.inputs:
        facts["inputs"] = walk.inputs[:100]
    return facts


def _author_names(text: str, spans: list[TextSpan]) -> list[str]:
    """Author names: the first line of every block of an author span, split at commas and `and`."""
    names = []
    for span in spans:
        if span.kind != "author":
            continue
        for block in text[span.start : span.end].split("\n\n"):
            line = block.strip().split("\n")[0]
            for name in re.split(r"\s*(?:,|;|\band\b|&)\s*", line):
                words = re.sub(r"[\d*†‡§¶∗]+$", "", name).strip(" .,-–—")
                if words and "@" not in words and len(words) < 80:
                    names.append(name.strip(" ,-–—"))
    return names[:200]


class _LatexReader:
    """Reads one LaTeX source."""

    def __init__(
        self, source: SourceMap, config: LatexConfig, definitions: Definitions | None = None,
        depth: int = 0,
    ) -> None:  # fmt: skip
        self.text, self.config, self.depth = source.text, config, depth
        self.writer = MappedWriter(source)
        self.closing_braces, self.verbatim_blocks, self.branch_jumps = read_layout(self.text)
        self.definitions = definitions or Definitions()
        self.labels = {} if depth else label_numbers(self.text)
        self.citation_numbers: dict[str, int] = {}
        self.pending: list[tuple[int, Callable[[], None]]] = []  # offset, what is due there
        self.environments: list[tuple[str, int]] = []  # open ones: name, offset of the text
        self.entry_start = -1  # offset of the open bibliography entry
        self.is_author = False  # inside \author
        self.is_preamble = False
        self.inputs: list[str] = []
        self.unclosed: set[str] = set()  # unclosed environments: not searched again
        self.expansion = ExpansionBudget(len(self.text))

    def read_document(self) -> None:
        """Read a file: the preamble for its title and macros, then the body."""
        begin = self.text.find("\\begin{document}")
        if begin >= 0:
            self.is_preamble = True
            self.read_slice(0, begin)
            self.is_preamble = False
        begin = 0 if begin < 0 else begin + len("\\begin{document}")
        end = self.text.rfind("\\end{document}", begin)  # earlier ones may be quoted
        self.read_slice(begin, len(self.text) if end < 0 else end)

    def read_slice(self, at: int, end: int) -> None:
        while at < end:
            token = TOKEN.search(self.text, at, end)
            stop = token.start() if token else end
            self.run_pending(at)
            if stop > at and not self.is_preamble:
                self.writer.write_slice(at, stop)
            self.run_pending(stop)
            at = end if token is None else max(self.read_token(token), stop + 1)  # always advance
        self.run_pending(end)

    def run_pending(self, offset: int) -> None:
        while self.pending and self.pending[-1][0] <= offset:
            self.pending.pop()[1]()

    def read_token(self, token: re.Match[str]) -> int:
        """Read one token; returns the offset to continue at."""
        start, end, kind = token.start(), token.end(), token.lastgroup
        if start in self.verbatim_blocks:
            return self.write_verbatim(start)
        if kind == "star":
            return self.read_command(token["name"], start, end)
        if self.is_preamble:
            closing = self.closing_braces.get(start, -1) if token[0] == "{" else -1
            return closing if closing > 0 else end
        if kind == "sign":
            return self.read_sign(token["sign"], start, end)
        if kind == "math":
            return self.read_dollar_math(start, end)
        if kind == "blank" or (kind == "comment" and self.text.startswith("\n", end)):
            self.writer.request_break(BLANK_LINE)
        elif kind == "cell":
            self.writer.request_break(TAB)
        elif kind == "ligature":
            self.writer.write_replacement(start, end, commands.LIGATURES[token[0]])
        return end

    def read_command(self, name: str, start: int, end: int) -> int:
        if name in commands.DEFINITIONS:
            macro_name, macro, end = read_definition(self.text, end, self.closing_braces, name)
            if name != "providecommand" or macro_name not in self.definitions.defined_names:
                self.definitions.define(macro_name, macro)
            return end
        if start in self.branch_jumps:
            is_if = name.startswith("if")
            begin = self.definitions.branch_start(self.text, name, end) if is_if else None
            return self.branch_jumps[start] if begin is None else begin
        if name in ("begin", "end"):
            return self.read_environment(name, start, end)
        if name == "newif" and (flag := NEW_FLAG.match(self.text, end)):
            self.definitions.flags[flag[1]] = False
            return flag.end()
        if self.definitions.set_flag(name):
            return end
        if name in FRONT_COMMANDS:
            return self.read_front_matter(name, end)
        if self.is_preamble:
            return self.skip_arguments(commands.ARGUMENTS.get(name, "om"), end)
        if name in self.definitions.macros and name not in commands.HEADINGS:
            return self.expand_call(self.definitions.macros[name], start, end)
        return self.read_body_command(name, start, end)

    def read_body_command(self, name: str, start: int, end: int) -> int:
        if name in commands.SYMBOLS or name in commands.BREAKING or name in commands.ACCENTS:
            return self.write_character(name, start, end)
        if name in commands.HEADINGS:
            return self.read_heading(name, end)
        if name == "caption" or name in commands.NOTES:
            return self.read_note(name, end)
        if name in commands.AFFILIATIONS:
            return self.move_argument("affiliations", self.skip_arguments("o", end), "affiliation")
        if name in ("input", "include"):
            group = self.read_argument(end)
            self.inputs.append(self.text[group[0] : group[1]])
        if "cite" in name.lower() and name not in commands.NOT_CITATIONS:
            return self.read_citation(start, end)
        if name in commands.REFERENCES:
            inside = self.read_argument(end)
            key = self.text[inside[0] : inside[1]]
            self.writer.write_replacement(start, inside[2], self.labels.get(key, ""))
            return inside[2]
        if name == "bibitem":
            self.end_entry()
            end = self.skip_arguments("om", end)
            self.writer.request_break(BLANK_LINE)
            self.entry_start = self.writer.next_offset()
            return end
        if name in ("(", "["):
            return end
        return self.skip_arguments(commands.ARGUMENTS.get(name, "o"), end)

    def write_character(self, name: str, start: int, end: int) -> int:
        if name in commands.SYMBOLS:
            self.writer.write_replacement(start, end, commands.SYMBOLS[name])
            if self.text.startswith("{}", end):
                return end + 2
            is_word = self.text[end : end + 1] in (" ", "\n")
            after = SKIPPED_SPACE.match(self.text, end) if is_word else None
            return after.end() if after else end  # TeX skips white space after a command word
        if name in commands.BREAKING:
            self.writer.request_break(commands.BREAKING[name])
            if name == "item":
                self.writer.write_bullet(start, end)
            return self.skip_arguments("m" if name == "hskip" else "", end)
        return self.write_accent(name, start, end)

    def read_sign(self, sign: str, start: int, end: int) -> int:
        if sign == "\\":
            self.writer.request_break(NEWLINE)
            return self.skip_arguments("o", end)
        if sign in "([":
            closer = self.text.find("\\)" if sign == "(" else "\\]", end, end + 5_000)
            if closer >= 0:
                self.write_math(start, closer + 2, end, closer, sign == "[")
                return closer + 2
        if sign in commands.ACCENTS:
            return self.write_accent(sign, start, end)
        self.writer.write_replacement(start, end, commands.SIGNS.get(sign, ""))
        return end

    def write_accent(self, name: str, start: int, end: int) -> int:
        inside = self.read_argument(end)
        base = self.text[inside[0] : inside[1]].strip()
        base = {"\\i": "i", "\\j": "j"}.get(base, base)
        if not base or len(base) > 2 or "\\" in base:
            return end
        letter = unicodedata.normalize("NFC", base[0] + commands.ACCENTS[name]) + base[1:]
        self.writer.write_replacement(start, inside[2], letter)
        return inside[2]

    def read_heading(self, name: str, end: int) -> int:
        inside = self.read_argument(self.skip_arguments("o", end))
        self.writer.request_break(BLANK_LINE)
        act = partial(self.end_heading, name, self.writer.next_offset())
        self.pending.append((inside[1], act))
        return inside[0]

    def end_heading(self, name: str, start: int) -> None:
        self.writer.add_span("heading", start, str(commands.HEADINGS[name]))
        self.writer.request_break(SPACE if name in ("paragraph", "subparagraph") else BLANK_LINE)

    def read_note(self, name: str, end: int) -> int:
        end = self.skip_arguments("o", end)
        if name == "caption":
            self.writer.request_break(BLANK_LINE)
            return self.move_argument("captions", end, "caption", "caption")
        if self.is_author or name == "thanks":
            return self.read_argument(end)[2]
        if self.config.footnotes == "keep":
            self.writer.request_break(SPACE)
            return end
        return self.move_argument("footnotes", end, "footnote")

    def move_argument(self, name: str, end: int, reason: str, span: str = "") -> int:
        inside = self.read_argument(end)
        if name == "affiliations":
            self.writer.request_break(NEWLINE)
        if len(self.pending) < MAX_OPEN_GROUPS:
            act = partial(self.end_moved_argument, name, self.writer.next_offset(), reason, span)
            self.pending.append((inside[1], act))
        return inside[0]

    def end_moved_argument(self, name: str, start: int, reason: str, span: str) -> None:
        if span:
            self.writer.add_span(span, start)
            self.writer.request_break(BLANK_LINE)
        if name != "affiliations" or self.config.authors == "aside":
            self.writer.mark_for_metadata(name, start, reason)

    def read_front_matter(self, name: str, end: int) -> int:
        inside = self.read_argument(self.skip_arguments("o", end))
        kind = "author" if name.startswith("author") else "title"
        was_preamble, self.is_preamble = self.is_preamble, False
        self.writer.request_break(BLANK_LINE)
        start = self.writer.next_offset()
        self.is_author = kind == "author"
        outer, self.pending = self.pending, []
        self.read_slice(inside[0], inside[1])
        self.pending, self.is_author = outer, False
        self.is_preamble = was_preamble
        if name != "subtitle" and kind == "title":
            self.writer.add_span("heading", start, "1")
        self.writer.add_span("subtitle" if name == "subtitle" else kind, start)
        if kind == "author" and self.config.authors == "aside":
            self.writer.mark_for_metadata("authors", start, "authors")
        self.writer.request_break(BLANK_LINE)
        return max(inside[2], end)

    def read_environment(self, edge: str, start: int, end: int) -> int:
        inside = self.read_argument(end)
        name = self.text[inside[0] : inside[1]].strip()
        after, plain = inside[2], name.rstrip("*")
        if edge == "end":
            self.end_environment(plain)
            return after
        if self.is_preamble:
            return after
        if plain in commands.MATHS or plain in commands.DROPPED:
            closer = -1 if name in self.unclosed else self.text.find(f"\\end{{{name}}}", after)
            if closer < 0:
                self.unclosed.add(name)
            else:
                stop = closer + len(name) + 6
                if plain in commands.MATHS:
                    self.write_math(start, stop, start, stop, True)
                return stop
        after = self.skip_arguments(commands.ENVIRONMENT_ARGUMENTS.get(plain, "o"), after)
        if plain not in ("minipage", "center", "scope"):
            self.writer.request_break(BLANK_LINE)
        self.environments.append((plain, self.writer.next_offset()))
        return after

    def end_environment(self, name: str) -> None:
        depth = len(self.environments)
        near = range(depth - 1, max(-1, depth - 20), -1)
        index = next((n for n in near if self.environments[n][0] == name), None)
        if index is None:
            return
        start = self.environments[index][1]
        del self.environments[index:]
        if name == "thebibliography":
            self.end_entry()
        elif name == "abstract":
            self.writer.add_span("abstract", start)
        kind = commands.FLOATS.get(name) or ("tables" if name in commands.TABLES else "")
        if kind:
            self.writer.add_span(kind[:-1], start)
            self.writer.mark_for_metadata(kind, start, kind[:-1])
        self.writer.request_break(BLANK_LINE)

    def end_entry(self) -> None:
        if self.entry_start >= 0:
            self.writer.add_span("reference", self.entry_start)
            self.writer.mark_for_metadata("references", self.entry_start, "reference")
            self.entry_start = -1

    def read_citation(self, start: int, end: int) -> int:
        after = self.skip_arguments("oo", end)
        inside = self.read_argument(after)
        keys = [key.strip() for key in self.text[inside[0] : inside[1]].split(",") if key.strip()]
        if inside[2] - inside[0] > 2_000 or not keys:
            return after
        if self.config.citations == "number":
            cited = self.citation_numbers
            numbers = [cited.setdefault(key, len(cited) + 1) for key in keys]
            self.writer.write_replacement(start, inside[2], f"[{', '.join(map(str, numbers))}]")
        return inside[2]

    def read_dollar_math(self, start: int, end: int) -> int:
        """Read a formula between dollars; a single dollar is dropped."""
        sign = self.text[start:end]
        body = DOLLAR.match(self.text, end)
        stop = body.end() if body else end
        if not self.text.startswith(sign, stop) or "\n\n" in self.text[end:stop]:
            return start + 1
        self.write_math(start, stop + len(sign), end, stop, sign == "$$")
        return stop + len(sign)

    def write_math(self, start: int, stop: int, inner: int, end: int, is_display: bool) -> None:
        if is_display:
            self.writer.request_break(NEWLINE)
        if self.config.math == "placeholder":
            self.writer.write_replacement(start, stop, "[MATH]")
        elif self.config.math == "source":
            source = self.text[inner:end]
            changed = LABEL_IN_MATH.sub("", MACRO_IN_MATH.sub(self.expand_in_math, source))
            begins = self.writer.next_offset()
            if changed == source:
                self.writer.write_slice(start, stop)
            else:
                before, after = self.text[start:inner], self.text[end:stop]
                self.writer.write_replacement(start, stop, before + changed + after)
            self.writer.add_span("formula", begins)
        if is_display:
            self.writer.request_break(NEWLINE)

    def expand_in_math(self, match: re.Match[str]) -> str:
        macro = self.definitions.macros.get(match[1])
        if macro is None or macro.parameters or len(macro.body) > 200:
            return match[0]
        return f"{{{macro.body}}}" if len(macro.body) > 1 else macro.body

    def write_verbatim(self, start: int) -> int:
        block = self.verbatim_blocks[start]
        if self.is_preamble or block.name.startswith(("comment", "filecontents")):
            return block.after
        if block.name == "verb":
            self.writer.write_exact(block.start, block.end)
            return block.after
        self.writer.request_break(BLANK_LINE)
        begins = self.writer.next_offset()
        first = block.start
        if first < block.end and self.text[first] in "[{":
            line = self.text.find("\n", first, block.end)
            first = block.end if line < 0 else line
        while first < block.end and self.text[first] in "\r\n":
            first += 1
        last = len(self.text[first : block.end].rstrip()) + first
        self.writer.write_exact(first, last)
        self.writer.add_span("code", begins)
        if self.config.code == "aside":
            self.writer.mark_for_metadata("code", begins, "code")
        self.writer.request_break(BLANK_LINE)
        return block.after

    def expand_call(self, macro: Macro, start: int, end: int) -> int:
        """Write the expansion of a macro, or the command itself if the expansion is too large."""
        arguments, after_name = [], end
        if macro.default is not None:
            bracket = optional_argument(self.text, end, self.closing_braces)
            arguments.append(self.text[bracket[0] : bracket[1]] if bracket else macro.default)
            end = bracket[2] if bracket else end
        for _ in range(macro.parameters - len(arguments)):
            inside = self.read_argument(end)
            arguments.append(self.text[inside[0] : inside[1]])
            end = inside[2]
        body = expand_macro_body(macro, arguments)
        if self.depth >= MAX_MACRO_DEPTH:
            self.expansion.count_refusal()
            return end
        if body is None or not self.expansion.try_spend(len(body)):
            self.expansion.refused_calls += body is None
            self.writer.write_slice(start, after_name)
            return after_name
        inner = _LatexReader(
            SourceMap.identity(body), self.config, self.definitions, self.depth + 1
        )
        inner.expansion, inner.labels = self.expansion, self.labels
        inner.citation_numbers = self.citation_numbers
        inner.read_slice(0, len(body))
        text = inner.writer.text()
        if inner.writer.requested_break == SPACE or body[-1:].isspace():
            text += " "
        self.writer.write_replacement(start, end, text)
        return end

    def read_argument(self, at: int) -> tuple[int, int, int]:
        return read_argument(self.text, at, self.closing_braces)

    def skip_arguments(self, arguments: str, at: int) -> int:
        return skip_arguments(self.text, arguments, at, self.closing_braces)
