"""Files become questions whose right answer is what people said; a damaged row is named."""

import random
from pathlib import Path

import pytest

from groundup.core import DataError
from groundup.evaluate.task.builtin import words
from groundup.evaluate.task.builtin.families import BUILTIN
from groundup.evaluate.task.prompt import TaskOptions

ANALOGIES = """: capitals
Athens Greece Oslo Norway
Oslo Norway Rome Italy
Rome Italy Paris France
Paris France Athens Greece
: short
good better
"""
RATED = "1_1\t2.5\tA fine day.\n1_2\t0.1\tA day.\n2_1\t-1.5\tA bad\tday.\n3\t0.5\tFine.\n"
PAIRS = "# title\ntiger\tcat\t7.4\ntiger\tanimal\t7.0\ntiger\tpaper\t1.2\ncar\tpaper\t1.0\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_analogies_offer_ends_of_the_same_category(tmp_path: Path):
    path = write(tmp_path / "questions-words.txt", ANALOGIES.partition(": short")[0])
    found = words.read_analogy_questions(path)
    assert [each.text for each in found][:2] == [
        "Athens is to Greece as Oslo is to", "Oslo is to Norway as Rome is to",
    ]  # fmt: skip
    for each in found:
        assert each.answer in each.options and each.group == "capitals"
        assert each.text.split()[3] not in each.options and len(each.options) == 3
    assert words.read_analogy_questions(path) == found
    with pytest.raises(DataError, match="line 7: expected 4 columns"):
        words.read_analogy_questions(write(path, ANALOGIES))


def test_similarity_asks_only_where_one_word_is_clearly_nearest(tmp_path: Path):
    found = words.read_similarity_questions(write(tmp_path / "wordsim353.tsv", PAIRS))
    assert [each[1:] for each in found] == [("cat", ("cat", "paper"), "tiger")]
    assert "related to tiger" in found[0].text
    with pytest.raises(DataError, match="expected a rating; got 'x'"):
        words.read_similarity_questions(write(tmp_path / "wordsim353.tsv", "a\tb\tx\n"))


def test_sentiment_leaves_out_the_middle_and_keeps_snippets_together(tmp_path: Path):
    found = words.read_sentiment_questions(write(tmp_path / "rated.txt", RATED))
    assert [(each.text, each.answer, each.group) for each in found] == [
        ("A fine day.", "positive", "1"),
        ("A bad\tday.", "negative", "2"),
        ("Fine.", "positive", "3"),
    ]


def test_a_files_questions_come_in_a_fair_order(tmp_path: Path):
    found = words.read_sentiment_questions(write(tmp_path / "rated.txt", RATED))
    orders = {tuple(words.shuffled_questions(found)(random.Random(seed))) for seed in range(20)}
    assert len(orders) > 1 and all(sorted(order) == sorted(found) for order in orders)


def test_a_file_of_the_data_folder_becomes_a_task(tmp_path: Path):
    (tmp_path / "hutto").mkdir()
    write(tmp_path / "hutto" / "tweets_GroundTruth.txt", RATED)
    task = BUILTIN["vader_tweets"].make(TaskOptions(tmp_path, few_shot=2), None)
    items = list(task.items(None, None))
    assert len(items) == 3 and {item.group for item in items} == {"1", "2", "3"}
    first = items[0]
    assert first.prompt.startswith("Is the text positive or negative?\n\nText: ")
    assert first.prompt.endswith("\nSentiment:") and first.prompt.count("Sentiment:") == 3
    assert [pair.continuation for pair in first.pairs] == [" positive", " negative"]
    assert first.document["question"] not in first.prompt.rpartition("\n\n")[0]
