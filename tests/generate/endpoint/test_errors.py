"""What a server said becomes one short line and a decision."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from groundup.generate.endpoint.errors import (
    MAX_QUOTED_CHARS,
    _retry_after_seconds,
    failure_from_status,
    parse_error,
    quote_message,
    secret_remover,
)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ({"message": "no", "code": 7}, ("no", "7")),
        ({"error": "no"}, ("no", "")),
        ({"detail": [{"loc": "x"}]}, ('[{"loc": "x"}]', "")),
        ("just words", ("just words", "")),
        ({}, ("{}", "")),
        (None, ("None", "")),
    ],
)
def test_an_error_is_read_in_any_shape(error, found):
    assert parse_error(error) == found


def test_long_words_are_cut_and_secrets_blotted():
    assert len(quote_message("word " * 1000)) == MAX_QUOTED_CHARS
    assert secret_remover("abc")("x abc abcd") == "x [key] [key]d"
    assert secret_remover("")("x") == "x"


def test_the_time_to_come_back_is_seconds_or_a_date():
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert _retry_after_seconds({"retry-after": "12"}) == 12
    assert (
        80 < (_retry_after_seconds({"retry-after": format_datetime(later, usegmt=True)}) or 0) <= 90
    )
    for text in ("soon", "", "-1", "nan", "1e9", "9" * 30):
        assert _retry_after_seconds({"retry-after": text}) is None


def test_a_status_decides_what_comes_next():
    assert failure_from_status(500, {}, "Only no echo is supported").code == "no_logprobs"
    assert failure_from_status(503, {}, "").retry and not failure_from_status(400, {}, "").retry
    assert failure_from_status(302, {}, "").is_permanent
