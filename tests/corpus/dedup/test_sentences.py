"""Three sentences in a row stay where they were said first."""

import random

from groundup.corpus.dedup.sentences import Sentences, SentencesConfig
from groundup.documents import follow
from tests.corpus.dedup.shards import dropped, record, survey, words


def said(seed: int, count: int = 1) -> str:
    return " ".join(words(1_000 * seed + n, 12).capitalize() + "." for n in range(count))


def test_three_sentences_seen_before_go_and_two_stay(tmp_path):
    three, two = said(1, 3), said(2, 2)
    records = [
        record(f"{n}", f"{said(10 + n, 5)} {three} {said(30 + n, 5)} {two}\n") for n in range(4)
    ]
    rulings = survey(Sentences(SentencesConfig()), records, tmp_path)
    kept = min(one.id for one in records)
    assert set(rulings) == {one.id for one in records} - {kept} and not dropped(rulings)
    for number, one in enumerate(records):
        if one.id in rulings:
            left = follow(one, rulings[one.id])
            assert left.text == f"{said(10 + number, 5)} {said(30 + number, 5)} {two}\n"


def test_order_and_shards_do_not_matter(tmp_path):
    shared = [said(50 + n, 3 + n) for n in range(3)]
    records = [record(f"{n}", said(100 + n, 6) + " " + shared[n % 3]) for n in range(20)]
    records += [record("twice", f"{said(300, 5)} {shared[0]} {said(301, 4)} {shared[0]}")]
    first = survey(Sentences(SentencesConfig()), records, tmp_path / "0", 1)
    assert len(first) >= 18
    random.Random(0).shuffle(records)
    assert survey(Sentences(SentencesConfig()), records, tmp_path / "1", 3) == first


def test_a_record_of_which_too_little_is_left_goes(tmp_path):
    records = [record("0", said(1, 9)), record("1", said(1, 9) + " Two more words.")]
    rulings = survey(Sentences(SentencesConfig()), records, tmp_path)
    assert len(dropped(rulings)) == 1 and len(rulings) == 1


def test_places_are_characters_and_case_and_marks_do_not_count(tmp_path):
    one = "Äpfel sind rot! Birnen sind gelb? Pflaumen sind blau."
    other = "ÄPFEL sind\trot!! 漢字。Birnen, sind gelb?\nPflaumen sind (blau).\n"
    filler = [f"é{said(n, 6)}\n" for n in range(2)]
    records = [record("0", filler[0] + one), record("1", filler[1] + one.upper().replace(".", "!"))]
    rulings = survey(Sentences(SentencesConfig()), records, tmp_path)
    ((name, ruling),) = rulings.items()
    at = next(place for place, one in enumerate(records) if one.id == name)
    assert follow(records[at], ruling).text == filler[at]
    assert survey(Sentences(SentencesConfig()), [record("0", other)], tmp_path / "1") == {}


def test_hostile_texts_pass(tmp_path):
    texts = ["", "\0", "." * 1_000_000, "!? " * 300_000, "a" * 2_000_000, "\n" * 100_000]
    records = [record(f"{n}", text) for n, text in enumerate(texts)]
    assert survey(Sentences(SentencesConfig()), records, tmp_path) == {}
