"""Threads: which message replies to which, by headers or else by quotes and subjects.

In this order: the message named by In-Reply-To or the last known one in References; the message
whose own lines are quoted most; the latest earlier message with the same subject. Only hashes and
dates are kept per message, so memory grows with the number of messages, not their length. Ties are
broken deterministically: the result does not depend on the order of messages. Source for headers:
Zawinski, message threading (jwz.org/doc/threading.html).
"""

import email.utils
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..record import Record
from .mail import MailStepConfig, classify_lines, mail_subject
from .mail_lines import REPLY_PREFIX

ID = re.compile(r"<([^<>\s]{3,250})>")
QUOTE = re.compile(r"\s*(?:[A-Za-z]{0,4}>|[|:](?= ))\s?")
WORDS = re.compile(r"\w+")
MIN_LINE_LENGTH = 20
"""Minimum number of word characters in a line that identifies a message. Source: shorter ones are
closings."""
MAX_LINES = 60
MAX_SHARED = 12
"""A line that more messages contain identifies none of them."""
MAX_SUBJECT_DAYS = 30
"""Maximum age of a subject that a reply continues. Source: own choice; stated with the figures."""


class ThreadMessage(NamedTuple):
    """What is stored of a message."""

    record: str
    """Its record's id."""
    message_id: int
    """Hash of its Message-ID; 0 if missing."""
    references: tuple[int, ...]
    """Hashes of the Message-IDs it refers to, nearest first."""
    subject: int
    """Hash of its subject without `Re:`; 0 if missing."""
    is_reply: bool
    """Whether the subject marks a reply."""
    time: float
    """Seconds since 1970; 0 if missing."""
    own_lines: tuple[int, ...]
    """Hashes of its own lines."""
    quoted_lines: tuple[int, ...]
    """Hashes of the lines that it quotes at the first level."""


class ThreadPosition(NamedTuple):
    """Position of a message in its thread."""

    thread: str
    """Record id of the thread's first message."""
    parent: str
    """Record id of the message that it replies to; empty for the first."""
    position: int
    """Index from 0, by date."""
    size: int
    """Number of messages in the thread."""
    evidence: str
    """Evidence for the parent: header, quote or subject; empty for the first."""


def extract_message(record: Record) -> ThreadMessage:
    """Extract a record's message: from a raw mail or one whose quotes are in the metadata."""
    headers = {key.lower().replace("-", "_"): value for key, value in record.metadata.items()}
    above = [f"{headers.get('in_reply_to') or ''}", *_as_list(headers.get("references"))[::-1]]
    references = [_hash_text(name) for header in above for name in _message_ids(header)[::-1]]
    own_id = _message_ids(f"{headers.get('message_id') or ''}")
    subject = mail_subject(headers)
    stripped = subject
    while (match := REPLY_PREFIX.match(stripped)) and match.end():
        stripped = stripped[match.end() :]
    words = " ".join(WORDS.findall(stripped.lower()))
    own, quoted = _line_hashes(record.text)
    if aside := (headers.get("aside") or {}).get("quotes"):
        quoted = tuple(dict.fromkeys((*quoted, *sum(_line_hashes("\n".join(aside)), ()))))[
            :MAX_LINES
        ]
    return ThreadMessage(
        record.id, _hash_text(own_id[0]) if own_id else 0, tuple(dict.fromkeys(references)),
        _hash_text(words) if words else 0, stripped != subject.strip() and stripped != subject,
        _parse_time(headers.get("date")), own, quoted,
    )  # fmt: skip


def _message_ids(header: str) -> list[str]:
    """Message-IDs in a header, in angle brackets as in mails or bare as readers store them.

    >>> _message_ids("Your message of Monday <1@x>"), _message_ids("1@x")
    (['1@x'], ['1@x'])
    """
    ids = ID.findall(header)
    return ids or [word for word in header.split()[:50] if "@" in word or word == header]


def _as_list(value: Any) -> list[str]:
    """A header as a list of strings."""
    return [f"{item}" for item in value] if isinstance(value, list) else [f"{value or ''}"]


def _hash_text(text: str) -> int:
    """63-bit hash of a text, never 0."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 | 1


def _parse_time(value: Any) -> float:
    """Seconds since 1970 of a date header or an ISO date; 0 if it cannot be parsed."""
    if isinstance(value, int | float):
        return float(value)
    text = f"{value or ''}"
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = read(text)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return 0.0


def _line_hashes(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hashes of a mail's own lines and of the lines that it quotes."""
    own: dict[int, None] = {}
    quoted: dict[int, None] = {}
    for start, end, kind in classify_lines(text[:200_000], MailStepConfig()):
        line = text[start:end]
        mark = QUOTE.match(line) if kind == "q" else None
        words = " ".join(WORDS.findall((line[mark.end() :] if mark else line).lower()))
        if len(words) < MIN_LINE_LENGTH or (mark and QUOTE.match(line, mark.end())):
            continue
        if kind == "q" and len(quoted) < MAX_LINES:
            quoted[_hash_text(words)] = None
        elif not kind and len(own) < MAX_LINES:
            own[_hash_text(words)] = None
    return tuple(own), tuple(quoted)


def build_threads(
    messages: Iterable[ThreadMessage], use_headers: bool = True
) -> dict[str, ThreadPosition]:
    """Thread position of every message, by record id."""
    ordered = sorted(messages, key=lambda message: (message.time, message.record))
    index_of = {message.record: number for number, message in enumerate(ordered)}
    parents: list[tuple[int, str]] = []
    names: dict[int, int] = {}
    for number, message in enumerate(ordered):
        if message.message_id:
            names.setdefault(message.message_id, number)
    holders = _index_own_lines(ordered)
    subjects: dict[int, int] = {}  # the latest message of a subject
    for number, message in enumerate(ordered):
        parents.append(
            _find_parent(number, ordered, names if use_headers else {}, holders, subjects)
        )
        if message.subject:
            subjects[message.subject] = number
    return _thread_positions(ordered, _break_loops(parents), index_of)


def _index_own_lines(ordered: Sequence[ThreadMessage]) -> dict[int, list[int]]:
    """Messages that contain a line as their own; lists stop at MAX_SHARED."""
    holders: dict[int, list[int]] = {}
    for number, message in enumerate(ordered):
        for line in message.own_lines:
            numbers = holders.setdefault(line, [])
            if len(numbers) <= MAX_SHARED:
                numbers.append(number)
    return holders


def _find_parent(
    number: int, ordered: Sequence[ThreadMessage], names: Mapping[int, int],
    holders_of: Mapping[int, list[int]], subjects: Mapping[int, int],
) -> tuple[int, str]:  # fmt: skip
    """Index of the parent message and the evidence; -1 if there is none."""
    message = ordered[number]
    for name in message.references:
        index = names.get(name, number)
        if index != number:
            return index, "header"
    votes: dict[int, int] = {}
    for line in message.quoted_lines:
        holders = holders_of.get(line, [])
        if len(holders) <= MAX_SHARED:
            for holder in holders:
                if holder < number:
                    votes[holder] = votes.get(holder, 0) + 1
    if votes:
        best = max(
            votes,
            key=lambda holder: (votes[holder], ordered[holder].subject == message.subject, holder),
        )
        if votes[best] >= 2 or ordered[best].subject == message.subject:
            return best, "quote"
    before = subjects.get(message.subject, -1) if message.subject else -1
    if (
        before >= 0
        and message.is_reply
        and message.time - ordered[before].time <= MAX_SUBJECT_DAYS * 86_400
    ):
        return before, "subject"
    return -1, ""


def _break_loops(parents: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The same links, each loop broken at its first message."""
    state = [0] * len(parents)  # 0 unseen, 1 in progress, 2 done
    for number in range(len(parents)):
        path, current = [], number
        while current >= 0 and state[current] == 0:
            state[current] = 1
            path.append(current)
            current = parents[current][0]
        if current >= 0 and state[current] == 1:
            loop = path[path.index(current) :]
            parents[min(loop)] = (-1, "")
        for visited in path:
            state[visited] = 2
    return parents


def _thread_positions(
    ordered: Sequence[ThreadMessage], parents: list[tuple[int, str]], index_of: Mapping[str, int]
) -> dict[str, ThreadPosition]:
    """Compute threads and positions from the links."""
    roots: list[int] = [-1] * len(ordered)
    for number in range(len(ordered)):
        path, current = [], number
        while roots[current] < 0 and parents[current][0] >= 0:
            path.append(current)
            current = parents[current][0]
        root = roots[current] if roots[current] >= 0 else current
        for visited in (*path, current):
            roots[visited] = root
    sizes: dict[int, int] = {}
    positions = []
    for root in roots:
        positions.append(sizes.get(root, 0))
        sizes[root] = positions[-1] + 1
    positions_by_id = {}
    for number, current in enumerate(ordered):
        parent, by = parents[number]
        name = ordered[parent].record if parent >= 0 else ""
        root = roots[number]
        positions_by_id[current.record] = ThreadPosition(
            ordered[root].record, name, positions[number], sizes[root], by
        )
    return positions_by_id
