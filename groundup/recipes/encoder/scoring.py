"""What the encoder is worth: its classifiers beside the bag of words, on texts that neither saw.

Every system says of the same sentences whether they are positive. What is compared is the share of
right answers, of the encoder in the mean over its seeds; sentences of one text are redrawn together
and the difference is taken within each draw. The gate was set before the first full run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import (
    Artifact,
    Config,
    Draft,
    Message,
    Sample,
    produce,
    write_json,
    write_text,
)
from groundup.measure import (
    Interval,
    TestSetCard,
    above,
    bootstrap,
    check_requirement,
    make_testset,
    paired_difference,
    read_samples,
    record_access,
    write_verdict,
)

from .ratings import Rated, opinions
from .training import TuningConfig, answers
from .words import tuned

CLASSES = ("negative", "positive")
SYSTEMS = ("words", "encoder")
CARD = TestSetCard(
    name="rated sentences",
    source="The test texts of vaderSentiment's rated tables: tweets, reviews of products and of "
    "films, editorials; whole texts that neither pre-training nor tuning reads.",
    coverage="Short English texts whose mean rating by twenty people is at least 0.5 from neutral.",
    licence="MIT, as the package that carries them.",
)


class EncoderScoreConfig(Config):
    """How the classifiers are made that are compared."""

    tuning: TuningConfig = TuningConfig()
    """Of the encoder."""


def seal_ratings(ratings: Artifact, out: Path) -> Artifact:
    """Make the test opinions a test set."""
    samples = (
        Sample(row.id, (Message("user", row.text),), (CLASSES[row.rating > 0],), row.group)
        for row in opinions(ratings, "test")
    )
    return make_testset(CARD, samples, {"ratings": ratings}, out)


def assess_encoder(
    config: EncoderScoreConfig, encoder: Artifact, ratings: Artifact, testset: Artifact, out: Path
) -> Artifact:
    """Ask all systems; figures and answers become an artifact."""
    return produce(
        out, kind="report", stage="encoder_assess", version=2, config=config,
        parents={"encoder": encoder, "ratings": ratings, "testset": testset},
        write=lambda draft: _write_assessment(draft, config, encoder, ratings, testset),
    )  # fmt: skip


def _write_assessment(
    draft: Draft,
    config: EncoderScoreConfig,
    encoder: Artifact,
    ratings: Artifact,
    testset: Artifact,
) -> None:
    """The body of the stage."""
    record_access(testset, "the encoder recipe's assessment", encoder.id)
    training, held = (parts(opinions(ratings, split)) for split in ("train", "validation"))
    bag = tuned(training, held)
    said = answers(config.tuning, encoder, ratings, "test")
    samples = list(read_samples(testset))
    texts = [sample.conversation[0].content for sample in samples]
    said = {"words": bag.says(texts).tolist()} | said
    scores = compare_classifiers(said, samples)
    write_json(draft.file("assessment.json"), {
        "sentences": len(samples), "words": len(bag.places), "strength": bag.strength,
        "scores": scores,
    })  # fmt: skip
    rows = [
        {"id": sample.id, "text": text, "rated": sample.references[0],
         **{name: CLASSES[found[i]] for name, found in said.items()}}
        for i, (sample, text) in enumerate(zip(samples, texts, strict=True))
    ]  # fmt: skip
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_text(draft.file("answers.jsonl"), "".join(lines))
    draft.numbers |= {name: round(row["estimate"], 4) for name, row in scores.items()}


def validate(config: EncoderScoreConfig, encoder: Artifact, ratings: Artifact) -> dict[str, float]:
    """Share of right answers on the validation texts; the test set is not read.

    The bag of words and each classifier chose on these texts, so all are flattered alike.
    """
    training, held = (parts(opinions(ratings, split)) for split in ("train", "validation"))
    said = {"words": tuned(training, held).says(held[0]).tolist()}
    said |= answers(config.tuning, encoder, ratings, "validation")
    found = {name: float(np.mean(np.array(row) == held[1])) for name, row in said.items()}
    return found | {"encoder": float(np.mean([found[name] for name in found if name != "words"]))}


def parts(rows: Sequence[Rated]) -> tuple[list[str], list[bool]]:
    """Texts and whether each is positive."""
    return [row.text for row in rows], [row.rating > 0 for row in rows]


def compare_classifiers(
    said: dict[str, list[bool]], samples: Sequence[Sample]
) -> dict[str, dict[str, Any]]:
    """Share of right answers of each system, and what the encoder has more than the words."""
    truth = [sample.references[0] == "positive" for sample in samples]
    groups = [sample.group for sample in samples]
    right = {name: (np.array(found) == truth).astype(float) for name, found in said.items()}
    seeds = [right[name] for name in right if name != "words"]
    right["encoder"] = np.mean(seeds, axis=0)
    found = {name: bootstrap(row, groups, limits=(0, 1)) for name, row in right.items()}
    found["encoder - words"] = paired_difference(right["encoder"], right["words"], groups)
    return {name: dict(each._asdict()) for name, each in found.items()}


def gate_encoder(assessment: Artifact, encoder: Artifact, testset: Artifact, out: Path) -> Artifact:
    """Hold the difference against nothing: all of its interval must lie above."""
    found = json.loads(assessment.file("assessment.json").read_text(encoding="utf-8"))
    difference = Interval(**found["scores"]["encoder - words"])
    one = check_requirement(
        "right answers above the bag of words", difference, above(0), unit="share of answers",
        next="give more prose (--folder) and --tokens, or more rated texts",
    )  # fmt: skip
    return write_verdict([one], encoder, None, testset, author="the encoder recipe", out=out)
