"""Samples and sheets that the review's tests share."""

from pathlib import Path

from groundup.core import Artifact, Message, Sample
from groundup.measure.review.sheet import ReviewItem, ReviewSheet, sample_item
from groundup.measure.testset import TestSetCard, make_testset

PASSAGE = "𝒳 A lamp stands in the hall. It is lit at night, and nobody moves it."


def samples(number: int = 8) -> list[Sample]:
    start = PASSAGE.index("at night")
    metadata = {
        "kind": "fact", "passage": PASSAGE, "span": [start, start + 8], "source": "house.md",
        "model": "hidden-model-7b",
    }  # fmt: skip
    return [
        Sample(f"q{n}", (Message("user", f"When is lamp {n} lit?"),), ("at night",), "", metadata)
        for n in range(number)
    ]


def testset(path: Path, number: int = 8) -> Artifact:
    card = TestSetCard(name="lamps <b>", source="a house kept out of training")
    return make_testset(card, samples(number), {}, path)


testset.__test__ = False  # type: ignore[attr-defined]


def items(number: int = 8) -> list[ReviewItem]:
    return [sample_item(sample) for sample in samples(number)]


def sheet(place: Path, who: str = "ana", number: int = 8) -> ReviewSheet:
    return ReviewSheet(place, items(number), who, "salt")
