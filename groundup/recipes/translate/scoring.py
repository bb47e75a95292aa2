"""What the translations are worth: BLEU and chrF beside copying and the dictionary, page by page.

Every system translates the same unseen sentences; pages are redrawn whole, and differences are
taken within each draw. The gates were set before the first full run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    Draft,
    Message,
    Reason,
    Sample,
    produce,
    record,
    write_json,
    write_text,
)
from groundup.generate import BeamConfig, Engine, beam_search
from groundup.measure import (
    Bleu,
    Chrf,
    Interval,
    TestSetCard,
    above,
    at_least,
    check_requirement,
    corpus_counts,
    corpus_interval,
    make_testset,
    rate,
    read_samples,
    record_access,
    write_verdict,
)

from .baselines import Dictionary
from .pairs import read_pairs

SYSTEMS = ("copy", "dictionary", "model")
MEASURES = {"BLEU": Bleu(), "chrF": Chrf()}
AT_A_TIME = 64
"""Sentences between two moves of the progress bar."""


class TranslationScoreConfig(Config):
    """How to translate, and how much."""

    sentences: int = Field(default=400, ge=2)
    """Test sentences that are translated, spread over the pages."""
    beams: BeamConfig = BeamConfig(width=4, max_tokens=128)
    """How the model searches."""


def seal_pairs(pairs: Artifact, licence: str, out: Path) -> Artifact:
    """Make the test pairs a test set."""
    card = TestSetCard(
        name="held-out sentences",
        source="Pages of the manual that training never reads; sentences that stand in training "
        "pages too are left out.",
        coverage="Sentences and titles of technical manuals; one translation each.",
        licence=licence,
    )
    samples = (
        Sample(f"{i}", (Message("user", pair.source),), (pair.target,), pair.page)
        for i, pair in enumerate(read_pairs(pairs, "test"))
    )
    return make_testset(card, samples, {"pairs": pairs}, out)


def assess_translations(
    config: TranslationScoreConfig, model: Artifact, pairs: Artifact, testset: Artifact, out: Path
) -> Artifact:
    """Translate the test set by all systems; figures and answers become an artifact."""
    return produce(
        out, kind="report", stage="translate_assess", version=1, config=config,
        parents={"model": model, "pairs": pairs, "testset": testset},
        write=lambda draft: _write_assessment(draft, config, model, pairs, testset),
    )  # fmt: skip


def _write_assessment(
    draft: Draft,
    config: TranslationScoreConfig,
    model: Artifact,
    pairs: Artifact,
    testset: Artifact,
) -> None:
    """The body of the stage."""
    record_access(testset, "the translate recipe's assessment", model.id)
    samples = _spread(list(read_samples(testset)), config.sentences)
    sources = [sample.conversation[0].content for sample in samples]
    dictionary = Dictionary.learn([pair[1:] for pair in read_pairs(pairs, "train")])
    written, has_ended = _translations(Engine.open(model.path), sources, config.beams)
    said = {
        "copy": sources,
        "dictionary": [dictionary(source) for source in sources],
        "model": written,
    }
    scores = compare_translations(said, samples)
    write_json(draft.file("assessment.json"), {
        "sentences": len(samples), "words": len(dictionary.words), "scores": scores,
        "ended": rate(has_ended, [sample.group for sample in samples])._asdict(),
    })  # fmt: skip
    rows = [
        {"page": sample.group, "source": source, "reference": sample.references[0],
         **{name: texts[i] for name, texts in said.items()}}
        for i, (sample, source) in enumerate(zip(samples, sources, strict=True))
    ]  # fmt: skip
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_text(draft.file("answers.jsonl"), "".join(lines))
    draft.numbers |= {
        f"{measure} of {name}": round(row[name].get("estimate", 0.0), 2)
        for measure, row in scores.items()
        for name in SYSTEMS
    }


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many samples, evenly over their order."""
    if len(samples) <= most:
        return list(samples)
    return [samples[i * len(samples) // most] for i in range(most)]


def _translations(
    engine: Engine, sources: Sequence[str], config: BeamConfig
) -> tuple[list[str], list[bool]]:
    """The best translation of each source, and whether the model ended it itself."""
    texts, has_ended = [], []
    with record.progress("translations", len(sources), "sentences") as bar:
        for first in range(0, len(sources), AT_A_TIME):
            prompts = [engine.encode_prompt(text) for text in sources[first : first + AT_A_TIME]]
            for best, *_ in beam_search(engine, prompts, config):
                texts.append(best.generation.text.strip())
                has_ended.append(best.generation.finish_reason == "stop")
            bar.advance(len(prompts))
    return texts, has_ended


class Gap:
    """The difference of two systems' corpus scores, as a measure of their rows side by side."""

    def __init__(self, measure: Any) -> None:
        self.measure, self.signature = measure, f"difference|{measure.signature}"

    def counts(self, candidate: str, references: Sequence[str]) -> Reason:
        """One answer alone has no difference."""
        return Reason("one_answer", "A difference needs two systems' rows side by side.")

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """The first half's score minus the second's."""
        half = len(counts) // 2
        score = self.measure.from_counts
        ours, theirs = score(counts[:half]), score(counts[half:])
        if isinstance(ours, Reason):
            return ours
        return theirs if isinstance(theirs, Reason) else ours - theirs


def compare_translations(
    said: dict[str, Sequence[str]] | dict[str, list[str]], samples: Sequence[Sample]
) -> dict[str, dict[str, Any]]:
    """Each measure of each system, and what the model has more than each other."""
    references = [sample.references for sample in samples]
    pages = [sample.group for sample in samples]
    found: dict[str, dict[str, Any]] = {}
    for name, measure in MEASURES.items():
        rows = {system: corpus_counts(measure, said[system], references).rows for system in SYSTEMS}
        row = {
            system: interval_to_dict(corpus_interval(measure, rows[system], pages))
            for system in SYSTEMS
        }
        for other in SYSTEMS[:-1]:
            both = np.hstack([rows["model"], rows[other]])
            row[f"model - {other}"] = interval_to_dict(corpus_interval(Gap(measure), both, pages))
        found[name] = row
    return found


def interval_to_dict(found: Interval | Reason) -> dict[str, Any]:
    """An interval or why there is none, for JSON."""
    return dict(found._asdict())


def interval_from_dict(row: dict[str, Any]) -> Interval | Reason:
    """What `interval_to_dict` wrote."""
    return Reason(**row) if "code" in row else Interval(**row)


def gate_translations(
    assessment: Artifact, model: Artifact, testset: Artifact, out: Path
) -> Artifact:
    """Hold the figures against the gates."""
    found = json.loads(assessment.file("assessment.json").read_text(encoding="utf-8"))
    scores, more = found["scores"], "give more --epochs, or more pages"
    checks = [
        check_requirement(
            f"{measure} above {words}",
            interval_from_dict(scores[measure][f"model - {other}"]),
            above(0),
            unit=f"points of {measure}",
            next=more,
        )
        for measure, other, words in GATES
    ]
    checks.append(
        check_requirement(
            "translations ended",
            interval_from_dict(found["ended"]),
            at_least(0.95),
            "estimate",
            unit="of sentences",
            next=more,
        )
    )
    return write_verdict(checks, model, None, testset, author="the translate recipe", out=out)


GATES = (
    ("BLEU", "copy", "copying"),
    ("BLEU", "dictionary", "the dictionary"),
    ("chrF", "copy", "copying"),
)
"""Measure, what the model must have more than for sure, and its name in words."""
