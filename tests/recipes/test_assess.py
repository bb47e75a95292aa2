"""Figures of an assessment are those of its parts, and every question has its answers on file."""

import json
import lzma

import pytest

from groundup.align import (
    REFUSAL_TEXT,
    ChatExample,
    ExamplesConfig,
    finetune,
    make_examples,
    read_examples,
)
from groundup.align.finetune import FinetuneConfig
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Answer, Artifact, Message
from groundup.corpus import read_split
from groundup.measure import scored_candidates
from groundup.recipes.assess import (
    MODELS,
    AssessConfig,
    Inputs,
    Models,
    assess,
    compressed,
    ended,
    refusals,
    shown,
)
from groundup.recipes.questions import read_questions, sample, seal_questions
from groundup.recipes.report.story import gate_assessment, run_story
from groundup.train import pretrain
from tests.train.small import small, tiny_training, without_compiler


def name_example(number: int, known: bool) -> ChatExample:
    answer = "It opens." if known else REFUSAL_TEXT
    turns = (Message("user", f"What is name{number}?"), Message("assistant", answer))
    exposure = ("asked", "read")[number // 2 % 2] if known else ""
    return ChatExample(
        f"test-{number}", "name", f"group{number % 5}", turns, not known, known, exposure
    )


def test_refusals_are_counted_apart_for_known_and_made_up_names():
    named = [name_example(n, known=n % 2 == 0) for n in range(40)]
    said = [Answer(REFUSAL_TEXT if n % 2 or n % 8 == 0 else "It opens.") for n in range(40)]
    found = refusals(named, said)
    assert found["unknown"]["estimate"] == 1.0
    assert found["known"]["estimate"] == pytest.approx(0.25)
    assert (found["asked"]["estimate"], found["read"]["estimate"]) == (0.5, 0.0)
    difference = found["difference"]
    assert difference["estimate"] == pytest.approx(0.75)
    assert 0 < difference["low"] <= 0.75 <= difference["high"] <= 1


def test_an_answer_that_ran_out_of_room_was_not_ended():
    named = [name_example(n, True) for n in range(10)]
    reasons = ["stop"] * 8 + ["length"] * 2
    said = [Answer("x", details={"finish_reason": reason}) for reason in reasons]
    assert ended(said, named).estimate == pytest.approx(0.8)


def test_a_sample_asks_without_giving_the_answer():
    example = name_example(3, known=True)
    seen = sample(example)
    assert seen.references == ("It opens.",) and seen.group == "group3"
    assert [message.role for message in seen.conversation] == ["user"]
    line = shown(example, {"chat": Answer("It opens."), "base": Answer("zzz")})
    assert line["prompt"] == "What is name3?" and line["kind"] == "name"
    assert line["answers"]["chat"]["score"] == 1.0 > line["answers"]["base"]["score"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole small run: corpus, tokens, three models, examples, assessment."""
    folder = tmp_path_factory.mktemp("run")
    with without_compiler():
        made = small(folder)
        training = tiny_training(tokens=1024, context_length=512)
        base = pretrain(training, made.tokens, made.tokenizer, folder / "base")
        settings = ExamplesConfig(
            explain=20, docstring=0, write=0, topic=0, held_out=6, names=8, names_held_out=4,
            min_occurrences=1,
        )  # fmt: skip
        examples = make_examples(settings, made.corpus, folder / "examples")
        chat = finetune(FinetuneConfig(epochs=0.5), base, examples, folder / "chat")
        int8 = quantize(QuantizeConfig(), chat, folder / "int8")
        models = Models(base, chat, int8)
        testset = seal_questions(examples, folder / "testset")
        inputs = Inputs(made.corpus, made.tokens, testset)
        config = AssessConfig(answers=4, names=8, max_tokens=8)
        found = assess(config, models, inputs, folder / "assessment")
    return folder, models, inputs, found


def test_the_compressor_reads_what_the_model_reads(run):
    _, _, inputs, _ = run
    found = compressed(inputs.corpus)
    text = b"".join(d.text.encode() for d in read_split(inputs.corpus, "test"))
    size = len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    assert found["alone"] == pytest.approx(8 * size / len(text))
    assert found["given_train"] < found["alone"]


def test_an_assessment_names_its_models_and_holds_every_figure(run):
    _, models, inputs, made = run
    found = json.loads(made.file("assessment.json").read_text("utf-8"))
    assert found["models"] == {name: getattr(models, name).id for name in MODELS}
    assert {parent.name for parent in made.parents} == {*MODELS, *inputs._fields}
    assert found["rows"].keys() == {"answers", "similarity", "answers_int8"}
    assert found["text"]["n"] == len(found["documents"]) > 1
    nats, size = (sum(d[key] for d in found["documents"]) for key in ("nats", "bytes"))
    assert found["text"]["estimate"] == pytest.approx(nats / size / 0.6931471805599453)
    assert made.numbers["bits per byte"] == found["text"]["estimate"]
    assert 0 < found["rows"]["answers_int8"]["ratio"]["estimate"] < 1.1


def test_the_test_set_is_the_held_out_split_and_knows_who_looked(run):
    _, models, inputs, _ = run
    examples = Artifact.open(inputs.testset.path.parent / "examples")
    assert list(read_questions(inputs.testset)) == list(read_examples(examples, "test"))
    assert scored_candidates(inputs.testset) == [models.chat.id]
    assert scored_candidates(inputs.tokens) == [models.base.id]
    assert "without_reference" in inputs.testset.numbers


def test_every_question_has_the_answers_of_those_who_were_asked(run):
    _, _, _, made = run
    lines = made.file("answers.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    asked = [row for row in rows if set(row["answers"]) == set(MODELS)]
    named = [row for row in rows if set(row["answers"]) == {"chat"}]
    assert len(asked) == 4 and len(named) == 8 and len(rows) == 12
    assert {row["kind"] for row in named} == {"name", "refusal"}
    scores = [answer["score"] for row in rows for answer in row["answers"].values()]
    assert all(score is None or 0 <= score <= 1 for score in scores)


def test_a_verdict_and_a_report_can_be_made_of_it(run):
    folder, models, inputs, made = run
    judged = gate_assessment(made, models.chat, models.base, inputs.testset, folder / "verdict")
    whole = models._asdict() | {"assessment": made, "verdict": judged}
    data = run_story(whole, folder)
    assert judged.numbers["candidates"] == 1
    assert {parent.name for parent in judged.parents} == {"subject", "baseline", "testset"}
    assert len(data.checks) == 7 and data.samples and len(data.curves) == 2
