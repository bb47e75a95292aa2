"""Placeholders of personal data: typed, stable, and never somebody else's data.

    numbered  <EMAIL_1>        equal values have equal numbers within a record; not reversible
    keyed     <EMAIL_9f3c21>   equal values are equal in the complete corpus, by keyed BLAKE2b
    shaped    user9f3c21@example.com, 192.0.2.33: keyed too, and in the form a model should learn

Without the key nobody can try all telephone numbers to find the one behind a placeholder, so the
key is in a file and never in configurations or manifests. Shaped addresses are those that standards
reserve for documentation, so they reach nobody; FineWeb's can.
Sources: RFC 2606, RFC 5737, RFC 3849, RFC 7042; ATIS-0300115 (555-01XX); datatrove.
"""

import hashlib
from pathlib import Path
from typing import Literal

from groundup.core import ConfigError

PlaceholderStyle = Literal["numbered", "keyed", "shaped"]
MIN_KEY_BYTES = 16
CODE_DIGITS = 6
CASE_INSENSITIVE_KINDS = ("email", "iban", "mac", "ip", "national_id", "name", "address")
"""Kinds whose values are compared without case."""


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
        normal_form = _normalise_value(kind, value)
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


def _normalise_value(kind: str, value: str) -> str:
    """Normalise the spelling of a value."""
    if kind in ("phone", "card", "iban", "mac", "national_id"):
        value = "".join(c for c in value if c.isalnum())
    value = " ".join(value.split())
    return value.casefold() if kind in CASE_INSENSITIVE_KINDS else value


def _reserved_value(kind: str, value: str, code: str) -> str:
    """A reserved value of the same kind; empty for kinds without reserved values."""
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


def read_placeholder_key(path: Path | None, style: PlaceholderStyle) -> bytes:
    """Read the key; empty for numbered placeholders. ConfigError if it is missing or too short."""
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
            f"key_file has {len(key)} bytes; give at least {MIN_KEY_BYTES} random ones."
        )
    return key[:64]
