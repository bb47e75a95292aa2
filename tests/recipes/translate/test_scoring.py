"""Differences of corpus scores are those of the scores, and gates hold their bounds."""

import json

import pytest
from torch.testing import assert_close

from groundup.core import Message, Reason, Sample
from groundup.measure import Bleu, Interval, corpus_score
from groundup.recipes.translate import scoring
from groundup.recipes.translate.pairs import PairsConfig, SentencePair, make_pairs, read_pairs
from groundup.recipes.translate.scoring import (
    Gap,
    TranslationScoreConfig,
    _spread,
    assess_translations,
    compare_translations,
    interval_from_dict,
    interval_to_dict,
    seal_pairs,
)
from tests.recipes.translate.manual import write_manual

REFERENCES = ["the cat sat on the mat", "a dog ran in the park", "birds fly over the sea",
              "we read books at night"]  # fmt: skip
SAID = {
    "copy": ["x y z w", "le chien court", "birds volent", "nous lisons"],
    "dictionary": ["the cat sit on mat", "a dog run in park", "birds fly on sea", "we read book"],
    "model": ["the cat sat on a mat", "a dog ran in the park", "birds fly over the sea", "we read"],
}
SAMPLES = [
    Sample(str(i), (Message("user", "?"),), (text,), f"page {i}")
    for i, text in enumerate(REFERENCES)
]


def test_differences_are_those_of_the_scores():
    found = compare_translations(SAID, SAMPLES)
    assert set(found) == {"BLEU", "chrF"}
    references = [[text] for text in REFERENCES]
    scores = {name: corpus_score(Bleu(), texts, references) for name, texts in SAID.items()}
    row = found["BLEU"]
    for name, score in scores.items():
        assert_close(row[name]["estimate"], score)
    for other in ("copy", "dictionary"):
        gap = row[f"model - {other}"]
        assert_close(gap["estimate"], scores["model"] - scores[other])
        assert gap["low"] <= gap["estimate"] <= gap["high"]


def test_a_gap_needs_two_rows():
    gap = Gap(Bleu())
    assert isinstance(gap.counts("a", ["a"]), Reason)
    row = list(Bleu().counts("the cat sat on the mat", ["the cat sat on the mat"]))
    assert gap.from_counts(row + row) == 0
    empty = [0] * len(row)
    for one in (row + empty, empty + row):
        assert isinstance(gap.from_counts(one), Reason)


@pytest.mark.parametrize("found", [Interval(1.0, 0.5, 2.0, 0.95, 9, 3), Reason("a", "b")])
def test_intervals_go_through_json(found):
    assert interval_from_dict(interval_to_dict(found)) == found


def test_samples_are_spread_evenly():
    assert [s.id for s in _spread(SAMPLES, 2)] == ["0", "2"]
    assert _spread(SAMPLES, 9) == SAMPLES


def test_the_answers_of_every_system_are_kept_beside_source_and_reference(tmp_path, monkeypatch):
    def shout(engine, sources, beams):
        return [source.upper() for source in sources], [True] * len(sources)

    monkeypatch.setattr(scoring, "_translations", shout)
    monkeypatch.setattr(scoring.Engine, "open", lambda path: None)
    pairs = make_pairs(PairsConfig(), *write_manual(tmp_path), tmp_path / "pairs")
    testset = seal_pairs(pairs, "made up", tmp_path / "testset")
    made = assess_translations(
        TranslationScoreConfig(sentences=4), pairs, pairs, testset, tmp_path / "assessment"
    )
    rows = [json.loads(line) for line in made.file("answers.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    held_out = set(read_pairs(pairs, "test"))
    for row in rows:
        assert SentencePair(row["page"], row["source"], row["reference"]) in held_out
        assert row["copy"] == row["source"] and row["model"] == row["source"].upper()
        assert row["dictionary"] not in ("", row["source"])
