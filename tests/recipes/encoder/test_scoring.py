"""The difference is of the seeds' mean, and the gate asks for the whole interval."""

import pytest

from groundup.core import Message, Sample
from groundup.recipes.encoder.scoring import compare_classifiers


def samples(count: int = 60) -> list[Sample]:
    return [
        Sample(str(n), (Message("user", "x"),), (("negative", "positive")[n % 2],), f"g{n // 2}")
        for n in range(count)
    ]


def test_shares_and_difference():
    asked = samples()
    truth = [n % 2 == 1 for n in range(60)]
    half = [not t if n < 30 else t for n, t in enumerate(truth)]
    found = compare_classifiers({"words": half, "seed 0": truth, "seed 1": half}, asked)
    assert found["words"]["estimate"] == 0.5
    assert found["encoder"]["estimate"] == pytest.approx(0.75)
    gap = found["encoder - words"]
    assert gap["estimate"] == pytest.approx(0.25) and 0 < gap["low"] < gap["high"]


def test_equal_systems_differ_by_nothing():
    asked = samples()
    same = [n % 3 == 0 for n in range(60)]
    gap = compare_classifiers({"words": same, "seed 0": same}, asked)["encoder - words"]
    assert (gap["estimate"], gap["low"], gap["high"]) == (0, 0, 0)
