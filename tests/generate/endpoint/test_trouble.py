"""What a server said becomes one short line and a decision."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from groundup.generate.endpoint.trouble import (
    SHOWN,
    one_line,
    refusal,
    retry_after,
    told,
    without,
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
    assert told(error) == found


def test_long_words_are_cut_and_secrets_blotted():
    assert len(one_line("word " * 1000)) == SHOWN
    assert without("abc")("x abc abcd") == "x [key] [key]d"
    assert without("")("x") == "x"


def test_the_time_to_come_back_is_seconds_or_a_date():
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after({"retry-after": "12"}) == 12
    assert 80 < (retry_after({"retry-after": format_datetime(later, usegmt=True)}) or 0) <= 90
    for text in ("soon", "", "-1", "nan", "1e9", "9" * 30):
        assert retry_after({"retry-after": text}) is None


def test_a_status_decides_what_comes_next():
    assert refusal(500, {}, "Only no echo is supported").code == "no_logprobs"
    assert refusal(503, {}, "").retry and not refusal(400, {}, "").retry
    assert refusal(302, {}, "").for_good
