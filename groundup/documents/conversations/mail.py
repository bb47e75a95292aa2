"""Mail bodies: separate the author's text from quotes, attributions, signatures, footers and PGP.

A quote has a prefix (`>`, or any prefix that follows an attribution line), a signature has its
delimiter (RFC 3676, section 4.3), a footer stands at the end and is about lists, advertisements or
confidentiality. Closings and first names are text. Threads are in corpus/threads.py.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal, NamedTuple

from groundup.core import Config

from ..record import PASS, Record, StepResult, TextEdit
from .mail_ends import (
    ADDRESS,
    DELIMITER,
    LONG_LINE,
    PHRASES,
    RULE,
    mark_footers,
    mark_signatures,
    mark_unmarked_signature,
)

QUOTE_PREFIX = re.compile(r"[ \t]{0,3}[`']?>|[ \t]{0,8}[A-Za-z]{1,4}>(?= )")
LINE_PREFIX = re.compile(r"[ \t]{0,6}(?:[A-Za-z]{0,4}>|--?\]|[|:)}\]](?=[ \t\n]))")
NAMED_QUOTE_PREFIX = re.compile(r"[ \t]{1,8}[A-Z]\w{0,15}>(?= )")
"""A line quoted under its author's name, if a first line announces that form."""
BAR_PREFIX = re.compile(r"[ \t]{0,4}\|(?: .*[^|\s]| ?)\s*$")
ATTRIBUTION_VERBS = "|".join(PHRASES["attribution_verbs"])
DATE = (
    r"(?:\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}-\d\d-\d\d|\b\d{1,2}\.? [A-Z]\w{2,8}\.? \d{4}\b"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*,?|\d{4}年\d{1,2}月\d{1,2}日)"
)
NAME = r"[A-Z][\w.'’-]{0,30}(?: [A-Z][\w.'’-]{0,30}){0,3}"
NOT_NAMES = "|".join(PHRASES["not_names"])
DATE_PREPOSITIONS = "On|At|Le|Am|El|Il|Op|Den|Em"
ATTRIBUTION = re.compile(
    rf"(?:.{{0,200}}\b(?:{ATTRIBUTION_VERBS})\b.{{0,80}}"
    rf"|(?:--?\s?)?(?:{DATE_PREPOSITIONS}|W "
    rf"dniu)\b.{{0,160}}{DATE}.{{0,160}}|.{{0,160}}{ADDRESS}.{{0,60}}"
    rf"|(?-i:(?!{NOT_NAMES}\b){NAME})(?: \w{{2,14}}(?:ed|es|ays|ote|aid))?"
    r"|Quoting .{1,120})[ \t]*\*?[:;,]?[ \t]*$",
    re.IGNORECASE,
)
ATTRIBUTION_START = re.compile(
    rf"(?:--?\s?)?(?:{DATE_PREPOSITIONS}|In article|In message)\b", re.IGNORECASE
)
BRACKETED_NAME = re.compile(
    rf"\[{NAME}\][ \t]*:?[ \t]*$|\* .{{2,60}} \[\d{{4}}-.{{2,40}}\]:?[ \t]*$"
)
SUPERCITE_START = re.compile(r">{2,}[ \t]*\S.{0,120}(?:writes|wrote|said):?[ \t]*$")
FORWARDED = re.compile(
    r"-{3,}[ \t]{0,3}(?:Original Message|Forwarded (?:by|message)|begin(?:ning of)? forwarded|"
    r"Ursprüngliche Nachricht|Message d'origine|Mensaje original)\b.*|Begin forwarded message:",
    re.IGNORECASE,
)
ELLIPSIS = re.compile(
    r"[ \t]*(?:[\[<(*-]{1,3}[ /]?(?:snip\w*|cut|\.{2,5}|…)[^\w\n]{0,6}.{0,20}|\.{3,5}|…)[ \t]*$",
    re.IGNORECASE,
)
DASHES = re.compile(r"[ \t]*-{8,}[ \t]*$")
ORIGINAL_END = re.compile(r"-{3,}[ \t]{0,3}End(?: of)? (?:forwarded|original)\b", re.IGNORECASE)
PGP = re.compile(r"-----BEGIN PGP (SIGNED MESSAGE|SIGNATURE|PUBLIC KEY BLOCK|MESSAGE)-----")
HEADER = re.compile(r"[*]?(?:[A-Z][\w-]{1,20}|Reply-To|Message-ID)[*]?:[ \t]")
ORIGINAL_HEADER = re.compile(
    "[ \\t]{0,3}\\*{0,2}(?:"
    + "|".join(
        f"(?P<{role}>{'|'.join(names)})" for role, names in PHRASES["original_headers"].items()
    )
    + ")[ \u00a0]?\\*{0,2}(?:：|:\\*{0,2}(?:[ \u00a0\\t]|$))"
)
PYTHON_INPUT = re.compile(
    r"[ \t]{0,8}>>> ?(?:(?:import|from) [\w.]+(?:$|,| as | import )|(?:def|class|for|while|if|with"
    r"|try|async)\b.*:[ \t]*(?:\S.*)?$|(?:return|raise|assert|del|print) [\w.\"']+$|@\w"
    r"|[\w.]+(?:\[[^\]]{1,80}\])?(?:, ?\w+)* ?[-+*/|&%]?=(?!=) ?\S|[\w.]+\([^ )]*[,)\"' ]"
    r"|[\[{][\d\"'][^a-z]|-?\d[\d .+*/%()-]*$|[\"'].{0,200}[\"'\])][ \t]*$)"
)
"""A line typed at Python's prompt that cannot be a quoted sentence."""
POSSIBLE_PYTHON_INPUT = re.compile(
    r"[ \t]{0,8}>>>(?:[ \t]*[\w.]*|[ \t]+[\w.]+[ \t]*[<>=+*/%-]{1,2}[ \t]*[\w.]+)[ \t]*$"
)
"""A line that may be Python input next to one that certainly is."""
REPLY_PREFIX = re.compile(
    r"\s*(?:(?:re|aw|antw|sv|vs|fwd?|wg|tr|rv|odp|回复|答复)(?:\[\d{1,3}\])?\s*[:：]"
    r"|\[[^\]\n]{1,40}\])\s*",
    re.IGNORECASE,
)
LINE = re.compile(r"[^\n]*\n|[^\n]+$")
FULL_LINE_LENGTH, MAX_REMAINDER_LENGTH, MAX_HEADERS = 60, 25, 15
KIND_REASONS = {"a": "attribution", "q": "quoted text", "s": "signature", "f": "footer",
                "p": "PGP block"}  # fmt: skip


class MailStepConfig(Config):
    """What is separated from a mail's text."""

    quotes: Literal["aside", "remove", "keep"] = "aside"
    """Quoted lines and their attributions: moved to the metadata, removed, or kept."""
    signatures: Literal["aside", "remove", "keep"] = "remove"
    """Signatures; removed by default because they are personal data."""
    max_signature_lines: int = 15
    """Maximum number of lines after a delimiter that count as a signature. Source: RFC 3676 calls
    four lines customary; the longest of the development mails had nine."""
    max_footer_lines: int = 14
    """Maximum number of lines of a footer paragraph. Source: development mails, 9 at most."""
    drop_empty: bool = True
    """Drop a mail without any new text."""


class ClassifiedLine(NamedTuple):
    """A line and its kind: `a`, `q`, `s`, `f`, `p` (see KIND_REASONS), or empty for text."""

    start: int
    end: int
    kind: str


class MailStep:
    """Step `conversations.mail`: keep what the mail's author wrote."""

    def __init__(self, config: MailStepConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Separate what was not written for this mail."""
        lines = classify_lines(record.text, self.config, is_reply(record.metadata))
        edits = tuple(self.edits_by_run(lines))
        if not edits:
            return PASS
        removed = sum(edit.end - edit.start for edit in edits)
        remaining = [record.text[line.start : line.end] for line in lines if not line.kind]
        if self.config.drop_empty and not "".join(remaining).strip():
            details = f"{removed} characters quoted or signed"
            return StepResult("mail: nothing new written", details=details)
        share = removed / max(1, len(record.text))
        return StepResult(edits=edits, metadata={"quoted_share": round(share, 4)})

    def edits_by_run(self, lines: list[ClassifiedLine]) -> Iterator[TextEdit]:
        """Yield one edit for every run of lines of the same kind."""
        quotes, signatures = self.config.quotes, self.config.signatures
        fates = {
            "": "keep",
            "a": quotes,
            "q": quotes,
            "s": signatures,
            "f": "remove",
            "p": "remove",
        }
        shelves = {"a": "attributions", "q": "quotes", "s": "signatures"}
        for kind, group in groupby(lines, key=lambda line: line.kind):
            run = list(group)
            if fates.get(kind, "keep") != "keep":
                shelf = shelves[kind] if fates[kind] == "aside" else ""
                reason = KIND_REASONS[kind]
                yield TextEdit(run[0].start, run[-1].end, reason, metadata_key=shelf)


def is_reply(metadata: Mapping[str, Any]) -> bool:
    """Whether headers or subject mark a mail as a reply.

    >>> is_reply({"Subject": "Re: tea"}), is_reply({"subject": "Reports"})
    (True, False)
    >>> is_reply({"format": "mail", "title": "[tea] Re: cups"})
    True
    """
    headers = {key.lower().replace("-", "_"): value for key, value in metadata.items()}
    if headers.get("in_reply_to") or headers.get("references"):
        return True
    title = headers.get("title") if headers.get("format") == "mail" else ""  # the mail reader's
    subject = f"{headers.get('subject') or title or ''}"
    while (match := REPLY_PREFIX.match(subject)) and "]" in match[0] and ":" not in match[0]:
        subject = subject[match.end() :]  # the list's name
    return match is not None


def classify_lines(
    text: str, config: MailStepConfig, is_reply: bool = False
) -> list[ClassifiedLine]:
    """Classify each line of a mail; a reply may quote without prefixes."""
    bounds = [match.span() for match in LINE.finditer(text)]
    lines = [text[start:end].rstrip("\r\n") for start, end in bounds]
    kinds = [""] * len(lines)
    _mark_pgp(lines, kinds)
    _mark_quotes(_mask_python_prompts(lines), kinds)
    mark_signatures(lines, kinds, config.max_signature_lines)
    mark_footers(lines, kinds, config.max_footer_lines)
    mark_unmarked_signature(lines, kinds)
    if is_reply:
        _mark_quote_below_rule(lines, kinds)
    _fill_blank_lines(lines, kinds)
    return [ClassifiedLine(*span, kind) for span, kind in zip(bounds, kinds, strict=True)]


def _mask_python_prompts(lines: list[str]) -> list[str]:
    """Replace lines of Python sessions, whose `>>>` is no quote prefix, by `$`.

    >>> _mask_python_prompts(["See:", ">>> import os", ">>> os"])
    ['See:', '$', '$']
    >>> _mask_python_prompts([">>> I think so"])
    ['>>> I think so']
    """
    shown, at = list(lines), 0
    while at < len(lines):
        first = at
        while at < len(lines) and (
            QUOTE_PREFIX.match(lines[at]) or PYTHON_INPUT.match(lines[at][:LONG_LINE])
        ):
            at += 1
        run = [line[:LONG_LINE] for line in lines[first:at]]
        if any(map(PYTHON_INPUT.match, run)) and all(
            PYTHON_INPUT.match(x) or POSSIBLE_PYTHON_INPUT.match(x) for x in run
        ):
            shown[first:at] = ["$"] * len(run)
        at = max(at, first + 1)
    return shown


def _mark_pgp(lines: list[str], kinds: list[str]) -> None:
    """Mark signatures, keys and the header lines of signed messages."""
    closer = ""
    for at, line in enumerate(lines):
        if closer:
            kinds[at] = "p"
            if not line.strip() if closer == "blank" else line.startswith(closer):
                closer = ""
        elif line.startswith("-----BEGIN PGP") and (match := PGP.match(line)):
            kinds[at] = "p"
            signed = match[1] == "SIGNED MESSAGE"
            closer = "blank" if signed else f"-----END PGP {match[1]}-----"
    if closer not in ("", "blank"):  # unterminated: not a block
        for at in range(len(lines)):
            kinds[at] = "" if kinds[at] == "p" else kinds[at]


def _mark_quotes(lines: list[str], kinds: list[str]) -> None:
    """Mark quoted lines, then the attribution above each block."""
    cites = any(SUPERCITE_START.match(line[:LONG_LINE]) for line in lines)
    for at, line in enumerate(lines):
        if not kinds[at] and (QUOTE_PREFIX.match(line) or cites and NAMED_QUOTE_PREFIX.match(line)):
            kinds[at] = "a" if SUPERCITE_START.match(line[:LONG_LINE]) else "q"
    for at in range(1, len(lines) - 1):  # the remainder of a quoted line that was wrapped
        is_wrapped = len(lines[at - 1]) >= FULL_LINE_LENGTH
        if is_wrapped and kinds[at - 1 : at + 2] == ["q", "", "q"]:
            kinds[at] = "q" if 0 < len(lines[at].strip()) <= MAX_REMAINDER_LENGTH else ""
    bars = [bool(BAR_PREFIX.match(line[:LONG_LINE])) for line in lines]
    for at in range(len(lines) - 2):
        if all(bars[at : at + 3]):
            kinds[at : at + 3] = [kind or "q" for kind in kinds[at : at + 3]]
    for at in range(len(lines)):
        if not kinds[at] and FORWARDED.match(lines[at][:LONG_LINE]):
            _mark_forwarded(lines, kinds, at)
    _mark_unannounced_originals(lines, kinds)
    _mark_attributions(lines, kinds)
    _mark_ellipses(lines, kinds)


def _mark_attributions(lines: list[str], kinds: list[str]) -> None:
    """Mark the line above each quote; a prefix that it introduces marks further lines as quotes."""
    marks = set()
    for at in range(len(lines)):
        following = next(
            (index for index in range(at + 1, min(at + 4, len(lines))) if lines[index].strip()), 0
        )
        if kinds[at] or not following or not lines[at].strip():
            continue
        is_header = _mark_headers(lines, kinds, at, following)
        if is_header or _is_attribution(lines, at, following, kinds):
            kinds[at] = "a"
            before = lines[at - 1] if at and not kinds[at - 1] else ""
            if len(before) < LONG_LINE and ATTRIBUTION_START.match(before):
                if not ATTRIBUTION_START.match(lines[at].lstrip()):
                    kinds[at - 1] = "a"
            if not kinds[following] and (mark := LINE_PREFIX.match(lines[following])):
                marks.add(mark[0].strip())
    if marks:
        for at, line in enumerate(lines):
            match = LINE_PREFIX.match(line)
            if not kinds[at] and match and match[0].strip() in marks:
                kinds[at] = "q"


def _mark_headers(lines: list[str], kinds: list[str], at: int, following: int) -> bool:
    """Mark two or more headers directly above a quote; returns whether the last is at `at`."""
    if not _is_header(lines[at]) or not (
        kinds[following] == "q" or LINE_PREFIX.match(lines[following])
    ):
        return False
    first = at
    while first > max(0, at - MAX_HEADERS) and _is_header(lines[first - 1]):
        first -= 1
    if first == at or not any(line.lstrip().startswith("From:") for line in lines[first : at + 1]):
        return False
    kinds[first:at] = ["a"] * (at - first)
    return True


def _is_header(line: str) -> bool:
    return HEADER.match(line[:LONG_LINE].lstrip()) is not None


def _mark_ellipses(lines: list[str], kinds: list[str]) -> None:
    """Mark lines such as `[snip]` next to a quote as quoted."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for number, at in enumerate(filled):
        if not kinds[at] and ELLIPSIS.match(lines[at][:LONG_LINE]):
            near = filled[max(0, number - 1) : number + 2]
            if any(kinds[index] == "q" and abs(index - at) <= 2 for index in near):
                kinds[at] = "q"


def _mark_quote_below_rule(lines: list[str], kinds: list[str]) -> None:
    """In a reply without quote marks, everything below a line of dashes is a quote."""
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


def _mark_forwarded(lines: list[str], kinds: list[str], at: int) -> None:
    """Mark the original below an announcement; without prefixes it extends to the end."""
    body = at + 1
    while body < len(lines) and not lines[body].strip():
        body += 1
    end = body
    while end < len(lines) and (
        HEADER.match(lines[end][:LONG_LINE]) or (end > body and lines[end][:1] in (" ", "\t"))
    ):
        end += 1  # headers and their continuation lines
    if end > body:
        _mark_original(lines, kinds, at, end, end - body)


def _mark_unannounced_originals(lines: list[str], kinds: list[str]) -> None:
    """Mark originals that begin with a paragraph of headers, without an announcement."""
    at = 0
    while at < len(lines):
        end = _original_headers_end(lines, at)
        is_alone = at == 0 or not lines[at - 1].strip() or RULE.match(lines[at - 1][:LONG_LINE])
        if end > at and is_alone and not kinds[at] and end < len(lines):
            _mark_original(lines, kinds, at, end, 3)
        at = max(end, at + 1)


def _original_headers_end(lines: list[str], at: int) -> int:
    """Index after the headers of an original, in any known language; `at` if there are none.

    Required are author and date, and recipient or subject.
    """
    roles: list[str] = []
    end, last = at, min(len(lines), at + 2 * MAX_HEADERS)
    while end < last:
        line = lines[end][:LONG_LINE]
        if match := ORIGINAL_HEADER.match(line):
            roles.append(match.lastgroup or "")
        elif not HEADER.match(line) and (end == at or line[:1] not in (" ", "\t")):
            break
        end += 1
    if not {"from", "sent"} <= set(roles) or not {"to", "subject"} & set(roles):
        return at
    is_whole = "subject" in roles and (end == len(lines) or not lines[end].strip())
    return end if roles[0] == "from" or is_whole else at


def _mark_original(lines: list[str], kinds: list[str], at: int, body: int, headers: int) -> None:
    """Mark headers as attribution and what follows as quoted."""
    kinds[at:body] = ["a"] * (body - at)
    end = next((index for index in range(body, len(lines)) if ORIGINAL_END.match(lines[index])), -1)
    following = next((index for index in range(body, len(lines)) if lines[index].strip()), body)
    if end < 0 and following < len(lines) and kinds[following] == "q":
        return  # its lines carry prefixes
    for index in range(body, len(lines) if end < 0 else end + 1):
        if end < 0 and DELIMITER.match(lines[index]) and headers < 2:
            break
        kinds[index] = kinds[index] or "q"


def _is_attribution(lines: list[str], at: int, following: int, kinds: list[str]) -> bool:
    line = lines[at].strip()
    if len(line) > LONG_LINE:
        return False
    marked = kinds[following] == "q"
    if not marked and not (LINE_PREFIX.match(lines[following]) and following <= at + 2):
        return False
    if line.startswith(("[", "* ")):
        return marked and bool(BRACKETED_NAME.match(line))
    verbs = rf"\b(?:{ATTRIBUTION_VERBS})\b"
    has_verb, has_start = bool(re.search(verbs, line)), bool(ATTRIBUTION_START.match(line))
    if line[-1] not in ":;," and not (marked and re.search(verbs, line[-40:])):
        return bool(re.search(ADDRESS, line)) and marked and has_start
    is_introduced = marked or has_verb or has_start
    return bool(ATTRIBUTION.match(line)) and (line[-1] != "," or has_verb) and is_introduced


def _fill_blank_lines(lines: list[str], kinds: list[str]) -> None:
    """Give empty lines between two lines of a kind the same kind; also those after a footer."""
    before, blanks = "", []
    for at, line in enumerate(lines):
        if not line.strip() and not kinds[at]:
            blanks.append(at)
            continue
        if kinds[at] and kinds[at] == before:
            for blank in blanks:
                kinds[blank] = before
        before, blanks = kinds[at], []
    for blank in blanks:
        kinds[blank] = before
