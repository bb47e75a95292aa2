"""Records that cross rooms are plain values."""

import pytest

from groundup.core import Answer, Claim, ConfigError, Message, Quote, Sampling


def test_sampling_is_greedy_by_default_and_refuses_unknown_keys():
    assert Sampling().temperature == 0
    with pytest.raises(ConfigError, match="top_k"):
        Sampling(topk=3)


def test_records_compare_by_value():
    quote = Quote("a.txt", 0, 5, "hello", 1)
    assert Answer("hello", claims=(Claim("hello", (quote,)),)) == Answer(
        "hello", claims=(Claim("hello", (Quote("a.txt", 0, 5, "hello", 1),)),)
    )
    assert Message("user", "hi") == ("user", "hi")
