"""Manual pages read as prose: man(7) and mdoc(7), formatted by the program mandoc.

mandoc writes HTML, which markup.py reads; a page is foreign input, so mandoc runs without a shell
in an empty folder (`.so` finds no file there), with limits on time and output. Title, section and
date are in the metadata; tables and the sections on authors and copyright are moved there. Every
line is aligned to the source that it was formatted from (web/alignment.py); text that only a macro
holds, such as `Fl h` for -h, has an empty range there.
"""

import re
import shutil
import tempfile
from bisect import bisect_left, bisect_right

from groundup.core import Config, ConfigError

from ..document import SourceMap
from ..markup import Markup, read_html
from ..readers.encodings import compose_maps
from ..readers.reader import ProgramLimits, Refused, run_program
from ..record import ExtractedText, Record, StepResult, TextSpan
from ..web.alignment import align_to_page
from .writer import MarkedSlice, metadata_edits, record_source

COMMAND = ("mandoc", "-K", "utf-8", "-T", "html", "-O", "fragment")
LIMITS = ProgramLimits(20, 64 * 2**20)
POINTER = re.compile(r"(?m)^\.[ \t]*so[ \t]+(\S+)")
MAX_POINTER_CHARACTERS = 2_000
PAGE = re.compile(
    rb'"head-ltitle">(?P<title>[^<]*)\((?P<section>[^<)]*)\)<.*?<div class="manual-text">'
    rb'(?P<body>.*)</div>\s*<table class="foot">.*?"foot-date">(?P<date>[^<]*)<',
    re.DOTALL,
)
PREFORMATTED = re.compile(rb"<pre>.*?</pre>", re.DOTALL)
TABLE = re.compile(rb'<table class="tbl".*?</table>', re.DOTALL)
ROFF = re.compile(
    r"(?m)^[.'][ \t]*[A-Za-z%]{0,12}|\\(?=[-.'`_~ e\\])|[<&]"
    r"|\\(?:[\"#].*|[fFkMmgYns*]?(?:\[[^\]\n]{0,60}\]|\(..)|[fFkMmgYn*].|s[-+]?\d\d?|.)"
)
"""Requests and escapes, which are no text."""


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
        if shutil.which("mandoc") is None:
            raise ConfigError(
                "articles.manual needs the program mandoc, which is not installed; on Debian or "
                "Ubuntu run: apt-get install mandoc"
            )
        self.config = config
        self.asides = frozenset(title.upper() for title in config.aside)

    def __call__(self, record: Record) -> StepResult:
        """Extract the text; a page that only points to another one is dropped."""
        try:
            source = record_source(record)
            pointer = POINTER.search(source.text)
            if pointer and len(source.text) < MAX_POINTER_CHARACTERS:
                return StepResult("manual: points to another page", details=pointer[1][:200])
            with tempfile.TemporaryDirectory() as empty:
                data = source.text.encode("utf-8", "replace")
                html, _ = run_program(COMMAND, LIMITS, data=data, folder=empty)
        except Refused as refused:
            return StepResult(refused.reason, details=refused.details)
        page = PAGE.search(html)
        if page is None or not page["title"]:
            return StepResult("manual: not a manual page", details=source.text[:80])
        body = PREFORMATTED.sub(lambda pre: pre[0].replace(b"<br/>\n", b""), page["body"])
        markup = read_html(body)
        text = markup.map.text
        if not text.strip():
            return StepResult("manual: no prose")
        moved = list(self._moved_sections(markup))
        # Sections have level 2, since the page's name is level 1, and their parts level 3.
        top = markup.headings[0].level if markup.headings else 1
        spans = [
            TextSpan("heading", h.start, h.end, str(2 + h.level - top)) for h in markup.headings
        ]
        for start, end in _text_ranges(markup.map, TABLE, body):
            spans.append(TextSpan("table", start, end))
            if not self.config.tables and not any(m.start <= start < m.end for m in moved):
                moved.append(MarkedSlice("tables", start, end, "table"))
        bare = ROFF.sub(lambda mark: " " * len(mark[0].encode()), source.text)  # as many bytes
        title = {name: read_html(page[name]).map.text for name in ("title", "section", "date")}
        return StepResult(
            edits=tuple(metadata_edits(text, moved)),
            metadata={name: value for name, value in title.items() if value},
            extracted=ExtractedText(
                compose_maps(align_to_page(text, bare).map, source), tuple(spans)
            ),
        )

    def _moved_sections(self, markup: Markup) -> "list[MarkedSlice]":
        text = markup.map.text
        tops = [h for h in markup.headings if h.level == markup.headings[0].level]
        ends = [*(h.start for h in tops[1:]), len(text)][: len(tops)]
        return [
            MarkedSlice("sections", top.start, len(text[:end].rstrip()), "apparatus section")
            for top, end in zip(tops, ends, strict=True)
            if " ".join(text[top.start : top.end].split()).upper() in self.asides
        ]


def _text_ranges(map: SourceMap, element: re.Pattern[bytes], html: bytes) -> list[tuple[int, int]]:
    segments = [s for s in map.segments if map.text[s.start : s.end].strip()]
    starts = [segment.byte_start for segment in segments]
    ranges = []
    for match in element.finditer(html):
        first, last = bisect_left(starts, match.start()), bisect_right(starts, match.end()) - 1
        if first <= last:
            ranges.append((segments[first].start, segments[last].end))
    return ranges
