"""A reader finds the best words of a passage; its files are those of question answering."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import save_with_head
from groundup.retrieve import IndexConfig, answer_question, answer_to_text, index, open_index
from groundup.retrieve.models import ReaderChoice, with_model_digest
from groundup.retrieve.readers import judge
from groundup.retrieve.readers.encoding import STRIDE
from groundup.retrieve.readers.spans import MAX_ANSWER, NEVER, Reading, SpanReader
from tests.retrieve.encoders.small import write_base


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def reader(base) -> SpanReader:
    made = SpanReader.new(base, seed=3)
    made.model.eval()
    return made


def test_a_pair_is_a_question_and_as_much_of_a_passage_as_fits(reader):
    pair = reader.encode("who", "a cat sat").with_answer(2, 5)
    assert pair is not None and pair.ids[0] == 2 and pair.ids[-1] == 3  # [CLS], [SEP]
    first, last = (pair.places[at - pair.first] for at in pair.span)
    assert (first[0], last[1]) == (2, 5)
    assert reader.encode("who", "a " * 90).with_answer(170, 171) is None  # cut off
    long = reader.encode("w " * 90, "a " * 90)
    assert len(long.ids) == reader.limit
    assert reader.encode("who", "a cat sat").span == (0, 0)


def test_a_batch_marks_answers_and_pads_to_few_shapes(reader):
    pairs = [reader.encode("who", "a cat sat").with_answer(2, 5), reader.encode("who", "a cat")]
    batch = reader.batch(pairs)
    assert batch.ids.shape[1] % STRIDE == 0 and batch.targets[1].tolist()[:2] == [3, 0]
    marked = [(i, int(mark)) for i, mark in enumerate(batch.targets[0]) if mark]
    assert marked == [(pairs[0].span[0], 1), (pairs[0].span[1], 2)]
    assert batch.weights.sum() == 2 and (batch.documents[1] < 0).any()


def test_the_best_words_are_those_of_every_span_tried(reader):
    passage = "the cat sat on a mat and slept"
    [found] = reader.read("who slept", [passage])
    pair = reader.encode("who slept", passage)
    logits = reader.logits(reader.model, reader.batch([pair]))[0].detach()
    spans = {
        (a, b): float(logits[pair.first + a, 0] + logits[pair.first + b, 1])
        for a in range(len(pair.places))
        for b in range(a, min(len(pair.places), a + MAX_ANSWER))
    }
    assert float(logits[0].max()) > NEVER / 2 > float(logits[1].max())  # [CLS]; the question
    (a, b), best = max(spans.items(), key=lambda item: item[1])
    assert (found.start, found.end) == (pair.places[a][0], pair.places[b][1])
    assert found.score == pytest.approx(best - float(logits[0].sum()), abs=2e-2)
    assert reader.read("who", [""]) == [Reading(0, 0, NEVER)]


def test_what_is_read_does_not_depend_on_what_is_read_beside_it(reader):
    passages = ["a cat sat", "the dog ran over the hill and was gone", ""]
    alone = [reader.read("who", [passage])[0] for passage in passages]
    together = reader.read("who", passages)
    assert [each[:2] for each in together] == [each[:2] for each in alone]
    for one, other in zip(alone, together, strict=True):
        assert one.score == pytest.approx(other.score, abs=5e-2)


def test_the_loss_is_the_mean_cross_entropy_of_both_ends(reader):
    pair = reader.encode("who", "a cat sat").with_answer(2, 5)
    batch = reader.batch([pair, reader.encode("who", "a cat")])
    found = reader.loss(reader.model, batch)
    logits = reader.logits(reader.model, batch).detach()
    wanted = 0.0
    for row, span in enumerate((pair.span, (0, 0))):
        for end in (0, 1):
            wanted -= float(torch.log_softmax(logits[row, :, end], 0)[span[end]]) / 2
    assert float(found.total.detach()) == pytest.approx(wanted, rel=1e-5)
    assert float(found.weight) == 2


def test_a_directory_of_a_reader_opens_and_others_do_not(reader, base, tmp_path):
    save_with_head(reader.model, tmp_path / "reader", base)
    opened = SpanReader.open(tmp_path / "reader")
    assert opened.read("who", ["a cat sat"])[0].score == pytest.approx(
        reader.read("who", ["a cat sat"])[0].score, abs=1e-3
    )
    with pytest.raises(ArtifactError, match="has no head: no classifier"):
        SpanReader.open(base)


@pytest.fixture
def judged(reader, base, tmp_path):
    save_with_head(reader.model, tmp_path / "reader", base)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The bell was cast in the town by the river.\n")

    def build(veto: float):
        choice = ReaderChoice(path=str(tmp_path / "reader"), veto=veto)
        index(tmp_path / "docs", tmp_path / "i", IndexConfig(reader=choice))
        return open_index(tmp_path / "i")

    return build


def test_the_reader_refuses_what_it_takes_for_no_answer(judged):
    question = "Where was the bell cast?"
    answer = answer_question(judged(-1e9), question)
    assert not answer.refused and answer.details["reading"] is not None
    answer = answer_question(judged(1e9), question)
    assert answer.refused and "the reader finds no answer in it" in answer_to_text(answer)
    assert answer.details["nearest"]["text"].startswith("The bell")


def test_it_judges_its_own_languages_and_one_question_at_a_time(judged, monkeypatch):
    opened = judged(1e9)
    question = "Where was the bell cast, and by whom was the bell cast?"
    assert "reading" not in answer_question(opened, question).details
    monkeypatch.setattr(opened, "reader_choice", ReaderChoice(path="x", languages=("german",)))
    passage = next(iter(opened.lexical.search("bell", 1))).passage
    assert judge.opinion(opened, "Where?", passage, "The bell") is None


def test_an_encoder_is_no_reader(base, tmp_path):
    (tmp_path / "a.txt").write_text("The bell is old.")
    config = IndexConfig(reader=ReaderChoice(path=str(base)))
    with pytest.raises(ConfigError, match="is no extractive reader; fine-tune one with"):
        index(tmp_path, tmp_path / "i", config)


def test_another_reader_leaves_the_answer_to_words_with_a_note(judged, tmp_path):
    opened = judged(1e9)
    (tmp_path / "reader" / "vocab.txt").write_text("[PAD]")
    answer = answer_question(opened, "Where was the bell cast?")
    assert not answer.refused and "is for the extractive reader" in answer.details["note"]
    before = with_model_digest(
        ReaderChoice(path=str(tmp_path / "reader"), digest="x"), "extractive reader"
    )
    assert (
        before.digest not in ("", "x")
        and with_model_digest(ReaderChoice(veto=3.0), "extractive reader").veto < 0
    )
