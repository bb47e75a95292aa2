"""Every built-in task says what people must know, asks that, and refuses what it has not."""

import random
from itertools import islice
from pathlib import Path

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task import builtin
from groundup.evaluate.task.builtin import BUILTIN, GENERATED, PACKAGED
from groundup.evaluate.task.catalogue import list_tasks, open_tasks
from groundup.evaluate.task.task import EvaluationTask, TaskOptions


def test_every_entry_tells_what_it_is_and_under_which_terms():
    for name, entry in BUILTIN.items():
        assert name and entry.description and entry.licence, name
        assert len(entry.description) <= 80 and not entry.description.endswith("."), name
    assert {one.name for one in list_tasks().tasks} == {*BUILTIN}
    assert {*GENERATED, *PACKAGED, "humaneval"} == {*BUILTIN}


@pytest.mark.parametrize("name", GENERATED)
def test_levels_are_harder_versions_of_the_same(name: str):
    lengths = []
    for level in (1, 6):
        (task,) = open_tasks([f"{name}.{level}"])
        assert isinstance(task, EvaluationTask) and task.name == f"{name}.{level}"
        items = list(task.items(None, 60))
        assert len({item.prompt for item in items}) == 60 and items[7].id == "7"
        lengths.append(sum(len(item.document["question"]) for item in items))
    assert lengths[1] > lengths[0]
    plain, levelled = open_tasks([name])[0], open_tasks([f"{name}.{GENERATED[name].level}"])[0]
    assert plain.name == levelled.name


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_seed_gives_the_same_questions_and_another_others(name: str):
    first, again, other = (
        list(BUILTIN[name].make(TaskOptions(seed=seed), None).items(None, 20)) for seed in (1, 1, 2)
    )
    assert first == again and first != other
    signatures = {BUILTIN[name].make(TaskOptions(seed=seed), None).signature for seed in (1, 1, 2)}
    assert len(signatures) == 2


@pytest.mark.parametrize("name", GENERATED)
def test_answers_are_spread(name: str):
    (task,) = open_tasks([name])
    assert isinstance(task, EvaluationTask)
    answers = [item.document["answer"] for item in islice(task.items(None, None), 400)]
    most = max(answers.count(answer) for answer in set(answers))
    limit = 0.6 if task.kind == "multiple_choice" else 0.4
    assert most / len(answers) < limit, most


def test_what_there_is_not_is_refused_with_what_to_do():
    for name, said in {
        "arithmetic.0": "from 1 to 20", "arithmetic.21": "from 1 to 20",
        "humaneval.0": "number of answers", "vader_news.2": "no levels",
        "arithmetik": "did you mean `arithmetic`", "vader_news": "pip download",
        "arithmetic.x": "no task",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            open_tasks([name])


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
    found = builtin.read_analogy_questions(path)
    assert [each.text for each in found][:2] == [
        "Athens is to Greece as Oslo is to", "Oslo is to Norway as Rome is to",
    ]  # fmt: skip
    for each in found:
        assert each.answer in each.options and each.group == "capitals"
        assert each.text.split()[3] not in each.options and len(each.options) == 3
    assert builtin.read_analogy_questions(path) == found
    with pytest.raises(DataError, match="line 7: expected 4 columns"):
        builtin.read_analogy_questions(write(path, ANALOGIES))


def test_similarity_asks_only_where_one_word_is_clearly_nearest(tmp_path: Path):
    found = builtin.read_similarity_questions(write(tmp_path / "wordsim353.tsv", PAIRS))
    assert [each[1:] for each in found] == [("cat", ("cat", "paper"), "tiger")]
    assert "related to tiger" in found[0].text
    with pytest.raises(DataError, match="expected a rating; got 'x'"):
        builtin.read_similarity_questions(write(tmp_path / "wordsim353.tsv", "a\tb\tx\n"))


def test_sentiment_leaves_out_the_middle_and_keeps_snippets_together(tmp_path: Path):
    found = builtin.read_sentiment_questions(write(tmp_path / "rated.txt", RATED))
    assert [(each.text, each.answer, each.group) for each in found] == [
        ("A fine day.", "positive", "1"),
        ("A bad\tday.", "negative", "2"),
        ("Fine.", "positive", "3"),
    ]


def test_a_files_questions_come_in_a_fair_order(tmp_path: Path):
    found = builtin.read_sentiment_questions(write(tmp_path / "rated.txt", RATED))
    orders = {tuple(builtin.shuffled_questions(found)(random.Random(seed))) for seed in range(20)}
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
