"""Threads: which message answers which, by headers where they are and by words where they are not.

In order: the message that In-Reply-To or the last known of References names; the one whose own
lines are quoted most; the latest one before it with the same subject. Only hashes and dates are
kept of a message, so memory grows with the number of messages and not with their length. Every
choice has a tie-break, so the result does not depend on the order of messages.
Source for the headers' part: Zawinski, message threading (jwz.org/doc/threading.html).
"""

import email.utils
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..record import Record
from .mail import MailConfig, judge_lines, subject_of
from .mail_lines import REPLY

ID = re.compile(r"<([^<>\s]{3,250})>")
QUOTE = re.compile(r"\s*(?:[A-Za-z]{0,4}>|[|:](?= ))\s?")
WORDS = re.compile(r"\w+")
MIN_LINE = 20
"""Characters of words in a line that identifies a message. Source: shorter ones are closings."""
MAX_LINES = 60
MAX_SHARED = 12
"""A line that more messages say themselves identifies none of them."""
DAYS = 30
"""A subject is taken up again within this time. Source: own choice; stated with the figures."""


class Message(NamedTuple):
    """What is kept of a message."""

    record: str
    """Its record's id."""
    name: int
    """Hash of its Message-ID; 0 without."""
    references: tuple[int, ...]
    """Hashes of the messages that it names, nearest first."""
    subject: int
    """Hash of its subject without `Re:`; 0 without."""
    is_reply: bool
    """Whether the subject says so."""
    time: float
    """Seconds since 1970; 0 without a date."""
    own: tuple[int, ...]
    """Hashes of lines that it says itself."""
    quoted: tuple[int, ...]
    """Hashes of lines that it quotes at the first level."""


class Place(NamedTuple):
    """Where a message stands in its thread."""

    thread: str
    """Id of the record that begins it."""
    parent: str
    """Id of the record that it answers; empty for the first."""
    position: int
    """From 0, by date."""
    size: int
    """Messages of the thread."""
    by: str
    """What told: header, quote, subject, or nothing for the first."""


def message_of(record: Record) -> Message:
    """What is kept of a record's message: a raw mail's, or one whose quotes were set aside."""
    known = {key.lower().replace("-", "_"): value for key, value in record.metadata.items()}
    above = [f"{known.get('in_reply_to') or ''}", *listed(known.get("references"))[::-1]]
    references = [hashed(name) for one in above for name in names_in(one)[::-1]]
    own_id = names_in(f"{known.get('message_id') or ''}")
    subject = subject_of(known)
    plain = subject
    while (found := REPLY.match(plain)) and found.end():
        plain = plain[found.end() :]
    words = " ".join(WORDS.findall(plain.lower()))
    own, quoted = lines_of(record.text)
    if aside := (known.get("aside") or {}).get("quotes"):
        quoted = tuple(dict.fromkeys((*quoted, *sum(lines_of("\n".join(aside)), ()))))[:MAX_LINES]
    return Message(
        record.id, hashed(own_id[0]) if own_id else 0, tuple(dict.fromkeys(references)),
        hashed(words) if words else 0, plain != subject.strip() and plain != subject,
        time_of(known.get("date")), own, quoted,
    )  # fmt: skip


def names_in(header: str) -> list[str]:
    """The messages that a header names, with brackets as in a mail or without as readers give.

    >>> names_in("Your message of Monday <1@x>"), names_in("1@x")
    (['1@x'], ['1@x'])
    """
    found = ID.findall(header)
    return found or [word for word in header.split()[:50] if "@" in word or word == header]


def listed(value: Any) -> list[str]:
    """A header as a list of its parts."""
    return [f"{one}" for one in value] if isinstance(value, list) else [f"{value or ''}"]


def hashed(text: str) -> int:
    """63 bits of a text, never 0."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 | 1


def time_of(value: Any) -> float:
    """Seconds since 1970 of a date header or an ISO date; 0 if it is none."""
    if isinstance(value, int | float):
        return float(value)
    text = f"{value or ''}"
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return 0.0


def lines_of(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hashes of the lines that a mail says itself and of those that it quotes."""
    own: dict[int, None] = {}
    quoted: dict[int, None] = {}
    for start, end, kind in judge_lines(text[:200_000], MailConfig()):
        line = text[start:end]
        mark = QUOTE.match(line) if kind == "q" else None
        words = " ".join(WORDS.findall((line[mark.end() :] if mark else line).lower()))
        if len(words) < MIN_LINE or (mark and QUOTE.match(line, mark.end())):
            continue
        if kind == "q" and len(quoted) < MAX_LINES:
            quoted[hashed(words)] = None
        elif not kind and len(own) < MAX_LINES:
            own[hashed(words)] = None
    return tuple(own), tuple(quoted)


def threads(messages: Iterable[Message], use_headers: bool = True) -> dict[str, Place]:
    """The place of every message, by its record's id."""
    rising = sorted(messages, key=lambda one: (one.time, one.record))
    at = {one.record: number for number, one in enumerate(rising)}
    parents: list[tuple[int, str]] = []
    names: dict[int, int] = {}
    for number, one in enumerate(rising):
        if one.name:
            names.setdefault(one.name, number)
    said = lines_said(rising)
    subjects: dict[int, int] = {}  # the latest message of a subject
    for number, one in enumerate(rising):
        parents.append(parent_of(number, rising, names if use_headers else {}, said, subjects))
        if one.subject:
            subjects[one.subject] = number
    return placed(rising, without_loops(parents), at)


def lines_said(rising: Sequence[Message]) -> dict[int, list[int]]:
    """The messages that say a line themselves; lines of many are left out."""
    said: dict[int, list[int]] = {}
    for number, one in enumerate(rising):
        for line in one.own:
            held = said.setdefault(line, [])
            if len(held) <= MAX_SHARED:
                held.append(number)
    return said


def parent_of(
    number: int, rising: Sequence[Message], names: Mapping[int, int],
    said: Mapping[int, list[int]], subjects: Mapping[int, int],
) -> tuple[int, str]:  # fmt: skip
    """The message that a message answers, and what told; -1 if none."""
    one = rising[number]
    for name in one.references:
        found = names.get(name, number)
        if found != number:
            return found, "header"
    votes: dict[int, int] = {}
    for line in one.quoted:
        holders = said.get(line, [])
        if len(holders) <= MAX_SHARED:
            for holder in holders:
                if holder < number:
                    votes[holder] = votes.get(holder, 0) + 1
    if votes:
        best = max(
            votes, key=lambda holder: (votes[holder], rising[holder].subject == one.subject, holder)
        )
        if votes[best] >= 2 or rising[best].subject == one.subject:
            return best, "quote"
    before = subjects.get(one.subject, -1) if one.subject else -1
    if before >= 0 and one.is_reply and one.time - rising[before].time <= DAYS * 86_400:
        return before, "subject"
    return -1, ""


def without_loops(parents: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The same links, a loop opened at its first message."""
    state = [0] * len(parents)  # 0 unseen, 1 on the way, 2 done
    for number in range(len(parents)):
        path, one = [], number
        while one >= 0 and state[one] == 0:
            state[one] = 1
            path.append(one)
            one = parents[one][0]
        if one >= 0 and state[one] == 1:
            loop = path[path.index(one) :]
            parents[min(loop)] = (-1, "")
        for seen in path:
            state[seen] = 2
    return parents


def placed(
    rising: Sequence[Message], parents: list[tuple[int, str]], at: Mapping[str, int]
) -> dict[str, Place]:
    """Threads and positions from the links."""
    roots: list[int] = [-1] * len(rising)
    for number in range(len(rising)):
        path, one = [], number
        while roots[one] < 0 and parents[one][0] >= 0:
            path.append(one)
            one = parents[one][0]
        root = roots[one] if roots[one] >= 0 else one
        for seen in (*path, one):
            roots[seen] = root
    sizes: dict[int, int] = {}
    positions = []
    for root in roots:
        positions.append(sizes.get(root, 0))
        sizes[root] = positions[-1] + 1
    found = {}
    for number, one in enumerate(rising):
        parent, by = parents[number]
        name = rising[parent].record if parent >= 0 else ""
        root = roots[number]
        found[one.record] = Place(rising[root].record, name, positions[number], sizes[root], by)
    return found
