"""What a mail says itself: quotes, attribution lines, signatures, footers and PGP blocks set apart.

Lines are judged, not guessed from layout alone: a quote has a mark before it (`>`, or any mark that
follows an attribution line), a signature its delimiter (RFC 3676, section 4.3), a footer stands at
the end and speaks of lists, advertisements or confidentiality. Closings and first names are text.
Knows nothing of headers or threads; see threads.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .mail_ends import mark_footers, mark_signatures, mark_unmarked_signature
from .mail_lines import (
    ADDRESS,
    ATTRIBUTION,
    BAR,
    BRACKETED,
    CITED,
    DASHES,
    DELIMITER,
    ENDED,
    FORWARDED,
    HEADER,
    LONG_LINE,
    MARK,
    ORIGINAL_HEADER,
    PGP,
    PROMPT,
    PROMPTED,
    QUOTED,
    REPLY,
    RULE,
    SNIPPED,
    STARTS,
    SUPERCITED,
    VERBS,
)

LINE = re.compile(r"[^\n]*\n|[^\n]+$")
FULL_LINE, SHORT_REST, MAX_HEADERS = 60, 25, 15
WORDS_OF = {
    "a": "attribution",
    "q": "quoted text",
    "s": "signature",
    "f": "footer",
    "p": "PGP block",
}


class MailConfig(Config):
    """What is set apart in a mail."""

    quotes: Literal["aside", "remove", "keep"] = "aside"
    """Quoted lines and their attributions. `keep` leaves both."""
    signatures: Literal["aside", "remove", "keep"] = "remove"
    """Signatures: they are personal data, so by default they go."""
    max_signature_lines: int = 15
    """Lines after a delimiter that still count as a signature. Source: RFC 3676 calls four lines
    customary; the longest of our development mails had nine, doubled less three."""
    max_footer_lines: int = 14
    """Lines of a footer's paragraph; a longer one is a text. Source: development mails, 9 at
    most."""
    drop_empty: bool = True
    """Drop a mail in which nothing new was written."""


class Judged(NamedTuple):
    """A line and what it is: `a`, `q`, `s`, `f`, `p`, or empty for text."""

    start: int
    end: int
    kind: str


class Mail:
    """Step `conversations.mail`: what a mail's author wrote."""

    def __init__(self, config: MailConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Set apart what was not written for this mail."""
        lines = judge_lines(record.text, self.config, is_reply(record.metadata))
        edits = tuple(self.edits(lines))
        if not edits:
            return PASS
        gone = sum(edit.end - edit.start for edit in edits)
        kept = [record.text[line.start : line.end] for line in lines if not line.kind]
        if self.config.drop_empty and not "".join(kept).strip():
            return Ruling(
                "mail: nothing new written", details=f"{gone} characters quoted or signed"
            )
        share = gone / max(1, len(record.text))
        return Ruling(edits=edits, metadata={"quoted_share": round(share, 4)})

    def edits(self, lines: list[Judged]) -> Iterator[Edit]:
        """Yield one edit for every run of lines of a kind."""
        fates = {
            "a": self.config.quotes, "q": self.config.quotes, "s": self.config.signatures,
            "f": "remove", "p": "remove",
        }  # fmt: skip
        shelves = {"a": "attributions", "q": "quotes", "s": "signatures"}
        at = 0
        while at < len(lines):
            kind, first = lines[at].kind, at
            while at < len(lines) and lines[at].kind == kind:
                at += 1
            fate = fates.get(kind, "keep")
            if fate != "keep":
                shelf = shelves[kind] if fate == "aside" else ""
                yield Edit(lines[first].start, lines[at - 1].end, WORDS_OF[kind], aside=shelf)


def is_reply(metadata: Mapping[str, Any]) -> bool:
    """Whether a mail's headers or its subject say that it answers another.

    >>> is_reply({"Subject": "Re: tea"}), is_reply({"subject": "Reports"})
    (True, False)
    >>> is_reply({"format": "mail", "title": "[tea] Re: cups"})
    True
    """
    known = {key.lower().replace("-", "_"): value for key, value in metadata.items()}
    if known.get("in_reply_to") or known.get("references"):
        return True
    subject = subject_of(known)
    while (found := REPLY.match(subject)) and "]" in found[0] and ":" not in found[0]:
        subject = subject[found.end() :]  # the list's name
    return found is not None


def subject_of(known: Mapping[str, Any]) -> str:
    """A mail's subject, which a reader of mails calls the title."""
    title = known.get("title") if known.get("format") == "mail" else ""
    return f"{known.get('subject') or title or ''}"


def judge_lines(text: str, config: MailConfig, is_reply: bool = False) -> list[Judged]:
    """What each line of a mail is; a reply may quote without marks."""
    places = [found.span() for found in LINE.finditer(text)]
    lines = [text[start:end].rstrip("\r\n") for start, end in places]
    kinds = [""] * len(lines)
    mark_pgp(lines, kinds)
    mark_quotes(without_prompts(lines), kinds)
    mark_signatures(lines, kinds, config.max_signature_lines)
    mark_footers(lines, kinds, config.max_footer_lines)
    mark_unmarked_signature(lines, kinds)
    if is_reply:
        mark_below_rule(lines, kinds)
    fill_blanks(lines, kinds)
    return [Judged(*place, kind) for place, kind in zip(places, kinds, strict=True)]


def without_prompts(lines: list[str]) -> list[str]:
    """The lines with those that show a session with Python in other words: `>>>` is no quote there.

    >>> without_prompts(["See:", ">>> import os", ">>> os"]), without_prompts([">>> I think so"])
    (['See:', '$', '$'], ['>>> I think so'])
    """
    shown, at = list(lines), 0
    while at < len(lines):
        first = at
        while at < len(lines) and (QUOTED.match(lines[at]) or PROMPT.match(lines[at][:LONG_LINE])):
            at += 1
        run = [line[:LONG_LINE] for line in lines[first:at]]
        if any(map(PROMPT.match, run)) and all(PROMPT.match(x) or PROMPTED.match(x) for x in run):
            shown[first:at] = ["$"] * len(run)
        at = max(at, first + 1)
    return shown


def mark_pgp(lines: list[str], kinds: list[str]) -> None:
    """Signatures, keys and the lines that open a signed message."""
    closer = ""
    for at, line in enumerate(lines):
        if closer:
            kinds[at] = "p"
            if (
                closer == "blank"
                and not line.strip()
                or closer != "blank"
                and line.startswith(closer)
            ):
                closer = ""
        elif line.startswith("-----BEGIN PGP") and (found := PGP.match(line)):
            kinds[at] = "p"
            signed = found[1] == "SIGNED MESSAGE"
            closer = "blank" if signed else f"-----END PGP {found[1]}-----"
    if closer not in ("", "blank"):  # it never ends: then it is no block
        for at in range(len(lines)):
            kinds[at] = "" if kinds[at] == "p" else kinds[at]


def mark_quotes(lines: list[str], kinds: list[str]) -> None:
    """Quoted lines, then the attribution above each block."""
    cites = any(SUPERCITED.match(line[:LONG_LINE]) for line in lines)
    for at, line in enumerate(lines):
        if not kinds[at] and (QUOTED.match(line) or cites and CITED.match(line)):
            kinds[at] = "a" if SUPERCITED.match(line[:LONG_LINE]) else "q"
    for at in range(1, len(lines) - 1):  # the rest of a quoted line that was broken
        if kinds[at - 1 : at + 2] == ["q", "", "q"] and 0 < len(lines[at].strip()) <= SHORT_REST:
            kinds[at] = "q" if len(lines[at - 1]) >= FULL_LINE else ""
    bars = [bool(BAR.match(line[:LONG_LINE])) for line in lines]
    for at in range(len(lines) - 2):
        if bars[at] and bars[at + 1] and bars[at + 2]:
            for one in range(at, at + 3):
                kinds[one] = kinds[one] or "q"
    for at in range(len(lines)):
        if not kinds[at] and FORWARDED.match(lines[at][:LONG_LINE]):
            mark_forwarded(lines, kinds, at)
    mark_unannounced(lines, kinds)
    mark_attributions(lines, kinds)
    mark_snips(lines, kinds)


def mark_attributions(lines: list[str], kinds: list[str]) -> None:
    """The line above each quote; a mark that it shows to be one makes its lines quotes."""
    marks = set()
    for at in range(len(lines)):
        following = next(
            (one for one in range(at + 1, min(at + 4, len(lines))) if lines[one].strip()), 0
        )
        if kinds[at] or not following or not lines[at].strip():
            continue
        if mark_headers(lines, kinds, at, following) or is_attribution(lines, at, following, kinds):
            kinds[at] = "a"
            before = lines[at - 1] if at else ""
            short = not STARTS.match(lines[at].lstrip())
            if (
                at
                and short
                and not kinds[at - 1]
                and STARTS.match(before)
                and len(before) < LONG_LINE
            ):
                kinds[at - 1] = "a"
            if not kinds[following] and (mark := MARK.match(lines[following])):
                marks.add(mark[0].strip())
    if marks:
        for at, line in enumerate(lines):
            found = MARK.match(line)
            if not kinds[at] and found and found[0].strip() in marks:
                kinds[at] = "q"


def mark_headers(lines: list[str], kinds: list[str], at: int, following: int) -> bool:
    """Two or more headers right above a quote attribute it; returns whether the last is at `at`."""
    if not is_header(lines[at]) or not (kinds[following] == "q" or MARK.match(lines[following])):
        return False
    first = at
    while first > max(0, at - MAX_HEADERS) and is_header(lines[first - 1]):
        first -= 1
    if first == at or not any(line.lstrip().startswith("From:") for line in lines[first : at + 1]):
        return False
    kinds[first:at] = ["a"] * (at - first)
    return True


def is_header(line: str) -> bool:
    """Whether a line is a header, perhaps set in."""
    return HEADER.match(line[:LONG_LINE].lstrip()) is not None


def mark_snips(lines: list[str], kinds: list[str]) -> None:
    """Lines such as `[snip]` next to a quote say what was left out of it."""
    said = [at for at, line in enumerate(lines) if line.strip()]
    for number, at in enumerate(said):
        if not kinds[at] and SNIPPED.match(lines[at][:LONG_LINE]):
            near = said[max(0, number - 1) : number + 2]
            if any(kinds[one] == "q" and abs(one - at) <= 2 for one in near):
                kinds[at] = "q"


def mark_below_rule(lines: list[str], kinds: list[str]) -> None:
    """A reply that marks nothing and has a line of dashes quotes what stands below the line."""
    if "q" in kinds or "a" in kinds:
        return
    rules = [at for at, line in enumerate(lines) if not kinds[at] and DASHES.match(line)]
    if not rules:
        return
    above = any(line.strip() for line in lines[: rules[0]])
    below = [at for at in range(rules[0], len(lines)) if not kinds[at]]
    if above and any(lines[at].strip() for at in below[1:]):
        for at in below:
            kinds[at] = "q"


def mark_forwarded(lines: list[str], kinds: list[str], at: int) -> None:
    """The original below the line that announces it; one that has no marks goes to its end."""
    one = at + 1
    while one < len(lines) and not lines[one].strip():
        one += 1
    end = headers_end(lines, one)
    if end > one:
        mark_original(lines, kinds, at, end, end - one)


def headers_end(lines: list[str], at: int) -> int:
    """One past a block of headers and the lines that continue them; `at` if there is none."""
    end = at
    while end < len(lines) and (
        HEADER.match(lines[end][:LONG_LINE]) or (end > at and lines[end][:1] in (" ", "\t"))
    ):
        end += 1
    return end


def mark_unannounced(lines: list[str], kinds: list[str]) -> None:
    """A paragraph of headers that begins with From forwards or quotes what follows."""
    at = 0
    while at < len(lines):
        end = originals_end(lines, at)
        is_alone = at == 0 or not lines[at - 1].strip() or RULE.match(lines[at - 1][:LONG_LINE])
        if end > at and is_alone and not kinds[at] and end < len(lines):
            mark_original(lines, kinds, at, end, 3)
        at = max(end, at + 1)


def originals_end(lines: list[str], at: int) -> int:
    """One past the headers of an original, in any known language; `at` if there are none.

    They name its author, tell its date, and whom it went to or what it is about.
    """
    roles: list[str] = []
    end, last = at, min(len(lines), at + 2 * MAX_HEADERS)
    while end < last:
        line = lines[end][:LONG_LINE]
        if found := ORIGINAL_HEADER.match(line):
            roles.append(found.lastgroup or "")
        elif not HEADER.match(line) and (end == at or line[:1] not in (" ", "\t")):
            break
        end += 1
    if not {"from", "sent"} <= set(roles) or not {"to", "subject"} & set(roles):
        return at
    is_whole = "subject" in roles and (end == len(lines) or not lines[end].strip())
    return end if roles[0] == "from" or is_whole else at


def mark_original(lines: list[str], kinds: list[str], at: int, body: int, headers: int) -> None:
    """Headers are an attribution, what stands below them is quoted."""
    kinds[at:body] = ["a"] * (body - at)
    end = next((one for one in range(body, len(lines)) if ENDED.match(lines[one])), -1)
    following = next((one for one in range(body, len(lines)) if lines[one].strip()), body)
    if end < 0 and following < len(lines) and kinds[following] == "q":
        return  # its lines are marked
    for one in range(body, len(lines) if end < 0 else end + 1):
        if end < 0 and DELIMITER.match(lines[one]) and headers < 2:
            break
        kinds[one] = kinds[one] or "q"


def is_attribution(lines: list[str], at: int, following: int, kinds: list[str]) -> bool:
    """Whether a line says who is quoted below it."""
    line = lines[at].strip()
    if len(line) > LONG_LINE:
        return False
    marked = kinds[following] == "q"
    if not marked and not (MARK.match(lines[following]) and following <= at + 2):
        return False
    if line.startswith(("[", "* ")):
        return marked and bool(BRACKETED.match(line))
    if line[-1] not in ":;," and not (marked and re.search(rf"\b(?:{VERBS})\b", line[-40:])):
        return bool(re.search(ADDRESS, line)) and marked and bool(STARTS.match(line))
    verb = re.search(rf"\b(?:{VERBS})\b", line)
    return (
        bool(ATTRIBUTION.match(line))
        and (line[-1] != "," or bool(verb))
        and (marked or bool(verb) or bool(STARTS.match(line)))
    )


def fill_blanks(lines: list[str], kinds: list[str]) -> None:
    """Empty lines between two lines of a kind are of that kind; those after a footer go with it."""
    before, blanks = "", []
    for at, line in enumerate(lines):
        if not line.strip() and not kinds[at]:
            blanks.append(at)
            continue
        if kinds[at] and kinds[at] == before:
            for one in blanks:
                kinds[one] = before
        before, blanks = kinds[at], []
    for one in blanks:
        kinds[one] = before
