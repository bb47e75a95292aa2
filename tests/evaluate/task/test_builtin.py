"""Every built-in task says what people must know, asks that, and refuses what it has not."""

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

from groundup.core import Completion, ConfigError, DataError, Reason, Sandbox
from groundup.evaluate.task import builtin
from groundup.evaluate.task.builtin import BUILTIN, GENERATED, STOP_STRINGS, HumanEval
from groundup.evaluate.task.catalogue import list_tasks, open_tasks
from groundup.evaluate.task.task import ChatOptions, EvaluationTask, TaskOptions
from tests.evaluate.task.lm_eval_peer import Fake


def test_every_entry_tells_what_it_is_and_under_which_terms():
    for name, entry in BUILTIN.items():
        assert name and entry.description and entry.licence, name
        assert len(entry.description) <= 80 and not entry.description.endswith("."), name
    assert {one.name for one in list_tasks().tasks} == {*BUILTIN}


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
    plain, levelled = open_tasks([name])[0], open_tasks([f"{name}.{GENERATED[name][1]}"])[0]
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


def test_a_file_of_the_data_folder_becomes_a_task(tmp_path: Path):
    (tmp_path / "hutto").mkdir()
    write(tmp_path / "hutto" / "tweets_GroundTruth.txt", RATED)
    task = BUILTIN["vader_tweets"].make(TaskOptions(tmp_path, few_shot=2), None)
    items = list(task.items(None, None))
    assert len(items) == 3 and {item.group for item in items} == {"1", "2", "3"}
    others = [
        BUILTIN["vader_tweets"].make(TaskOptions(tmp_path, few_shot=2, seed=n), None)
        for n in range(9)
    ]
    orders = {tuple(item.group for item in each.items(None, None)) for each in others}
    assert len(orders) > 1, "a fair order, so that the first are a sample of all"
    first = items[0]
    assert first.prompt.startswith("Is the text positive or negative?\n\nText: ")
    assert first.prompt.endswith("\nSentiment:") and first.prompt.count("Sentiment:") == 3
    assert [pair.continuation for pair in first.pairs] == [" positive", " negative"]
    assert first.document["question"] not in first.prompt.rpartition("\n\n")[0]


ROW = {
    "task_id": "Own/0",
    "prompt": 'def add(a, b):\n    """Sum of two numbers."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3 and candidate(0, 0) == 0\n",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "HumanEval.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({**ROW, "task_id": f"Own/{n}"}) + "\n" for n in range(3))
    return tmp_path


@pytest.fixture(scope="module")
def box() -> Sandbox:
    try:
        return Sandbox.open()
    except ConfigError as error:
        pytest.skip(str(error))


def test_problems_become_prompts(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), sandbox=box)
    assert isinstance(task, EvaluationTask) and task.name == "humaneval"
    items = list(task.items(None, 2))
    assert [item.id for item in items] == ["Own/0", "Own/1"] and items[0].prompt == ROW["prompt"]
    assert task.sampling.stop == STOP_STRINGS and task.sampling.temperature == 0
    assert "answers:1" in task.signature and [m.key for m in task.measures] == ["pass@1"]


def test_several_answers_are_drawn_and_give_pass_at_k(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), 5, box)
    assert task.sampling.temperature == 0.8 and task.repeats == 5
    (item,) = task.items(None, 1)
    right, wrong = "    return a + b\n", "    return a - b\n"
    answers = [Completion(text, "stop", 9) for text in (right, wrong, wrong, right, wrong)]
    scored = task.score(item, answers)
    assert scored.scores == {"pass@1": pytest.approx(0.4), "pass@5": 1.0}
    assert [v.partition(":")[0] for v in scored.filtered["verdict"]] == [
        "passed", "wrong", "wrong", "passed", "wrong",
    ]  # fmt: skip
    assert scored.filtered["none"][0] == ROW["prompt"] + right


def test_a_chat_answers_with_a_block(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data, chat=ChatOptions(apply_template=True)), sandbox=box)
    (item,) = task.items(Fake(), 1)
    assert item.prompt.startswith("<user>Complete this Python function.")
    text = "Sure:\n```python\ndef add(a, b):\n    return a + b\n```"
    assert task.score(item, [Completion(text, "stop", 9)]).scores == {"pass@1": 1.0}
    assert task.sampling.stop == ()


def test_a_failed_request_is_open_and_hostile_code_is_wrong(data: Path, box: Sandbox):
    task = HumanEval(TaskOptions(data), sandbox=box)
    (item,) = task.items(None, 1)
    reason = Reason("timeout", "no answer")
    assert task.score(item, [reason]).undefined == {"pass@1": reason}
    killed = task.score(item, [Completion("    import os; os.kill(os.getpid(), 9)", "stop", 9)])
    assert killed.scores == {"pass@1": 0.0}
    assert killed.filtered["verdict"] == ["killed: ended by SIGKILL"]


def test_problems_that_are_missing_or_damaged_are_told(tmp_path: Path, box: Sandbox):
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps({**ROW, "test": None}) + "\n")
    with pytest.raises(DataError, match="problem 0 has no test"):
        list(HumanEval(TaskOptions(tmp_path), sandbox=box).items(None, None))
    with pytest.raises(ConfigError, match="number of answers"):
        BUILTIN["humaneval"].make(TaskOptions(tmp_path), 0)
