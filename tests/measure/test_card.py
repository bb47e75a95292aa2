"""What is wrong with a test set is said before it is used, and nothing is said of a sound one."""

from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import pytest

from groundup.core import Message, Reason, Sample
from groundup.measure.card import (
    MIN_GROUPS,
    NEAR_DUPLICATE_JACCARD,
    _casefolded_words,
    _find_contradictions,
    _guess_language,
    _last_user_message,
    _near_duplicate_pairs,
    card_statistics,
    check_grounding,
    contains_in_order,
    detectable_difference,
    examine_samples,
    suspect_labels,
)
from groundup.measure.stats.interval import z_value

NOUNS = "apple brick cloud daisy ember flute grape honey ivory jewel".split()


def ask(name, text, *references, group="", **metadata):
    return Sample(name, (Message("user", text),), references, group or name, metadata)


def sound(number=400):
    """Samples with nothing wrong: distinct questions, many groups, four kinds."""
    return [
        ask(
            f"s{n}", f"How many {NOUNS[n % 10]} pieces are in box {n} of hall h{n * 7 % 400}?",
            f"{n + 1000} pieces", group=f"g{n % 40}", kind="abcd"[n % 4],
        )
        for n in range(number)
    ]  # fmt: skip


def codes(samples, **options):
    return [finding.code for finding in examine_samples(samples, **options)]


def test_a_sound_test_set_has_no_findings():
    assert codes(sound()) == []


@pytest.mark.parametrize(
    "code, severity, bad",
    [
        ("contradiction", "error", ask("x", "how many apple pieces are in box 0, of hall h0", "7")),
        ("empty", "error", ask("x", "  ", "7")),
        ("empty", "error", ask("x", "Where is the fifth ladder kept?", "")),
        ("truncated", "warning", ask("x", "Where is the fifth ladder kept?", "in the")),
        ("truncated", "warning", ask("x", "Where is the fifth ladder…", "in the barn")),
        ("given_away", "warning", ask("x", "Is the fifth ladder red or blue?", "Red")),
        ("no_reference", "warning", ask("x", "Where is the fifth ladder kept?")),
        ("duplicate", "warning", replace(sound(1)[0], id="x")),
        ("mixed_languages", None, ask("x", "Wo ist die fünfte Leiter, und wem gehört sie?", "da")),
    ],
)
def test_each_flaw_is_found_with_its_sample(code, severity, bad):
    found = [finding for finding in examine_samples([*sound(), bad]) if finding.code == code]
    if severity is None:  # one in four hundred is no mixture
        assert not found
        return
    (finding,) = found
    assert finding.severity == severity and "x" in finding.samples and "x" in finding.message


def test_samples_that_must_be_refused_need_no_reference():
    marked = [ask("x", "Who is the sixth?", kind="unanswerable"), ask("y", "Who?", refusal=True)]
    assert "no_reference" not in codes([*sound(), *marked])


def test_skew_and_thinness_are_told():
    assert codes([replace(s, group="one") for s in sound()[:300]] + sound()[300:]) == [
        "skewed_group"
    ]
    of_a = [replace(s, metadata={"kind": "a"}) for s in sound()[:390]]
    assert codes(of_a + sound()[390:]) == ["skewed_kind", "thin_kinds"]
    assert codes(sound()[:30]) == ["thin", "thin_kinds"]
    assert codes([replace(s, group=f"g{n % 3}") for n, s in enumerate(sound())]) == [
        "few_groups", "skewed_group",
    ]  # fmt: skip
    assert codes(sound(), margin=0.05) == ["thin"]
    for groups, is_few in ((MIN_GROUPS - 1, True), (MIN_GROUPS, False)):
        grouped = [replace(s, group=f"g{n % groups}") for n, s in enumerate(sound())]
        assert ("few_groups" in codes(grouped)) == is_few


def test_another_language_is_told_when_it_is_more_than_a_few():
    german = [
        ask(f"d{n}", f"Wie viele Teile sind in der Kiste {n} und wo ist die Kiste?", f"{n} Teile")
        for n in range(30)
    ]
    assert "mixed_languages" in codes([*sound(), *german])
    assert card_statistics([*sound(3), *german[:2]])["languages"] == {"English": 3, "German": 2}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("What does the option do?", "English"),
        ("Was macht die Option und wie wird sie benutzt?", "German"),
        ("Que fait cette option et dans quel cas ?", "French"),
        ("これは何ですか", "HIRAGANA"),
        ("Что делает эта опция?", "CYRILLIC"),
        ("shutil.copy(src, dst)", "unknown"),
        ("", "unknown"),
    ],
)
def test_languages(text, expected):
    assert _guess_language(text) == expected


def thin(number: int) -> list[str]:
    """What is said of so many samples that are too few."""
    samples = [ask(str(n), f"What is {n}?", str(n)) for n in range(number)]
    return [found.message for found in examine_samples(samples) if found.code == "thin"]


def test_the_detectable_difference_is_that_of_the_normal_approximation():
    n = 157
    assert detectable_difference(n) < 0.1 < detectable_difference(n - 1)
    assert thin(n) == []
    (message,) = thin(50)
    assert str(n) in message and "17.8 points" in message
    assert detectable_difference(400) == pytest.approx(detectable_difference(100) / 2)
    assert z_value(0.95) == pytest.approx(1.96, abs=0.001)


def test_near_questions_are_all_pairs_that_a_slow_search_finds():
    samples = sound(120) + [
        replace(
            s, id=f"{s.id}b", conversation=(Message("user", _last_user_message(s) + " Please."),)
        )
        for s in sound(120)[::3]
    ]
    sets = {s.id: set(_casefolded_words(_last_user_message(s)).split()) for s in samples}
    slow = {
        (a, b)
        for a, b in combinations(sets, 2)
        if len(sets[a] & sets[b]) >= NEAR_DUPLICATE_JACCARD * len(sets[a] | sets[b])
    }
    assert set(_near_duplicate_pairs(samples)) == slow and len(slow) > 20


class Page(NamedTuple):
    """A document."""

    path: str
    text: str


def test_answers_are_looked_up_in_their_source():
    pages = [Page("a.md", "The port is\n`8080` by default."), Page("b.md", "Nothing.")]

    def quoted(name, reply, start, end, document="a.md"):
        about = {
            "document": document,
            "quote": pages[0].text[start:end],
            "start": start,
            "end": end,
        }
        return ask(name, "Which port?", reply, **about)

    good = quoted("good", "8080", 12, 18)
    assert good.metadata["quote"] == "`8080`" and check_grounding([good], pages) == []
    moved = replace(good, id="moved", metadata=good.metadata | {"start": 0, "end": 6})
    bad = [
        moved, quoted("other", "9090", 12, 18), quoted("gone", "8080", 12, 18, "c.md"),
        quoted("else", "8080", 12, 18, "b.md"), ask("by hand", "Which?", "8080"),
        ask("none", "Which?", document="a.md"),
    ]  # fmt: skip
    found = {finding.code: finding.samples for finding in check_grounding(bad, pages)}
    assert found == {
        "source_missing": ("gone",), "source_changed": ("moved", "else"), "ungrounded": ("other",),
    }  # fmt: skip


def test_words_must_stand_in_their_order():
    assert contains_in_order("The **quick** :ref:`fox`", "the quick fox")
    assert not contains_in_order("The quick fox", "fox quick") and not contains_in_order("", "a")


def test_labels_that_good_systems_fail_are_suspect():
    samples = sound(10)
    good, better = [1.0] * 9 + [0.0], [1.0] * 8 + [0.0, 0.0]
    poor = [0.0] * 9 + [1.0]
    (finding,) = suspect_labels(samples, {"a": good, "b": better, "c": poor})
    assert finding.samples == ("s9",) and "2 systems" in finding.message
    assert suspect_labels(samples, {"a": good, "c": poor}) == []
    failed = [Reason("empty_answer", "Nothing came.")] * 10
    assert suspect_labels(samples, {"a": failed, "b": failed}) == []


def test_questions_on_one_matter_with_one_answer_are_both_near_duplicates():
    asked = "control localization over a large section of a template"
    same = [
        ask("one", f"In “Format: localize”, how can you {asked}?", "use the tag"),
        ask("two", f"According to “Format: other”, what do you do to {asked}?", "use the tag"),
        ask("three", "What is the default of the parameter `distinct` of `JSONBAgg`?", "False"),
        ask("four", "What is the default of the parameter `distinct` of `ArrayAgg`?", "False"),
    ]  # fmt: skip
    (found,) = [finding for finding in examine_samples(same) if finding.code == "near_duplicate"]
    assert found.samples == ("one", "two") and "2 samples ask nearly" in found.message


def test_messages_are_grammatical_and_their_numbers_differ():
    (found,) = [
        f for f in examine_samples([ask("x", "Where is it…", "in")]) if f.code == "truncated"
    ]
    assert found.message == "1 sample ends in the middle of a sentence (x)"
    (message,) = thin(150)
    assert "150 samples show a difference of 10.3 points" in message


def test_the_last_turn_alone_is_no_contradiction():
    def talk(first: str, reference: str) -> Sample:
        said = (Message("user", first), Message("assistant", "Yes?"), Message("user", "Go on."))
        return Sample(first + reference, said, (reference,), first)

    apart = [talk("Tell me of ports.", "80"), talk("Tell me of colours.", "red")]
    assert not list(_find_contradictions(apart))
    (found,) = _find_contradictions([*apart, talk("Tell me of ports.", "8080")])
    assert found.message.startswith("2 samples ask 'Go on.'") and len(found.samples) == 2


def test_names_in_code_marks_that_differ_in_case_are_two_questions():
    two = [ask("a", "Where is `sql.delete` described?", "1"),
           ask("b", "Where is `sql.Delete` described?", "2")]  # fmt: skip
    assert not list(_find_contradictions(two))
    same = [two[0], ask("c", "where is `sql.delete` described", "2")]
    assert [finding.samples for finding in _find_contradictions(same)] == [("a", "c")]
