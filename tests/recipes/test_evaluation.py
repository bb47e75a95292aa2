"""The demo's models are evaluated, compared and gated as a user does it, against their own run."""

import json
import lzma

import pytest

from groundup.align import (
    REFUSAL_TEXT,
    ChatExample,
    ExamplesConfig,
    FinetuneConfig,
    finetune,
    make_examples,
    read_examples,
)
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, Config, DataError, GateFailed, Message, produce, write_text
from groundup.corpus import read_split
from groundup.evaluate import read_report, read_sample_rows
from groundup.measure import Interval, read_card, read_samples, read_verdict, scored_candidates
from groundup.recipes.evaluation import (
    MAX_QUESTIONS,
    answer_text,
    evaluate_run,
    known_refused,
    measure_xz,
    seal_samples,
)
from groundup.recipes.report import report_page
from groundup.recipes.tiny import MEANINGS, run_story
from groundup.train import pretrain
from tests.train.small import small, tiny_training, without_compiler

SHORT = ("base text", "chat text", "int8 text", "base answers", "chat answers", "int8 answers",
         "chat names")  # fmt: skip


class Nothing(Config):
    """No settings."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole small run: corpus, tokens, three models, examples, their evaluation."""
    folder = tmp_path_factory.mktemp("run")
    with without_compiler():
        parts = small(folder)
        training = tiny_training(tokens=1024, context_length=512)
        base = pretrain(training, parts.tokens, parts.tokenizer, folder / "base")
        settings = ExamplesConfig(
            explain=20, docstring=0, write=0, topic=0, held_out=6, names=8, names_held_out=4,
            min_occurrences=1,
        )  # fmt: skip
        examples = make_examples(settings, parts.corpus, folder / "examples")
        chat = finetune(FinetuneConfig(epochs=0.5), base, examples, folder / "chat")
        int8 = quantize(QuantizeConfig(), chat, folder / "int8")
        made = {**parts._asdict(), "base": base, "examples": examples, "chat": chat, "int8": int8}
        found = evaluate_run(made, folder)
    return folder, made, found


def test_every_report_is_of_its_model_and_its_samples(run):
    _, made, found = run
    assert {*found.artifacts} == {"questions", "names", "xz", "compared", *SHORT, *MEANINGS}
    for name in SHORT:
        report = found.artifacts[name]
        (task,) = read_report(report).tasks
        model, what = name.split()
        assert {parent.id for parent in report.parents} >= {made[model].id}
        expected = {"text": "documents-", "answers": "questions", "names": "names"}[what]
        assert task.name.startswith(expected) and task.samples > 1
    assert read_report(found.artifacts["base text"]).tasks[0].name == "documents-test"


def test_the_test_sets_know_who_was_scored_and_the_chat_model_is_first(run):
    _, made, found = run
    subjects = [each.split()[0] for each in scored_candidates(found.artifacts["questions"])]
    assert subjects == [made["chat"].id, made["base"].id, made["int8"].id]
    assert [each.split()[0] for each in scored_candidates(made["tokens"])] == [made["base"].id]


def test_each_verdict_is_of_its_own_thresholds(run):
    _, made, found = run
    checks = {name: read_verdict(found.artifacts[name]).checks for name in MEANINGS}
    (text,) = checks["verdict-base"]
    xz = found.artifacts["xz"].numbers["bits per byte"]
    assert (text["sense"], text["bound"]) == ("<=", "upper")
    assert text["limit"] == pytest.approx(0.95 * xz, abs=1e-4)
    refused = next(row for row in checks["verdict-names"] if row["role"] == "required")
    assert refused["limit"] == pytest.approx(
        known_refused(found.artifacts["chat names"]).high, abs=1e-4
    )
    nearer = next(row for row in checks["verdict"] if row["role"] == "required")
    before = read_report(found.artifacts["base answers"]).task("questions").measures
    similarity = next(each for each in before if each.key == "similarity")
    assert isinstance(similarity.result, Interval)
    assert nearer["limit"] == pytest.approx(similarity.result.estimate, abs=1e-4)
    assert [row["role"] for row in checks["verdict-int8"]] == ["compared"]
    subjects = {name: {p.name: p.id for p in found.artifacts[name].parents}["subject"]
                for name in MEANINGS}  # fmt: skip
    models = ("base", "chat", "chat", "int8")
    assert [*subjects.values()] == [made[model].id for model in models]


def test_a_gate_that_does_not_pass_is_returned_so_that_the_report_is_written(run):
    folder, made, found = run
    assert isinstance(found.failure, GateFailed)  # eight steps of training teach nothing
    with without_compiler():
        again = evaluate_run(made, folder)
    assert again.artifacts == found.artifacts and str(again.failure) == str(found.failure)


def test_the_report_shows_verdicts_figures_and_answers(run):
    folder, made, found = run
    data = run_story({**made, **found.artifacts}, folder)
    assert data.verdict.startswith("A gate failed") and "times what xz needs" in data.verdict
    assert {check.name for check in data.checks} == {name for name, _ in MEANINGS.values()}
    assert [number.artifact for number in data.headline] == ["base", "chat", "chat"]
    measures = {row.measure: row for row in data.evaluation}
    assert {*measures["Similarity to the expected answer"].values} == {"base", "chat", "int8"}
    questions = list(read_samples(found.artifacts["questions"]))
    assert data.samples[0].prompt == questions[0].conversation[-1].content
    assert {*data.samples[0].answers} == {"base", "chat", "int8"}
    assert {*data.samples[-1].answers} == {"chat"}
    assert "made-up name" in {sample.kind for sample in data.samples}
    page = report_page(data).render()
    assert len(page) < 1_000_000 and "Known names refused" in page


def test_xz_reads_what_the_model_is_asked(run):
    folder, made, found = run
    text = b"".join(d.text.encode() for d in read_split(made["corpus"], "test"))
    bits = 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)
    assert found.artifacts["xz"].numbers["bits per byte"] == pytest.approx(bits)
    empty = produce(
        folder / "empty", kind="corpus", stage="x", version=1, config=Nothing(), parents={},
        write=lambda draft: write_text(draft.file("test.jsonl"), ""),
    )  # fmt: skip
    with pytest.raises(DataError, match="no test text"):
        measure_xz(empty, folder / "no-xz")


def turns(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(("user", "assistant")[n % 2], text) for n, text in enumerate(texts))


EXAMPLES = [
    ChatExample(
        "test-0", "explain", "json", turns("What does this do?", "It reads.", "Go on.", "Ü")
    ),
    ChatExample("test-1", "name", "json", turns("What is x.y?", REFUSAL_TEXT), True, False),
    ChatExample("test-2", "name", "abc", turns("And a.b?", "It opens."), False, True, "read"),
]


def test_questions_and_names_are_sealed_without_the_answer_and_made_up_ones_have_none(tmp_path):
    lines = "".join(example.to_json() + "\n" for example in EXAMPLES)
    examples = produce(
        tmp_path / "examples", kind="examples", stage="planted", version=1, config=Nothing(),
        parents={}, write=lambda draft: write_text(draft.file("test.jsonl"), lines),
    )  # fmt: skip
    sealed = {
        name: seal_samples(examples, name, tmp_path / name) for name in ("questions", "names")
    }
    (question,), names = (list(read_samples(each)) for each in sealed.values())
    assert question.conversation == EXAMPLES[0].messages[:-1] and question.references == ("Ü",)
    assert [(n.id, n.references, n.group) for n in names] == [
        ("test-1", (), "json"), ("test-2", ("It opens.",), "abc"),
    ]  # fmt: skip
    assert read_card(sealed["names"])["without_reference"] == 1
    assert [parent.id for parent in sealed["names"].parents] == [examples.id]


def test_the_test_sets_are_the_held_out_split(run):
    _, made, found = run
    held_out = list(read_examples(made["examples"], "test"))
    sealed = [s.id for name in ("questions", "names") for s in read_samples(found.artifacts[name])]
    assert sorted(sealed) == sorted(example.id for example in held_out) and len(sealed) > 8
    assert len(list(read_samples(found.artifacts["questions"]))) <= MAX_QUESTIONS


def test_known_names_that_were_refused_are_counted(tmp_path):
    rows = [{"id": f"{n}", "group": f"g{n % 7}", "target": ["It opens."] if n % 2 else [],
             "answers": [{"text": REFUSAL_TEXT if n % 4 == 1 else "It opens."}]}
            for n in range(40)]  # fmt: skip
    report = Artifact.open(produce(
        tmp_path / "report", kind="report", stage="evaluate", version=1, config=Nothing(),
        parents={}, write=lambda draft: write_text(
            draft.file("samples/names.jsonl"), "".join(json.dumps(row) + "\n" for row in rows)),
    ).path)  # fmt: skip
    assert len(list(read_sample_rows(report, "names"))) == 40
    found = known_refused(report)
    assert found.estimate == pytest.approx(0.5) and found.n == 20
    assert answer_text({"answers": [{"code": "too_long"}]}) == "(too_long)"
