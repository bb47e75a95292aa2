"""Every entry of personal.toml is used, compiles and names a check that exists."""

import re

import regex

from groundup.corpus.safety import numbers
from groundup.corpus.safety.patterns import CHECKS, PATTERNS
from groundup.corpus.safety.personal import CONTEXT_KINDS, VALIDATED_KINDS
from groundup.corpus.safety.phones import COUNTRY_CODE_LENGTHS, COUNTRY_GROUPINGS
from groundup.corpus.safety.tables import PERSONAL


def test_every_pattern_has_a_known_kind_and_check():
    rows = PERSONAL.data["patterns"]
    assert {row["kind"] for row in rows} == {*VALIDATED_KINDS, *CONTEXT_KINDS}
    assert len(rows) == len(PATTERNS)
    for row in rows:
        assert row["check"] in CHECKS or callable(getattr(numbers, row["check"])), row
        assert set(row) <= {"kind", "check", "needs", "word", "require", "pattern"}, row
        assert ("word" in row) == ("require" in row) and row.get("require", "bare") in (
            "always",
            "bare",
        )


def test_every_fragment_is_used_and_none_is_left_unexpanded():
    written = str(PERSONAL.data) + r"[ <SPACES>]"
    for name in PERSONAL.fragments:
        assert f"<{name}>" in written, name
    for pattern in PATTERNS:
        assert not re.search("<[A-Z_]+>", pattern.pattern.pattern)


def test_lists_have_no_doubles_and_tables_are_plausible():
    for words in PERSONAL.data["words"].values():
        assert len(set(words.split())) == len(words.split())
    assert len(COUNTRY_CODE_LENGTHS) == len(PERSONAL.data["phone"]["codes"].split())
    assert all(5 < least <= most <= 13 for least, most in COUNTRY_CODE_LENGTHS.values())
    assert len(numbers.IBAN_LENGTHS) == len(PERSONAL.data["iban"]["lengths"].split())
    assert all(15 <= length <= 34 for length in numbers.IBAN_LENGTHS.values())
    assert all(isinstance(pattern, regex.Pattern) for pattern in COUNTRY_GROUPINGS)
