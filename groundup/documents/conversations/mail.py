"""Mail bodies: separate the author's text from quotes, attributions, signatures, footers and PGP.

A quote has a prefix (`>`, or any prefix that follows an attribution line), a signature has its
delimiter (RFC 3676, section 4.3), a footer stands at the end and is about lists, advertisements or
confidentiality. Closings and first names are text. The forms of lines and their phrases are in
mail_lines.toml, found on the development mails of benchmarks/documents/conversations.py. Threads
are in corpus/threads.py.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import Config

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextEdit

_FILE = Path(__file__).with_name("mail_lines.toml")
PHRASES, RE = read_patterns(_FILE), compile_patterns(_FILE)
ATTRIBUTION_VERB = re.compile(rf"\b(?:{'|'.join(PHRASES['attribution_verbs'])})\b")
ORIGINAL_HEADER = re.compile(
    "[ \\t]{0,3}\\*{0,2}(?:"
    + "|".join(
        f"(?P<{role}>{'|'.join(names)})" for role, names in PHRASES["original_headers"].items()
    )
    + ")[ \u00a0]?\\*{0,2}(?:：|:\\*{0,2}(?:[ \u00a0\\t]|$))"
)
LINE = re.compile(r"[^\n]*\n|[^\n]+$")
LONG_LINE = 400  # Characters of a line that are examined
FULL_LINE_LENGTH, MAX_REMAINDER_LENGTH, MAX_HEADERS = 60, 25, 15
SIGNATURE_WIDTH, QUOTE_STARTS = 100, " \t\"'“«"
EXACT_DELIMITERS = ("-- ", "- -- ")  # Delimiters of RFC 3676; the second with PGP's dash-escaping
REASONS = {"a": "attribution", "q": "quoted text", "s": "signature", "f": "footer",
           "p": "PGP block"}  # fmt: skip
METADATA_KEYS = {"a": "attributions", "q": "quotes", "s": "signatures"}


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


class _ClassifiedLine(NamedTuple):
    """A line and its kind: `a`, `q`, `s`, `f`, `p` (see REASONS), or empty for text."""

    start: int
    end: int
    kind: str


class MailStep:
    """Step `conversations.mail`: keep what the mail's author wrote."""

    def __init__(self, config: MailStepConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        lines = classify_lines(record.text, self.config, is_reply(record.metadata))
        edits = tuple(self._edits_by_run(lines))
        if not edits:
            return PASS
        removed = sum(edit.end - edit.start for edit in edits)
        remaining = [record.text[line.start : line.end] for line in lines if not line.kind]
        if self.config.drop_empty and not "".join(remaining).strip():
            details = f"{removed} characters quoted or signed"
            return StepResult("mail: nothing new written", details=details)
        share = removed / max(1, len(record.text))
        return StepResult(edits=edits, metadata={"quoted_share": round(share, 4)})

    def _edits_by_run(self, lines: list[_ClassifiedLine]) -> Iterator[TextEdit]:
        quotes, signatures = self.config.quotes, self.config.signatures
        fates = {"": "keep", "a": quotes, "q": quotes, "s": signatures}
        for kind, group in groupby(lines, key=lambda line: line.kind):
            fate, run = fates.get(kind, "remove"), list(group)
            if fate != "keep":
                key = METADATA_KEYS[kind] if fate == "aside" else ""
                yield TextEdit(run[0].start, run[-1].end, REASONS[kind], metadata_key=key)


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
    while (match := RE.reply_prefix.match(subject)) and "]" in match[0] and ":" not in match[0]:
        subject = subject[match.end() :]  # the list's name
    return match is not None


def classify_lines(
    text: str, config: MailStepConfig, is_reply: bool = False
) -> list[_ClassifiedLine]:
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
    return [_ClassifiedLine(*span, kind) for span, kind in zip(bounds, kinds, strict=True)]


def _mask_python_prompts(lines: list[str]) -> list[str]:
    """Replace lines of Python sessions, whose `>>>` is no quote prefix, by `$`."""
    shown, at = list(lines), 0
    while at < len(lines):
        first = at
        while at < len(lines) and (
            RE.quote_prefix.match(lines[at]) or RE.python_input.match(lines[at][:LONG_LINE])
        ):
            at += 1
        run = [line[:LONG_LINE] for line in lines[first:at]]
        if any(map(RE.python_input.match, run)) and all(
            RE.python_input.match(x) or RE.possible_python_input.match(x) for x in run
        ):
            shown[first:at] = ["$"] * len(run)
        at = max(at, first + 1)
    return shown


def _mark_pgp(lines: list[str], kinds: list[str]) -> None:
    closer = ""
    for at, line in enumerate(lines):
        if closer:
            kinds[at] = "p"
            if not line.strip() if closer == "blank" else line.startswith(closer):
                closer = ""
        elif line.startswith("-----BEGIN PGP") and (match := RE.pgp.match(line)):
            kinds[at] = "p"
            signed = match[1] == "SIGNED MESSAGE"
            closer = "blank" if signed else f"-----END PGP {match[1]}-----"
    if closer not in ("", "blank"):  # unterminated: not a block
        for at in range(len(lines)):
            kinds[at] = "" if kinds[at] == "p" else kinds[at]


def _mark_quotes(lines: list[str], kinds: list[str]) -> None:
    cites = any(RE.supercite_start.match(line[:LONG_LINE]) for line in lines)
    for at, line in enumerate(lines):
        if not kinds[at] and (
            RE.quote_prefix.match(line) or cites and RE.named_quote_prefix.match(line)
        ):
            kinds[at] = "a" if RE.supercite_start.match(line[:LONG_LINE]) else "q"
    for at in range(1, len(lines) - 1):  # the remainder of a quoted line that was wrapped
        is_wrapped = len(lines[at - 1]) >= FULL_LINE_LENGTH
        if is_wrapped and kinds[at - 1 : at + 2] == ["q", "", "q"]:
            kinds[at] = "q" if 0 < len(lines[at].strip()) <= MAX_REMAINDER_LENGTH else ""
    bars = [bool(RE.bar_prefix.match(line[:LONG_LINE])) for line in lines]
    for at in range(len(lines) - 2):
        if all(bars[at : at + 3]):
            kinds[at : at + 3] = [kind or "q" for kind in kinds[at : at + 3]]
    for at in range(len(lines)):
        if not kinds[at] and RE.forwarded.match(lines[at][:LONG_LINE]):
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
            if len(before) < LONG_LINE and RE.attribution_start.match(before):
                if not RE.attribution_start.match(lines[at].lstrip()):
                    kinds[at - 1] = "a"
            if not kinds[following] and (mark := RE.line_prefix.match(lines[following])):
                marks.add(mark[0].strip())
    if marks:
        for at, line in enumerate(lines):
            match = RE.line_prefix.match(line)
            if not kinds[at] and match and match[0].strip() in marks:
                kinds[at] = "q"


def _mark_headers(lines: list[str], kinds: list[str], at: int, following: int) -> bool:
    """Mark two or more headers directly above a quote; returns whether the last is at `at`."""
    if not _is_header(lines[at]) or not (
        kinds[following] == "q" or RE.line_prefix.match(lines[following])
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
    return RE.header.match(line[:LONG_LINE].lstrip()) is not None


def _mark_ellipses(lines: list[str], kinds: list[str]) -> None:
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for number, at in enumerate(filled):
        if not kinds[at] and RE.ellipsis.match(lines[at][:LONG_LINE]):
            near = filled[max(0, number - 1) : number + 2]
            if any(kinds[index] == "q" and abs(index - at) <= 2 for index in near):
                kinds[at] = "q"


def _mark_quote_below_rule(lines: list[str], kinds: list[str]) -> None:
    """In a reply without quote marks, everything below a line of dashes is a quote."""
    if "q" in kinds or "a" in kinds:
        return
    rules = [at for at, line in enumerate(lines) if not kinds[at] and RE.dashes.match(line)]
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
        RE.header.match(lines[end][:LONG_LINE]) or (end > body and lines[end][:1] in (" ", "\t"))
    ):
        end += 1  # headers and their continuation lines
    if end > body:
        _mark_original(lines, kinds, at, end, end - body)


def _mark_unannounced_originals(lines: list[str], kinds: list[str]) -> None:
    """Mark originals that begin with a paragraph of headers, without an announcement."""
    at = 0
    while at < len(lines):
        end = _original_headers_end(lines, at)
        is_alone = at == 0 or not lines[at - 1].strip() or RE.rule.match(lines[at - 1][:LONG_LINE])
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
        elif not RE.header.match(line) and (end == at or line[:1] not in (" ", "\t")):
            break
        end += 1
    if not {"from", "sent"} <= set(roles) or not {"to", "subject"} & set(roles):
        return at
    is_whole = "subject" in roles and (end == len(lines) or not lines[end].strip())
    return end if roles[0] == "from" or is_whole else at


def _mark_original(lines: list[str], kinds: list[str], at: int, body: int, headers: int) -> None:
    kinds[at:body] = ["a"] * (body - at)
    end = next(
        (index for index in range(body, len(lines)) if RE.original_end.match(lines[index])), -1
    )
    following = next((index for index in range(body, len(lines)) if lines[index].strip()), body)
    if end < 0 and following < len(lines) and kinds[following] == "q":
        return  # its lines carry prefixes
    for index in range(body, len(lines) if end < 0 else end + 1):
        if end < 0 and RE.delimiter.match(lines[index]) and headers < 2:
            break
        kinds[index] = kinds[index] or "q"


def _is_attribution(lines: list[str], at: int, following: int, kinds: list[str]) -> bool:
    line = lines[at].strip()
    if len(line) > LONG_LINE:
        return False
    marked = kinds[following] == "q"
    if not marked and not (RE.line_prefix.match(lines[following]) and following <= at + 2):
        return False
    if line.startswith(("[", "* ")):
        return marked and bool(RE.bracketed_name.match(line))
    has_verb, has_start = (
        bool(ATTRIBUTION_VERB.search(line)),
        bool(RE.attribution_start.match(line)),
    )
    if line[-1] not in ":;," and not (marked and ATTRIBUTION_VERB.search(line[-40:])):
        return bool(RE.address.search(line)) and marked and has_start
    is_introduced = marked or has_verb or has_start
    return bool(RE.attribution.match(line)) and (line[-1] != "," or has_verb) and is_introduced


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


def mark_signatures(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark signatures, from a delimiter to the next quote, delimiter or end."""
    starts = [at for at, line in enumerate(lines) if not kinds[at] and RE.delimiter.match(line)]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        end = next((at for at in range(start, end) if kinds[at]), end)
        end = next((at for at in range(start + 1, end) if _is_footer_rule(lines, at)), end)
        content = [line for line in lines[start + 1 : end] if line.strip()]
        if len(content) > max_lines or any(len(line) > SIGNATURE_WIDTH for line in content):
            continue
        if _has_footer_form(content, has_rule=True):
            kind = "f"
        elif lines[start] in EXACT_DELIMITERS or (
            content
            and (not _begins_like_prose(content) or RE.name_alone.match(lines[max(0, start - 1)]))
        ):
            kind = "s"
        else:
            continue
        kinds[start:end] = [kind] * (end - start)


def _begins_like_prose(content: list[str]) -> bool:
    own = [line[:LONG_LINE] for line in content if line[:1] not in QUOTE_STARTS]
    is_sentence = RE.sentence_start.search(content[0][:LONG_LINE]) is not None
    return bool(own) and (is_sentence or _is_personal(own[:1]))


def mark_unmarked_signature(lines: list[str], kinds: list[str]) -> None:
    """Mark a last paragraph that begins with a rule, dash or name and gives contact details."""
    end = len(lines)
    while end > 0 and (not lines[end - 1].strip() or kinds[end - 1] in ("f", "q")):
        end -= 1
    start = end
    while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
        start -= 1
    start = _signature_start(lines, start, end)
    block = lines[start:end]
    is_short = all(len(line) <= 80 for line in block)
    if is_short and any(RE.contact.search(line) or RE.phone.search(line) for line in block):
        kinds[start:end] = ["s"] * (end - start)


def _signature_start(lines: list[str], start: int, end: int) -> int:
    """Line at which a signature may begin in the last paragraph; `end` if none."""
    for at in range(max(start, end - 9), end):
        line = lines[at][:LONG_LINE]
        if RE.rule.match(line) or RE.short_rule.match(line):
            content = [other for other in lines[at + 1 : end] if other.strip()]
            return (
                end if content and RE.short_rule.match(line) and _begins_like_prose(content) else at
            )
    if end - start <= 5 and start < end and RE.unmarked_signature.match(lines[start]):
        is_list = (
            sum(RE.unmarked_signature.match(line) is not None for line in lines[start:end]) > 1
        )
        return end if is_list or RE.lowercase_sentence.search(lines[start][:LONG_LINE]) else start
    for at in range(max(start, end - 8), end - 1):
        if RE.signature_name.match(lines[at][:LONG_LINE]):
            prose = any(RE.lowercase_sentence.search(line[:LONG_LINE]) for line in lines[at:end])
            return end if prose else at
    return end


def _is_footer_rule(lines: list[str], at: int) -> bool:
    line = lines[at][:LONG_LINE]
    is_rule = any(x.match(line) for x in (RE.rule, RE.short_rule, RE.titled_rule))
    return is_rule and _has_footer_form(lines[at : at + 4], has_rule=True)


def mark_footers(lines: list[str], kinds: list[str], max_lines: int) -> None:
    """Mark final paragraphs about lists, advertisements or confidentiality."""
    _mark_disclaimer(lines, kinds)
    end = len(lines)
    first_said = next((at for at in range(end) if lines[at].strip() and not kinds[at]), end)
    while end > 0:
        while end > 0 and (not lines[end - 1].strip() or kinds[end - 1]):
            end -= 1
        start = end
        while start > 0 and lines[start - 1].strip() and not kinds[start - 1]:
            start -= 1
            if _is_footer_rule(lines, start):
                break
        block = lines[start:end]
        rules = (_is_footer_rule(lines, at) for at in range(max(0, end - max_lines), end))
        is_above_one, is_short = "f" in kinds[end:], len(block) <= max_lines
        if not block:
            break
        if not is_short or not _is_footer(block, any(rules), is_above_one, start > first_said):
            if len(block) == 1 or not _is_list_address(block[-1]):
                break
            start = end - 1  # the list's URL directly below the author's text
        kinds[start:end] = ["f"] * (end - start)
        if start == end - 1 and len(block) > 1:
            break
        end = start


def _mark_disclaimer(lines: list[str], kinds: list[str]) -> None:
    """Mark from a title such as `E-mail disclaimer:` or `Confidentiality notice` to the end."""
    for at in range(max(0, len(lines) - 60), len(lines)):
        if kinds[at] or not RE.disclaimer.match(lines[at][:LONG_LINE]):
            continue
        above = lines[at - 1][:LONG_LINE] if at else ""
        if above.strip() and not RE.rule.match(above):
            continue
        end = next((index for index in range(at, len(lines)) if kinds[index]), len(lines))
        if _is_disclaimer(lines[at:end]):
            near = range(max(0, at - 2), at)
            start = next((i for i in near if RE.rule.match(lines[i][:LONG_LINE])), at)
            kinds[start:end] = ["f"] * (end - start)
            return


def _is_footer(block: list[str], has_rule: bool, is_above_footer: bool, is_last: bool) -> bool:
    if (
        is_above_footer
        and len(block) == 1
        and (RE.url_only.match(block[0]) or RE.rule.match(block[0]))
    ):
        return True
    if not has_rule and not is_last and not _is_list_address(block[0]):
        return False
    return _is_disclaimer(block) or _has_footer_form(block, has_rule)


def _has_footer_form(block: list[str], has_rule: bool) -> bool:
    """Whether lines have the form of a footer; below a rule or delimiter one phrase suffices."""
    if _is_personal(block):
        return False
    if has_rule:
        return any(RE.footer.search(line[:LONG_LINE]) for line in block)
    return RE.footer_start.match(" ".join(line[:LONG_LINE].strip() for line in block)) is not None


def _is_disclaimer(block: list[str]) -> bool:
    text = " ".join(line[:LONG_LINE] for line in block)
    words = {phrase.lower() for phrase in RE.confidential.findall(text)}
    return (
        len(words) >= 3 and RE.refers_to_mail.search(text) is not None and not _is_personal(block)
    )


def _is_personal(block: list[str]) -> bool:
    text = " ".join(line[:LONG_LINE].strip() for line in block)
    return RE.first_person.search(text) is not None or RE.direct_question.search(text) is not None


def _is_list_address(line: str) -> bool:
    return RE.url_only.match(line) is not None and RE.footer.search(line[:LONG_LINE]) is not None
