"""The step `safety.personal`: replace personal data by placeholders, with every edit in the log.

Validated kinds are on by default; names after salutations and postal addresses, which only context
shows, must be requested. Where two patterns overlap, the more reliable kind wins. How data is
recognised is in patterns.py. Placeholders are typed, stable, and never somebody else's data:

    numbered  <EMAIL_1>        equal values have equal numbers within a record; not reversible
    keyed     <EMAIL_9f3c21>   equal values are equal in the complete corpus, by keyed BLAKE2b
    shaped    user9f3c21@example.com, 192.0.2.33: keyed too, and in the form a model should learn

Without the key nobody can try all telephone numbers to find the one behind a placeholder, so the
key is in a file and never in configurations or manifests. Shaped addresses are those that standards
reserve for documentation, so they reach nobody; FineWeb's can.
Sources: RFC 2606, RFC 5737, RFC 3849, RFC 7042; ATIS-0300115 (555-01XX); datatrove.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import Config, ConfigError, InputPath, import_extra
from groundup.documents import Record, StepResult, TextEdit

from .patterns import PATTERNS

PlaceholderStyle = Literal["numbered", "keyed", "shaped"]
MIN_KEY_BYTES = 16
CODE_DIGITS = 6
CASE_INSENSITIVE_KINDS = ("email", "iban", "mac", "ip", "national_id", "name", "address")
"""Kinds whose values are compared without case."""

VALIDATED_KINDS = ("iban", "email", "card", "ip", "mac", "national_id", "phone", "coordinates")
CONTEXT_KINDS = ("address", "name")


class PersonalConfig(Config):
    """Which personal data is replaced, and by what."""

    kinds: tuple[str, ...] = VALIDATED_KINDS
    """Any of iban, email, card, ip, mac, national_id, phone, coordinates; and name, address, which
    only context shows. Source of the first, fourth and fifth: datatrove's PII formatter."""
    placeholders: PlaceholderStyle = "numbered"
    """`numbered` (<EMAIL_1>, within a record), `keyed` (<EMAIL_9f3c21>, in the whole corpus) or
    `shaped` (user9f3c21@example.com, likewise)."""
    key_file: InputPath | None = None
    """File with the key of keyed and shaped placeholders: 16 random bytes or more. Not copied;
    only its hash is part of the corpus id."""
    max_values: int | None = Field(default=None, ge=0)
    """Number of values above which a record is dropped, such as a directory; None: no limit."""


class PersonalValue(NamedTuple):
    """A value and its position."""

    start: int
    end: int
    kind: str


class ReplacePersonal:
    """The step `safety.personal`: replace personal data in a record."""

    def __init__(self, config: PersonalConfig) -> None:
        unknown = sorted(set(config.kinds) - {*VALIDATED_KINDS, *CONTEXT_KINDS})
        if unknown:
            raise ConfigError(
                f"kinds={unknown} are unknown; there are "
                f"{', '.join((*VALIDATED_KINDS, *CONTEXT_KINDS))}."
            )
        if "phone" in config.kinds:
            import_extra("phonenumbers", "corpus")
        if {"card", "iban", "national_id"} & {*config.kinds}:
            import_extra("stdnum", "corpus", "python-stdnum")
        self.config = config
        self.key = _read_key(config.key_file, config.placeholders)

    def __call__(self, record: Record) -> StepResult:
        values = _find_personal(record.text, self.config.kinds)
        if not values:
            return StepResult()
        counts = Counter(value.kind for value in values)
        summary = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
        if self.config.max_values is not None and len(values) > self.config.max_values:
            return StepResult("personal: too much", float(len(values)), summary)
        placeholders = Placeholders(self.config.placeholders, self.key)
        edits = []
        for start, end, kind in values:
            placeholder = placeholders.placeholder_for(kind, record.text[start:end])
            edits.append(TextEdit(start, end, f"personal: {kind}", placeholder, is_private=True))
        return StepResult(edits=tuple(edits), metadata={"personal": dict(sorted(counts.items()))})


def _find_personal(text: str, kinds: Iterable[str] = VALIDATED_KINDS) -> list[PersonalValue]:
    """Find personal data in a text, in order and without overlaps."""
    enabled = set(kinds)
    taken: list[tuple[int, int]] = []
    found: list[PersonalValue] = []
    for pattern in PATTERNS:
        if pattern.kind not in enabled or pattern.needs not in text:
            continue
        fresh = []
        for match in pattern.pattern.finditer(text):
            span = pattern.check(text, match)
            at = bisect_right(taken, span) if span else 0
            is_free = span and (at == 0 or taken[at - 1][1] <= span[0])
            if span and is_free and (at == len(taken) or span[1] <= taken[at][0]):
                fresh.append(span)
                found.append(PersonalValue(*span, pattern.kind))
        if fresh:
            taken = sorted([*taken, *fresh])
    return sorted(found)


class Placeholders:
    """The placeholders of one record; numbers start again with each."""

    def __init__(self, style: PlaceholderStyle, key: bytes) -> None:
        self.style = style
        self.key = key
        self.numbers: dict[tuple[str, str], int] = {}
        self.counts: dict[str, int] = {}

    def placeholder_for(self, kind: str, value: str) -> str:
        """The placeholder of a value.

        >>> numbered = Placeholders("numbered", b"")
        >>> phones = ("030 12 34", "555 6677", "030-1234")
        >>> [numbered.placeholder_for("phone", phone) for phone in phones]
        ['<PHONE_1>', '<PHONE_2>', '<PHONE_1>']
        """
        normal_form = " ".join(value.split())
        if kind in ("phone", "card", "iban", "mac", "national_id"):
            normal_form = "".join(c for c in value if c.isalnum())
        if kind in CASE_INSENSITIVE_KINDS:
            normal_form = normal_form.casefold()
        if self.style == "numbered":
            if (kind, normal_form) not in self.numbers:
                self.counts[kind] = self.counts.get(kind, 0) + 1
                self.numbers[kind, normal_form] = self.counts[kind]
            return f"<{kind.upper()}_{self.numbers[kind, normal_form]}>"
        data = f"{kind}\0{normal_form}".encode("utf-8", "surrogatepass")
        code = hashlib.blake2b(data, key=self.key, digest_size=16).hexdigest()
        if self.style == "shaped" and (reserved := _reserved_value(kind, value, code)):
            return reserved
        return f"<{kind.upper()}_{code[:CODE_DIGITS]}>"


def _reserved_value(kind: str, value: str, code: str) -> str:
    number = int(code, 16)
    if kind == "email":
        return f"user{code[:CODE_DIGITS]}@example.com"
    if kind == "ip" and ":" in value:
        return f"2001:db8:{code[:4]}:{code[4:8]}::{code[8:12]}"
    if kind == "ip":
        block = ("192.0.2", "198.51.100", "203.0.113")[number % 3]
        return f"{block}.{number // 3 % 254 + 1}"
    if kind == "mac":
        return f"00:00:5E:00:53:{code[:2].upper()}"
    if kind == "phone":
        return f"+1 {200 + number % 800}-555-01{number // 800 % 100:02}"
    return ""


def _read_key(path: Path | None, style: PlaceholderStyle) -> bytes:
    if style == "numbered":
        return b""
    if path is None:
        raise ConfigError(
            f"placeholders={style!r} needs key_file, a file of {MIN_KEY_BYTES} random bytes."
        )
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"Cannot read key_file={str(path)!r}: {error.strerror}.") from None
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"key_file has {len(key)} bytes; give {MIN_KEY_BYTES} random ones or more."
        )
    return key[:64]
