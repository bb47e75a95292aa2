"""A reader is trained on questions and made facts; a stopped run ends with the same bits."""

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError, DataError
from groundup.retrieve.readers.examples import (
    MAX_PASSAGE,
    made_articles,
    read_articles,
    reader_examples,
)
from groundup.retrieve.readers.facts import FactMaker
from groundup.retrieve.readers.spans import SpanReader
from groundup.retrieve.readers.train import SpanReaderConfig, train_reader
from tests.retrieve.encoders.small import documents, write_base, write_folder
from tests.retrieve.encoders.test_train import Killed, kill_after
from tests.train.small import without_compiler

TEXT = "The bell was cast in 1611. It hangs there now. The tower was built by Ada Holm. It is old."
SETTINGS: dict[str, Any] = {
    "batch_pairs": 4, "epochs": 1.0, "facts": 12, "held_out": 0.4, "precision": "float32",
    "checkpoints": {"every_seconds": 0.0}, "dropout": 0.1,
}  # fmt: skip


def squad(**changes: Any) -> dict[str, Any]:
    asked = [
        {"question": "When was the bell cast?", "is_impossible": False,
         "answers": [{"text": "1611", "answer_start": 21}]},
        {"question": "Who built the tower?", "is_impossible": False,
         "answers": [{"text": "Ada Holm", "answer_start": 70}]},
        {"question": "Who cast the bell?", "is_impossible": True, "answers": []},
    ]  # fmt: skip
    paragraphs = [{"context": TEXT, "qas": asked} | changes]
    return {"data": [{"title": f"The_town_{n}", "paragraphs": paragraphs} for n in range(6)]}


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "squad.json"
    path.write_text(json.dumps(squad()))
    return path


def test_examples_have_the_answer_or_lack_it(questions):
    examples = reader_examples(read_articles(questions), seed=1)
    assert len(examples) > 6 * 3
    for example in examples:
        assert len(example.passage) <= MAX_PASSAGE + 40
        if example.answer:
            assert example.passage[slice(*example.answer)] in ("1611", "Ada Holm")
        else:
            wanted = {"When was the bell cast?": "1611", "Who built the tower?": "Ada Holm"}
            assert wanted.get(example.question, "none") not in example.passage
    assert reader_examples(read_articles(questions), seed=1) == examples
    kinds = {(each.question, each.answer is None) for each in examples}
    assert ("Who cast the bell?", True) in kinds and ("When was the bell cast?", True) in kinds


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        json.dumps({"data": [{"paragraphs": [{"qas": []}]}]}),
        json.dumps(squad(context="Another text.")),
    ],
)
def test_what_is_no_file_of_questions_is_told(content, tmp_path):
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(DataError, match="no file of questions in SQuAD's format"):
        read_articles(tmp_path / "q.json")


def test_documents_make_questions_with_places(tmp_path):
    (tmp_path / "notes").mkdir()
    text = "# Valve\n\nA safety valve is a device that opens when the pressure is too high.\n"
    from groundup.documents import read_bytes

    articles = made_articles([read_bytes(text.encode(), "valve.md")])
    for article in articles:
        for question in article.questions:
            start, end = question.answer
            assert question.context[start:end].lower() in question.answers
            assert "According to" not in question.text


def test_made_facts_are_answered_where_they_say_so():
    examples = FactMaker(5).examples(600)
    assert FactMaker(5).examples(600) == examples
    answered = [each for each in examples if each.answer]
    assert 200 < len(answered) < 400
    for each in examples:
        assert "{" not in each.passage + each.question and "<" not in each.passage
        assert each.question.endswith("?") and each.passage.strip() == each.passage
    assert all(each.passage[slice(*each.answer)].strip() for each in answered if each.answer)


@pytest.fixture(scope="module")
def made(questions, tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("documents"))
    base = write_base(tmp_path_factory.mktemp("base"))
    config = SpanReaderConfig(**SETTINGS, questions=(str(questions),))
    return config, folder, base, train_reader(config, folder, base, tmp_path_factory.mktemp("out"))


def test_a_reader_is_trained_measured_and_opens(made):
    artifact = made[3]
    assert artifact.kind == "model" and set(artifact.numbers["held_out"]) == {"overlap", "auroc"}
    values = json.loads((artifact.path / "config.json").read_text())
    assert values["architectures"] == ["BertForQuestionAnswering"]
    assert SpanReader.open(artifact.path).read("When?", [TEXT])[0].end <= len(TEXT)


def test_a_stopped_run_resumes_to_the_same_bits(made, tmp_path, monkeypatch):
    config, folder, base, whole = made
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            train_reader(config, folder, base, tmp_path / "out")
    resumed = train_reader(config, folder, base, tmp_path / "out")
    assert resumed.id == whole.id
    one, other = (each.file("model.safetensors").read_bytes() for each in (whole, resumed))
    assert one == other


def test_what_cannot_be_trained_is_told(made, tmp_path):
    config, folder, base, _ = made
    with pytest.raises(DataError, match="too few to train on"):
        train_reader(SpanReaderConfig(**SETTINGS), folder, base, tmp_path / "a")
    with pytest.raises(ConfigError, match="holds no model"):
        train_reader(config, folder, folder, tmp_path / "c")
    with pytest.raises(DataError, match=r"no file of questions none\.json"):
        train_reader(config, folder, base, tmp_path / "d", questions=[Path("none.json")])
    decoder = write_base(tmp_path / "decoder", "decoder")
    with pytest.raises(ConfigError, match="expected an encoder"):
        train_reader(config, folder, decoder, tmp_path / "b")
    assert documents(tmp_path / "again")
