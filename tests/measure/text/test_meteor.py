"""METEOR's alignments are as good as they say; that `nltk` equals NLTK is in test_agreement.py."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ConfigError, Reason
from groundup.measure.text.meteor import (
    METEOR_PRESETS,
    Meteor,
    _align_as_nltk,
    _align_fewest_chunks,
    _count_chunks,
    _match_options,
)

vocabulary = st.sampled_from("the car automobile cars running run a".split())
sentence = st.lists(vocabulary, max_size=6)
anything = st.text(st.characters(), max_size=20)


def best_by_trying_all(answer, reference) -> tuple:
    """(exact, stem, synonym matches, minus chunks) of the best of all alignments."""
    best = (0, 0, 0, 0)
    options = [[None, *ways] for ways in _match_options(answer, reference)]
    for choice in product(*options):
        taken = [way for way in choice if way]
        places = [j for _, j in taken]
        if len(set(places)) == len(places):
            matches = [(i, way[1]) for i, way in enumerate(choice) if way]
            stages = [sum(stage == k for stage, _ in taken) for k in range(3)]
            best = max(best, (*stages, -_count_chunks(matches)))
    return best


@settings(max_examples=60, deadline=None)
@given(sentence, sentence)
def test_fewest_chunks_is_the_best_of_all_alignments(answer, reference):
    matches = _align_fewest_chunks(answer, reference)
    ways = _match_options(answer, reference)
    stages = [next(stage for stage, place in ways[i] if place == j) for i, j in matches]
    found = (*(stages.count(k) for k in range(3)), -_count_chunks(matches))
    assert found == best_by_trying_all(answer, reference)


@given(sentence, sentence)
def test_no_word_is_matched_twice(answer, reference):
    for align in (_align_fewest_chunks, _align_as_nltk):
        matches = align(answer, reference)
        assert matches == sorted(matches)
        assert all(len(set(side)) == len(side) for side in zip(*matches, strict=True))


@given(anything, st.lists(anything, min_size=1, max_size=2), st.sampled_from(list(METEOR_PRESETS)))
def test_a_score_is_a_number_from_0_to_1_or_a_reason(answer, references, preset):
    found = METEOR_PRESETS[preset].sentence(answer, references)
    assert isinstance(found, Reason) or (0 <= found <= 1 and math.isfinite(found))


def test_synonyms_and_stems_count():
    paper, nltk = METEOR_PRESETS["banerjee-2005"], METEOR_PRESETS["nltk"]
    assert paper.sentence("car", ["automobiles"]) == 0.5
    assert paper.sentence("happiness", ["felicity"]) == 0.5
    # NLTK looks up the stem `happi`, which is no word.
    assert nltk.sentence("happiness", ["felicity"]) == 0
    assert nltk.sentence("car", ["automobile"]) == 0 and paper.sentence("car", ["banana"]) == 0


def test_order_costs():
    paper = METEOR_PRESETS["banerjee-2005"]
    straight = paper.sentence("a b c d", ["a b c d"])
    assert straight > paper.sentence("d c b a", ["a b c d"]) == 0.5


def test_fewest_chunks_finds_what_last_first_misses():
    answer, reference = "the cat".split(), "the cat saw the".split()
    assert _count_chunks(_align_fewest_chunks(answer, reference)) == 1
    assert _count_chunks(_align_as_nltk(answer, reference)) == 2


def test_the_example_of_the_literature():
    start = "It is a guide to action"
    answer = f"{start} which ensures that the military always obeys the commands of the party"
    reference = f"{start} that ensures that the military will forever heed Party commands"
    assert METEOR_PRESETS["nltk"].sentence(answer, [reference]) == pytest.approx(0.6944, abs=1e-4)


def test_many_equal_words_end_in_time():
    words = ["the"] * 80
    assert _count_chunks(_align_fewest_chunks(words, words)) == 1


def test_edges():
    paper = METEOR_PRESETS["banerjee-2005"]
    assert paper.sentence("", ["a"]) == 0 and paper.sentence("a", ["", "a"]) == 0.5
    assert paper.sentence("a", [""]).code == "empty_reference"
    assert paper.sentence("a", []).code == "no_reference"
    assert len({meteor.signature for meteor in METEOR_PRESETS.values()}) == 3
    with pytest.raises(ConfigError):
        Meteor(alpha=2)
