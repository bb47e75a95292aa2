"""Manual pages read as prose: the roff requests and macros of man(7) and mdoc(7).

Line by line, as roff does, without running it: fonts and spacing go, special characters become what
they print, macros of mdoc become the words that they stand for. Title and section are in the
metadata. Tables, equations, author and copyright sections are kept aside. Macros that a page
defines for itself are dropped with their definitions. The names stand in roff.py.
"""

import re
from collections.abc import Callable

from groundup.core import Config

from ..document import SourceMap
from ..record import Record, StepResult
from .roff import BREAKS, CHARACTERS, FONTS, IGNORED, MDOC, MDOC_WORDS, SKIPPED
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, MappedWriter, record_source

LINE = re.compile(r"[^\n]*\n?")
REQUEST = re.compile(r"[.'][ \t]*(?:([A-Za-z%]{1,12}|\\\")|$)")
WORD = re.compile(r'"((?:[^"]|"")*)"?|((?:\\[ \t]|[^ \t\n])+)')
ESCAPE = re.compile(
    r"\\(?:[\"#].*"  # a comment
    r"|[fFkMmgY](?:\[[^\]\n]{0,60}\]|\(..|.)"
    r"|\*(?:\[(?P<string>[^\]\n]{0,200})\]|\((?P<short>..)|(?P<one>.))"
    r"|n[-+]?(?:\[[^\]\n]{0,60}\]|\(..|.)|s(?:[-+]?\d\d?|[-+]?\[[^\]\n]{0,60}\]|[-+]?\(..|'[^'\n]{0,200}')"
    r"|[hvwDlLbSxXZRHABCo](?:'[^'\n]{0,200}'|\([^)\n]{0,60}\)|\"[^\"\n]{0,60}\"|.)|z|c"
    r"|\[(?P<long>[^\]\n]{0,200})\]|\((?P<pair>..)|N'(?P<number>\d{1,7})'|(?P<sign>.)|$)"
)
ESCAPED = {
    "-": "-", "e": "\\", "\\": "\\", "~": " ", " ": " ", "0": " ", "'": "´", "`": "`", ".": ".",
    "t": " ", "_": "_", "E": "\\", "p": "",
}  # fmt: skip
STRINGS = {"lq": "“", "rq": "”", "R": "®", "Tm": "™", "S": "", "(lq": "“", "(rq": "”"}
MAX_TRIVIAL, DEEP = 20, 8


class ManualConfig(Config):
    """How a manual page is read."""

    aside: tuple[str, ...] = (
        "AUTHOR", "AUTHORS", "COPYRIGHT", "COLOPHON", "REPORTING BUGS", "SEE ALSO", "LICENSE",
        "RESOURCES", "BUGREPORTS", "MAINTAINER", "COPYING",
    )  # fmt: skip
    """Sections kept aside, by their title in capitals. Source: the sections that man-pages(7)
    names, of which these say who made the page, not what the program does."""
    tables: bool = False
    """Keep tables (tbl) in the text, their cells apart by tabs; otherwise aside."""


class Manual:
    """Step `articles.manual`: the prose of a manual page in roff."""

    def __init__(self, config: ManualConfig) -> None:
        self.config = config
        self.asides = frozenset(title.upper() for title in config.aside)

    def __call__(self, record: Record) -> StepResult:
        """Make the text; a page that only points to another one is dropped."""
        page = Page(record_source(record), self.asides, self.config.tables)
        page.run()
        if page.target and page.writer.length < MAX_TRIVIAL:
            return StepResult("manual: points to another page", details=page.target)
        if not page.is_manual:
            return StepResult("manual: not a manual page", details=page.text[:80])
        if not page.writer.length:
            return StepResult("manual: no prose")
        return page.writer.to_result(dict(page.facts))


class Page:
    """One page being read."""

    def __init__(self, source: SourceMap, asides: frozenset[str], keeps_tables: bool) -> None:
        self.text, self.asides, self.keeps_tables = source.text, asides, keeps_tables
        self.writer = MappedWriter(source)
        self.facts: dict[str, str] = {}
        self.name = self.target = ""
        self.is_manual = False
        self.is_filled = True
        self.until: tuple[str, ...] = ()  # requests that end what is being skipped
        self.defined: set[str] = set()  # macros that the page defines: what they print is not known
        self.nested = 0  # conditions on one line
        self.depth = 0  # of braces in a branch that is being skipped
        self.table = -1  # where the open table begins
        self.in_format = False  # of a table: its first lines say how columns look
        self.heading: tuple[str, int] | None = None  # a .SH whose title is on the next line
        self.section_aside = -1  # where the section that goes aside begins
        self.hanging = 0  # lines until a tag ends
        self.is_joined = False  # the line before ended in \c
        self.no_space = True  # nothing before the next word (mdoc .Ns)
        self.pending: list[str] = []  # closing marks of open mdoc blocks
        self.brackets = [0]

    def run(self) -> None:
        """Read the page to its end."""
        at = 0
        while at < len(self.text):
            found = LINE.match(self.text, at)
            assert found is not None
            end = found.end()
            stop = end - 1 if self.text[end - 1] == "\n" else end
            self.read_line(at, stop)
            at = end
        self.end_section()

    def read_line(self, start: int, end: int) -> None:
        """Read one line."""
        request = REQUEST.match(self.text, start, end)
        name = (request[1] or "") if request else ""
        if self.depth:
            self.depth += self.text.count("\\{", start, end) - self.text.count("\\}", start, end)
            self.depth = max(0, self.depth)
            return
        if self.until:
            if request and name in self.until or self.text[start:end].rstrip() == "..":
                self.until = ()
            return
        if self.table >= 0:
            self.table_line(start, end, name)
        elif request and self.text[start] in ".'":
            self.request(name, start, request.end(), end)
        elif not self.text[start:end].strip():
            self.writer.request_break(BLANK_LINE)
        else:
            self.prose(start, end)

    def prose(self, start: int, end: int) -> None:
        """A line of text."""
        if not self.is_filled or self.text[start] in " \t":
            self.writer.request_break(NEWLINE)
            self.escaped(start, end, self.writer.write_exact)
            self.writer.request_break(NEWLINE)
        else:
            self.join_or_space()
            self.escaped(start, end, self.writer.write_slice)
        self.ended(start, end)

    def join_or_space(self) -> None:
        """A space before the line, unless the one before said that it goes on."""
        if not self.is_joined:
            self.writer.request_break(SPACE)
        self.is_joined = False

    def ended(self, start: int, end: int) -> None:
        """A line that writes has ended: so do a tag and a title on the line after."""
        self.is_joined = self.text.endswith("\\c", start, end)
        if self.is_joined:
            self.writer.requested_break = 0
        else:
            self.writer.request_break(SPACE)
        if self.heading:
            self.end_heading(*self.heading)
        if self.hanging:
            self.hanging -= 1
            if not self.hanging:
                self.writer.request_break(NEWLINE)

    def escaped(self, start: int, end: int, write: Callable[[int, int], None]) -> None:
        """Write a slice with its escapes read."""
        at = start
        for escape in ESCAPE.finditer(self.text, start, end):
            write(at, escape.start())
            at = escape.end()
            if put := _escape_text(escape):
                self.writer.write_replacement(escape.start(), at, put)
        write(at, end)

    def request(self, name: str, start: int, at: int, end: int) -> None:
        """A line that begins with a point."""
        if name in ("SH", "SS", "Sh", "Ss"):
            self.open_heading(name, at, end)
        elif name in ("TH", "Dt", "Dd", "Os"):
            self.title(name, at, end)
        elif name in SKIPPED:
            said = self.text[at:end].strip()
            if name == "so":
                self.target = said
            elif name in ("de", "am"):
                self.defined.add(said.split(" ")[0])
            self.until = SKIPPED[name]
        elif name == "TS":
            self.writer.request_break(BLANK_LINE)
            self.table, self.in_format = self.writer.next_offset(), True
        elif name in ("nf", "EX", "Vb", "fi", "EE", "Ve", "Bd", "Ed"):
            self.is_filled = name in ("fi", "EE", "Ve", "Ed")
            self.writer.request_break(BLANK_LINE if name in ("EX", "EE", "Bd", "Ed") else NEWLINE)
        elif name in BREAKS:
            self.writer.request_break(BREAKS[name])
            if name in ("TP", "TQ"):
                self.hanging = 1
            elif name in ("IP", "HP", "OP", "SY"):
                self.words(at, end, 1)
                self.writer.request_break(NEWLINE if name == "IP" else SPACE)
        elif name in FONTS:
            self.fonts(name, at, end)
        elif name in ("if", "ie", "el", "while"):
            self.conditional(name, at, end)
        elif name in MDOC or name in MDOC_WORDS or name.startswith("%"):
            self.mdoc(name, start, at, end)
        elif len(name) == 2 and name.isupper() and name not in (IGNORED | self.defined):
            self.words(at, end, 20)  # a macro of another package: its words stay
            self.ended(start, end)

    def title(self, name: str, at: int, end: int) -> None:
        """What the page says of itself."""
        words = [self.plain(a, b) for a, b in self.split(at, end)]
        self.is_manual = self.is_manual or name in ("TH", "Dt")
        if name == "Dd":
            self.facts["date"] = " ".join(words)
        elif name in ("TH", "Dt") and words:
            self.facts["title"] = self.name = words[0]
            self.facts |= dict(zip(("section", "date"), words[1:3], strict=False))

    def open_heading(self, name: str, at: int, end: int) -> None:
        """A section begins, its title here or on the next line."""
        self.writer.request_break(BLANK_LINE)
        self.is_filled, self.hanging = True, 0
        if name in ("SH", "Sh"):
            self.end_section()
        start = self.writer.next_offset()
        self.heading = ("2" if name in ("SH", "Sh") else "3", start)
        if self.text[at:end].strip():
            self.words(at, end, 40)
            self.end_heading(*self.heading)

    def end_heading(self, level: str, start: int) -> None:
        """The title has been written."""
        self.heading = None
        self.writer.add_span("heading", start, level)
        self.writer.request_break(BLANK_LINE)
        title = self.plain_since(start).upper()
        if level == "2" and title in self.asides:
            self.section_aside = start

    def plain_since(self, start: int) -> str:
        """What was written since a place that is not far back."""
        text = ""
        for a, b, put in self.writer.parts.last_parts(50):
            text = (self.writer.source.text[a:b] if put is None else put) + text
        return text[len(text) - (self.writer.length - start) :].strip()

    def end_section(self) -> None:
        """The section that was to go aside is complete."""
        if self.section_aside >= 0:
            self.writer.mark_for_metadata("sections", self.section_aside, "apparatus section")
        self.section_aside = -1

    def split(self, at: int, end: int) -> list[tuple[int, int]]:
        """Where the words of a request's arguments stand, quotes taken off."""
        found = []
        for word in WORD.finditer(self.text, at, end):
            if word[0].startswith('\\"'):
                break
            found.append(word.span(1) if word[1] is not None else word.span(2))
        return found

    def plain(self, start: int, end: int) -> str:
        """A slice with its escapes read."""
        return ESCAPE.sub(_escape_text, self.text[start:end]).replace('""', '"').strip()

    def words(self, at: int, end: int, limit: int) -> None:
        """Write words with spaces between."""
        for start, stop in self.split(at, end)[:limit]:
            self.escaped(start, stop, self.writer.write_slice)
            self.writer.request_break(SPACE)

    def fonts(self, name: str, at: int, end: int) -> None:
        """A font macro: words apart, or joined when fonts alternate."""
        spans = self.split(at, end)
        joined = FONTS[name]
        if self.is_filled or self.is_joined:
            self.join_or_space()
        else:
            self.writer.request_break(NEWLINE)
        for start, stop in spans:
            self.escaped(start, stop, self.writer.write_slice)
            if not joined:
                self.writer.request_break(SPACE)
        if not spans:
            return
        if not self.is_filled:
            self.writer.request_break(NEWLINE)
        self.ended(at, end)

    def conditional(self, name: str, at: int, end: int) -> None:
        """`.if n` and `.el` go on with the rest of the line; other branches are skipped."""
        rest = self.text[at:end].lstrip()
        test, _, body = rest.partition(" ") if name != "el" else ("n", "", rest)
        is_true = test in ("n", "!t", "e", "o")
        if "\\{" in rest:
            if not is_true or name == "el":
                self.depth = max(0, rest.count("\\{") - rest.count("\\}"))
        elif is_true and name != "el" and body.strip():
            start = end - len(body)
            while self.text[start] in " \t":
                start += 1
            self.nested += 1
            if self.nested < DEEP:
                self.read_line(start, end)
            self.nested -= 1

    def table_line(self, start: int, end: int, name: str) -> None:
        """A line of a table."""
        if name == "TE":
            if not self.keeps_tables:
                self.writer.mark_for_metadata("tables", self.table, "table")
            self.writer.add_span("table", self.table)
            self.table = -1
            self.writer.request_break(BLANK_LINE)
        elif self.in_format:
            self.in_format = not self.text[start:end].rstrip().endswith(".")
        elif not name and self.text[start : start + 1] not in (".", "'", "_", "="):
            at = start
            while at <= end:
                stop = self.text.find("\t", at, end)
                stop = end if stop < 0 else stop
                self.escaped(at, stop, self.writer.write_slice)
                self.writer.request_break(TAB)
                at = stop + 1
            self.writer.requested_break = NEWLINE

    def mdoc(self, name: str, start: int, at: int, end: int) -> None:
        """A line of mdoc: its words, with macros among them."""
        if name in MDOC and MDOC[name] is not None:
            strength = MDOC[name]
            if strength:
                self.writer.request_break(strength)
            if name in ("Bl", "El", "Pp", "Lp", "Rs", "Re"):
                return
        closers: list[str] = []
        calls = [(start, at, name)]
        calls += [(a, b, self.text[a:b]) for a, b in self.split(at, end)]
        self.no_space = False
        self.writer.request_break(SPACE)
        is_listing = name in ("It", "Bl")
        for number, (a, b, word) in enumerate(calls):
            macro = MDOC_WORDS.get(word) if len(word) in (2, 3) else None
            if number == 0 and macro is None:
                continue
            if macro is None:
                if calls[number - 1][2] == "Xr" or (number > 1 and calls[number - 2][2] == "Xr"):
                    self.cross_reference(a, b, word, calls[number - 1][2] == "Xr")
                elif word not in ("-nosplit", "-split"):
                    self.mdoc_word(a, b, word)
                continue
            self.mdoc_call(word, macro, (a, b), closers)
            if word in ("Nm", "Ar") and not self.followed(calls, number):
                self.put(a, b, self.name.lower() if word == "Nm" else "file ...")
        for closer in reversed(closers):
            self.close_mark(end, closer)
        if is_listing:
            self.writer.request_break(NEWLINE)
        self.ended(start, end)

    def cross_reference(self, start: int, end: int, word: str, is_name: bool) -> None:
        """`Xr open 2` prints open(2)."""
        if is_name or not re.fullmatch(r"\d\w{0,9}", word):
            self.mdoc_word(start, end, word)
            return
        self.writer.requested_break = 0
        self.writer.write_replacement(start, end, f"({word})")
        self.writer.request_break(SPACE)

    def followed(self, calls: list[tuple[int, int, str]], number: int) -> bool:
        """Whether a macro has a word of its own after it."""
        rest = calls[number + 1 : number + 2]
        return (
            bool(rest) and rest[0][2] not in MDOC_WORDS and rest[0][2] not in (".", ",", ")", ";")
        )

    def mdoc_word(self, start: int, end: int, word: str) -> None:
        """A word of mdoc; closing punctuation joins the word before."""
        if word in (".", ",", ";", ":", ")", "]", "?", "!"):
            self.writer.requested_break = 0
            self.escaped(start, end, self.writer.write_slice)
            self.writer.request_break(SPACE)
            return
        if self.no_space:
            self.writer.requested_break = min(self.writer.requested_break, 0)
        self.no_space = word in ("(", "[")
        self.escaped(start, end, self.writer.write_slice)
        if not self.no_space:
            self.writer.request_break(SPACE)

    def mdoc_call(
        self, word: str, macro: tuple[str, str], place: tuple[int, int], closers: list[str]
    ) -> None:
        """A macro of mdoc: what it puts before and after its words."""
        before, after = macro
        if word == "Ns":
            self.writer.requested_break = 0
            self.no_space = True
            return
        if word in ("Oc", "Xc", "Dc", "Pc", "Qc", "Sc", "Bc", "Ac", "Brc", "Fc"):
            self.close_mark(place[1], after)
            return
        if before:
            self.put(*place, before)
            self.no_space = before[-1] in '[(“‘<{-"’'
        if after and not word.endswith("o"):
            closers.append(after)

    def put(self, start: int, end: int, text: str) -> None:
        """Write a text for a macro."""
        if self.no_space:
            self.writer.requested_break = 0
            self.no_space = False
        self.writer.write_replacement(start, start, text)
        if not text.endswith(("[", "(", "“", "‘", "<", "-", '"')):
            self.writer.request_break(SPACE)

    def close_mark(self, place: int, mark: str) -> None:
        """Write a closing mark next to the word before."""
        self.writer.requested_break = 0
        at = self.writer.parts.end
        self.writer.write_replacement(at, at, mark)
        self.writer.request_break(SPACE)


def _escape_text(escape: re.Match[str]) -> str:
    """What an escape prints."""
    name = escape["long"] or escape["pair"]
    if name:
        if name.startswith("u") and re.fullmatch(r"u[0-9A-F]{4,6}", name):
            code = int(name[1:], 16)
            return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""
        return CHARACTERS.get(name, "")
    if escape["number"]:
        code = int(escape["number"])
        return chr(code) if 32 <= code < 0x110000 and not 0xD800 <= code < 0xE000 else ""
    string = escape["string"] or escape["short"] or escape["one"]
    if string:
        return STRINGS.get(string, "")
    return ESCAPED.get(escape["sign"] or "", "")
