"""The step `safety.secrets`: replace keys and passwords by typed placeholders.

Three kinds of evidence, from certain to likely: a provider's form (`AKIA…`, `ghp_…`, a PEM block),
a password in a URL, and a value assigned to a name such as `api_key` that looks random by its
entropy and its letter pairs. Examples, placeholders and test values are kept. Only the secret is
replaced, never its line. Patterns are linear and tried only if a required word is in the text.
Personal data is in personal.py.
"""

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config
from groundup.documents import Record, StepResult, TextEdit, join_lines, read_patterns

END = r"(?![A-Za-z0-9_+/=-])"
START = r"(?<![A-Za-z0-9_+/-])"
TABLES = read_patterns(Path(__file__).with_name("secrets.toml"))
PATTERNS = {name: re.compile(join_lines(written)) for name, written in TABLES["patterns"].items()}
COMMON_LETTER_PAIRS = frozenset(TABLES["words"]["pairs"].split())


class SecretForm(NamedTuple):
    """A provider's form of a secret: a line of secrets.txt."""

    kind: str
    needs: tuple[str, ...]
    """Lower-case words of which one must be in the text."""
    pattern: re.Pattern[str]


def _read_providers() -> tuple[SecretForm, ...]:
    providers = []
    text = (Path(__file__).parent / "secrets.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, needs, pattern = line.split("\t")
            pattern = pattern.replace("<START>", START).replace("<END>", END)
            pattern = pattern.replace("<NAME>", join_lines(TABLES["fragments"]["SECRET"]))
            providers.append(SecretForm(kind, tuple(needs.split()), re.compile(pattern)))
    return tuple(providers)


PROVIDERS = _read_providers()
REQUIRED_WORDS = sorted({need for provider in PROVIDERS for need in provider.needs})
# Forms that a word or a hash can also have: the value must look random.
AMBIGUOUS_KINDS = frozenset({
    "aws_secret_key", "twilio_token", "discord_token", "bearer_token", "basic_auth", "notion_token",
    "aws_session_token", "crates_token", "django_secret_key",
})  # fmt: skip
# Contexts of any value: it must look random and not like code.
ANY_VALUE_KINDS = frozenset({"defined", "element", "command_password", "session_cookie"})
# Contexts of passwords and nothing else.
PASSWORD_KINDS = frozenset({"url_password", "netrc", "pgpass"})

MIN_HEX_ENTROPY = 2.7  # bits a character; of 14 random hexadecimal digits 5 in 100 have less. Own.
SPECIAL_CHARACTERS = frozenset("!@#$%^&*+=~?")


class SecretsConfig(Config):
    """Which secrets are searched for, and what replaces them."""

    key: str = "groundup"
    """Key of the hash by which equal secrets of a record are recognised."""
    assignments: bool = True
    """Also find values assigned to names such as `api_key`, without a provider's form."""
    min_entropy: float = 3.6
    """Bits per character of a value assigned to such a name. Source: between detect-secrets' 3.0
    for hexadecimal and 4.5 for base64; set on the development half of real code."""
    max_pairs: float = 0.5
    """Share of letter pairs frequent in words, above which a value is not a secret. Own
    choice, on the development half of real code; random letters have .2, identifiers .7."""
    placeholder: str = "<SECRET:{kind}:{number}>"
    """Replacement; equal secrets of a record have equal numbers."""


class _SecretSpan(NamedTuple):
    start: int
    end: int
    kind: str


class ReplaceSecrets:
    """The step `safety.secrets`: replace secrets by placeholders."""

    def __init__(self, config: SecretsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        secrets = _find_secrets(record.text, self.config)
        if not secrets:
            return StepResult()
        numbers: dict[bytes, int] = {}
        edits, counts = [], Counter()
        for secret in secrets:
            value = record.text[secret.start : secret.end].encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(value, key=self.config.key.encode()[:64]).digest()
            number = numbers.setdefault(digest, len(numbers) + 1)
            placeholder = self.config.placeholder.format(kind=secret.kind, number=number)
            reason = f"secret: {secret.kind}"
            edits.append(TextEdit(secret.start, secret.end, reason, placeholder, is_private=True))
            counts[secret.kind] += 1
        return StepResult(edits=tuple(edits), metadata={"secrets": dict(sorted(counts.items()))})


def _find_secrets(text: str, config: SecretsConfig) -> list[_SecretSpan]:
    """Find the secrets of a text, in order and without overlaps."""
    ordered = sorted(_secret_candidates(text, config), key=lambda s: (s.start, -s.end))
    kept: list[_SecretSpan] = []
    for secret in ordered:
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def _secret_candidates(text: str, config: SecretsConfig) -> Iterator[_SecretSpan]:
    lower = text.lower()
    present = {literal for literal in REQUIRED_WORDS if literal in lower}
    if len(lower) != len(text):  # a few letters change length in lower case; then try every pattern
        present = set(REQUIRED_WORDS)
    for kind, needs, pattern in PROVIDERS:
        if present.isdisjoint(needs):
            continue
        for match in pattern.finditer(text):
            group = next((at for at in range(1, pattern.groups + 1) if match[at]), 0)
            if _is_secret(kind, match[group], config):
                yield _SecretSpan(*match.span(group), kind)
    if config.assignments and PATTERNS["assigned_needs"].search(text):
        for match in PATTERNS["assigned"].finditer(text):
            group = 3 if match[3] else 4
            is_code = group == 4 and PATTERNS["member_access"].fullmatch(match[4])
            if not is_code and _is_assigned_secret(match[1], match[group], config):
                yield _SecretSpan(*match.span(group), "assigned")


def _is_secret(kind: str, value: str, config: SecretsConfig) -> bool:
    if kind in PASSWORD_KINDS:
        return not PATTERNS["url_placeholder"].match(value) and not value.startswith("$")
    if kind in ANY_VALUE_KINDS:
        return _looks_random(value, config)
    if kind == "docker_auth":
        return _is_docker_login(value)
    if kind in AMBIGUOUS_KINDS and not _is_random(value.removeprefix("django-insecure-"), config):
        return False
    if PATTERNS["strong_placeholder"].search(value if kind != "private_key" else value[:200]):
        return False
    return kind == "private_key" or len(set(value)) >= 8


def _is_assigned_secret(name: str, value: str, config: SecretsConfig) -> bool:
    """Whether a value assigned to a name is a secret; UUIDs need a more specific name than token.

    >>> said = "550e8400-e29b-41d4-a716-446655440000"
    >>> [_is_assigned_secret(name, said, SecretsConfig()) for name in ("token", "heroku_api_key")]
    [False, True]
    >>> names = ("public_key", "token_type", "api_key")
    >>> [_is_assigned_secret(name, "hZ9x2LqP0vTr7KdW", SecretsConfig()) for name in names]
    [False, False, True]
    """
    if PATTERNS["uuid"].fullmatch(value) and not PATTERNS["uuid_name"].search(name):
        return False
    is_harmless = PATTERNS["harmless_name"].search(name) is not None  # it only sounds secret
    return _looks_random(value, config) and not is_harmless


def _is_docker_login(value: str) -> bool:
    """Whether base64 decodes to a user and a password, as in Docker's configuration."""
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return False
    is_example = PATTERNS["url_placeholder"].match(password) is not None
    return bool(user and colon and password.isprintable() and not is_example)


def _looks_random(value: str, config: SecretsConfig) -> bool:
    """Whether a value looks generated rather than written by a person."""
    kinds = (PATTERNS["placeholder"], PATTERNS["looks_like_code"])
    is_written = len(value) < 12 or any(kind.search(value) for kind in kinds)
    return not is_written and _is_random(value, config)


def _is_random(value: str, config: SecretsConfig) -> bool:
    if not value.isascii():  # generated secrets are ASCII; the rest are words of other languages
        return False
    digits = sum(map(str.isdigit, value))
    hexadecimal = re.fullmatch(r"[0-9a-fA-F-]+", value) is not None
    # A short value has at most log2 of its length.
    least = min(config.min_entropy, 0.78 * math.log2(len(value)))
    entropy = _character_entropy(value)
    if hexadecimal:  # words of a to f have no digits, numbers no letters
        return len(value) >= 14 and 0 < digits < len(value) and entropy >= MIN_HEX_ENTROPY
    if digits == len(value) or entropy < least:
        return False
    if not digits:  # letters alone: both cases or odd signs, and unlike words or CamelCase
        mixed = sum(a.islower() and b.isupper() for a, b in zip(value, value[1:], strict=False))
        is_mixed = mixed * 6 >= len(value) or not SPECIAL_CHARACTERS.isdisjoint(value)
        return is_mixed and _pair_share(value) <= config.max_pairs * 0.7
    cases = (value.lower() != value) + (value.upper() != value)
    kinds = cases + bool(digits) + (not value.isalnum())
    return _pair_share(value) <= config.max_pairs + (0.2 if kinds >= 3 else 0.0)


def _character_entropy(value: str) -> float:
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def _pair_share(value: str) -> float:
    pairs = [a + b for a, b in zip(value, value[1:], strict=False) if a.isalpha() and b.isalpha()]
    if len(pairs) < 3:
        return 0.0
    # A change from lower to upper case does not occur within words, so such a pair does not count.
    words = [pair for pair in pairs if pair[0].isupper() or pair[1].islower()]
    return sum(pair.lower() in COMMON_LETTER_PAIRS for pair in words) / len(pairs)
