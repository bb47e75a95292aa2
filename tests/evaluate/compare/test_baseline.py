"""Bits per byte are of all bytes together, of a model and of a compressor alike."""

from math import log

import pytest

from groundup.core import Reason
from groundup.evaluate import DocumentScore, bits_per_byte, score_compressor
from groundup.measure import Interval, above, check_requirement


def test_bits_per_byte_is_of_all_bytes_together():
    found = bits_per_byte([
        DocumentScore("a", 30 * log(2), 10, 5, ""), DocumentScore("b", 10 * log(2), 30, 5, ""),
    ])  # fmt: skip
    assert isinstance(found, Interval) and found.estimate == pytest.approx(1.0)


def test_one_document_gives_a_reason_not_a_number():
    for scores in ([], [DocumentScore("a", 1.0, 10, 5, "")]):
        found = bits_per_byte(scores)
        assert isinstance(found, Reason) and found.code == "too_few_groups"
        assert not check_requirement("x", found, above(0)).passed


def test_a_compressor_is_a_baseline_for_any_model():
    found = score_compressor([("d0", "abc " * 200), ("d1", "ünïcode " * 150)])
    assert [score.bytes for score in found] == [800, 1500]
    assert 0 < found[0].nats / log(2) / 8 < 40
    assert all("compressor|xz" in score.signature for score in found)
    halved = [score._replace(nats=score.nats / 2) for score in found]
    xz, ours = bits_per_byte(found), bits_per_byte(halved)
    assert isinstance(xz, Interval) and isinstance(ours, Interval)
    assert ours.estimate == pytest.approx(xz.estimate / 2)
