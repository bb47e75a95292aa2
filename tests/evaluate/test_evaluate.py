"""One verb from a model's name to a report: every kind of model, looks recorded, nothing twice."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    GroundupError,
    Message,
    Sample,
    produce,
)
from groundup.evaluate import EvaluateConfig, evaluate, read_report, read_sample_rows
from groundup.measure import TestSetCard, make_testset, scored_candidates
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, save
from groundup.tokenizer import DocumentText, FastTokenizer, save_tokenizer, write_tokens
from tests.artifacts import artifact
from tests.generate.endpoint.peer import MODEL, Answering, Peer, good, status
from tests.train.parallel.processes import CONTEXT, command_line

TOKENIZER = FastTokenizer([])
PLAIN = EvaluateConfig()
TASK = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/sums.jsonl}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{a}} + {{b}} ="
doc_to_choice: ["1", "2", "3"]
doc_to_target: right
metric_list: [{metric: acc}, {metric: acc_norm}]
"""


class Seed(Config):
    """What tells the test's models apart."""

    seed: int = 0
    """Of the weights."""


def model_of(out: Path, seed: int = 0) -> Artifact:
    config = ModelConfig(
        vocab_size=TOKENIZER.vocab_size, width=16, layers=1, context_length=512,
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=8),
        feedforward=FeedForwardConfig(width=16),
    )  # fmt: skip
    save_tokenizer(TOKENIZER, out.with_suffix(".tokenizer"))
    return produce(
        out, kind="model", stage="pretrain", version=1, config=Seed(seed=seed), parents={},
        write=lambda draft: save(
            Transformer(config, seed), draft.path, out.with_suffix(".tokenizer"), chat=True
        ),
    )  # fmt: skip


@pytest.fixture
def model(tmp_path) -> Artifact:
    return model_of(tmp_path / "model")


@pytest.fixture
def tokens(tmp_path, model) -> Artifact:
    rows = [DocumentText(f"{n}.md", f"document number {n} " * (n + 1)) for n in range(5)]
    tokenizer = produce(
        tmp_path / "tokenizer", kind="tokenizer", stage="tokenizer", version=1, config=Seed(),
        parents={}, write=lambda draft: save_tokenizer(TOKENIZER, draft.path),
    )  # fmt: skip
    return produce(
        tmp_path / "tokens", kind="tokens", stage="tokens", version=1, config=Seed(),
        parents={"tokenizer": tokenizer},
        write=lambda draft: write_tokens(draft, TOKENIZER, {"test": rows, "validation": rows}),
    )  # fmt: skip


@pytest.fixture
def testset(tmp_path) -> Artifact:
    samples = [
        Sample(str(n), (Message("user", f"What is {n}?"),), (str(n),), f"g{n % 3}")
        for n in range(6)
    ]
    return make_testset(TestSetCard(name="numbers"), samples, {}, tmp_path / "testset")


@pytest.fixture
def task(tmp_path) -> Path:
    rows = [{"a": n, "b": 1, "right": n % 3} for n in range(9)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(TASK.replace("FOLDER", str(tmp_path)))
    return tmp_path / "sums.yaml"


def test_documents_a_test_set_and_a_task_in_one_report(tmp_path, model, tokens, testset, task):
    found = evaluate(
        str(model.path), config=PLAIN, tasks=str(task), test=testset, tokens=tokens,
        out=tmp_path / "r",
    )  # fmt: skip
    report = read_report(Artifact.open(tmp_path / "r", "report"))
    assert report == found.report
    assert [task.name for task in report.tasks] == ["sums", "numbers", "documents-test"]
    assert report.subject.digest == model.id and report.subject.kind == "groundup"
    assert "specials:read" in report.subject.signature  # a test set is asked through the template
    assert {parent.id for parent in found.artifact.parents} == {model.id, testset.id, tokens.id}
    rows = list(read_sample_rows(found.artifact, "numbers"))
    assert rows[2]["prompt"].startswith("<|im_start|>user\nWhat is 2?<|im_end|>")
    bits = report.task("documents-test").measures[0]
    assert bits.unit == "bits per byte" and bits.result.estimate == pytest.approx(8, abs=0.2)
    assert report.cost.requests == 27 + 6 + 5 and report.cost.cached == 0
    assert "documents-test" in str(found) and "acc_norm" in str(found)


def test_tokens_must_be_tokens_before_anything_is_opened(tmp_path, model, testset):
    with pytest.raises(ArtifactError, match="xpected a tokens artifact, got a testset"):
        evaluate("nowhere", config=PLAIN, tokens=testset, out=tmp_path / "r")


def test_a_look_is_recorded_once_and_again_asks_nothing(tmp_path, model, tokens, testset):
    for _ in range(2):
        evaluate(str(model.path), config=PLAIN, test=testset, tokens=tokens, out=tmp_path / "r")
    (on_testset,), (on_tokens,) = scored_candidates(testset), scored_candidates(tokens)
    assert on_testset.startswith(model.id) and on_tokens.startswith(model.id)
    validation = EvaluateConfig(split="validation")
    other = model_of(tmp_path / "other", seed=1)
    evaluate(str(other.path), config=validation, tokens=tokens, out=tmp_path / "v")
    assert scored_candidates(tokens) == [on_tokens]
    prompted = EvaluateConfig(system="Be brief.", dtype="float32")
    evaluate(str(model.path), config=prompted, test=testset, out=tmp_path / "s")
    assert len(scored_candidates(testset)) == 2 and scored_candidates(testset)[1].startswith(
        model.id
    )
    assert next(read_sample_rows(Artifact.open(tmp_path / "s"), "numbers"))["prompt"].startswith(
        "<|im_start|>system\nBe brief.<|im_end|>"
    )


def test_two_models_are_compared_on_the_same_samples(tmp_path, model, tokens):
    other = model_of(tmp_path / "other", seed=1)
    for against in (str(other.path), str(tmp_path / "r-against")):
        found = evaluate(
            str(model.path), config=PLAIN, tokens=tokens, against=against, out=tmp_path / "r"
        )
        (compared,) = found.against.comparison.tasks
        assert compared.measures[0].versus[0].verdict in ("better", "worse", "not told apart")
        assert "bits_per_byte" in str(found.against)
    assert read_report(Artifact.open(tmp_path / "r-against")).subject.digest == other.id


def test_a_wrong_baseline_is_told_before_the_first_sample(tmp_path, model, testset):
    page = artifact(tmp_path / "page")
    corpus = artifact(tmp_path / "corpus", "corpus")
    for against, said in (
        (corpus.path, "Expected a report or model artifact, got a corpus ("),
        (page.path, "or `groundup grounding`; got one of the stage 'test' ("),
        (tmp_path / "none", "none is not a directory"),
    ):
        with pytest.raises(ArtifactError) as raised:
            evaluate(
                str(model.path), config=PLAIN, test=testset, against=str(against),
                out=tmp_path / "r",
            )  # fmt: skip
        assert said in str(raised.value) and str(against) in str(raised.value)
    assert scored_candidates(testset) == [] and not (tmp_path / "r").exists()


def test_runs_share_answers_where_asked(tmp_path, model, tokens):
    config = EvaluateConfig(cache=str(tmp_path / "cache"))
    for out, limit in (("a", 3), ("b", None)):
        found = evaluate(
            str(model.path), config=config, tokens=tokens, limit=limit, out=tmp_path / out
        )
    assert (found.report.cost.requests, found.report.cost.cached) == (2, 3)


def test_a_dry_run_shows_prompts_and_leaves_nothing(tmp_path, model, testset):
    said = evaluate(str(model.path), config=PLAIN, test=testset, dry_run=True)
    assert "numbers: 6 samples, 6 requests" in said and "<|im_start|>user\nWhat is 0?" in said
    assert scored_candidates(testset) == []


def test_a_dry_run_sends_nothing_to_a_server():
    with Peer() as server:
        said = evaluate(
            f"{server.url}#{MODEL}", config=PLAIN, tasks="arithmetic", limit=2, dry_run=True
        )
        assert "2 samples" in said and not server.asked


def test_an_address_with_a_password_is_not_repeated(tmp_path):
    for address in ("http://ana:pass-word@h/v1", "http://ana:pass-word@h:99999/v1#m",
                    "https://ana:pass-word@h/v1#m"):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            evaluate(address, config=PLAIN, tasks="arithmetic", out=tmp_path / "r")
        assert "pass-word" not in str(caught.value)


def test_what_cannot_be_evaluated_says_why(tmp_path, model, testset):
    with pytest.raises(ConfigError, match="--tasks NAMES, --test TESTSET or --tokens TOKENS"):
        evaluate(str(model.path), config=PLAIN, out=tmp_path / "r")
    with pytest.raises(ConfigError, match="--out DIR"):
        evaluate(str(model.path), config=PLAIN, test=testset)
    with pytest.raises(ConfigError, match="--limit 0 must be 1 or more"):
        evaluate(str(model.path), config=PLAIN, test=testset, limit=0, out=tmp_path / "r")
    with pytest.raises(ArtifactError, match="is not a directory"):
        evaluate(str(tmp_path / "none"), config=PLAIN, test=testset, out=tmp_path / "r")
    with pytest.raises(ConfigError, match="add it, as in http://localhost:1/v1#NAME"):
        evaluate("http://localhost:1/v1", config=PLAIN, test=testset, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_what_may_pass_is_no_report_and_is_asked_again_alone(tmp_path):
    def four(peer: Answering) -> None:
        message = {"role": "assistant", "content": "4"}
        peer.send_json({"choices": [{"message": message, "finish_reason": "stop"}]})

    with Peer() as server:
        address = f"{server.url}#{MODEL}"
        quick = {"attempts": 2, "first_wait": 0.01}
        settings = {"url": "", "model": "", "concurrency": 1, "retries": quick}
        config = EvaluateConfig.model_validate({"endpoint": settings})

        def run(config: EvaluateConfig = config):
            return evaluate(
                address, config=config, tasks="arithmetic", limit=4, out=tmp_path / "report"
            )

        def chats() -> int:
            return len(server.bodies("chat/completions"))

        lost = status(503)
        server.script.extend([good, four, lost, lost])
        server.always = four
        with pytest.raises(
            GroundupError, match=r"1 of 4 requests .*server_error: .*503.*3 answers"
        ):
            run()
        assert not (tmp_path / "report" / "manifest.json").exists()
        before = chats()
        made = run().report.tasks[0]
        assert chats() - before == 1 and made.measures[0].n_scored == 4
        run()
        assert chats() - before == 1, "a sealed report asks nothing"
        server.script.extend([good, status(401), good, status(401), good, status(400)])
        with pytest.raises(GroundupError, match="unauthorised|401"):
            evaluate(address, config=config, tasks="arithmetic.2", limit=1, out=tmp_path / "other")
        accepting = config.model_copy(update={"accept_failures": True})
        report = evaluate(
            address, config=accepting, tasks="arithmetic.2", limit=1, out=tmp_path / "other"
        )
        assert "undefined: unauthorised (1)" in str(report)
        final = evaluate(address, config=config, tasks="arithmetic.3", limit=1, out=tmp_path / "f")
        assert final.report.tasks[0].measures[0].reasons == {"refused": 1}


def test_interrupting_keeps_the_answers_and_the_same_command_goes_on(tmp_path, model, run):
    long = [
        Sample(str(n), (Message("user", f"What is {n}?"),), (str(n),), f"g{n}") for n in range(250)
    ]
    testset = make_testset(TestSetCard(name="many"), long, {}, tmp_path / "many")
    out = tmp_path / "r"
    words = ["evaluate", str(model.path), "--test", str(testset.path), "--out", str(out)]
    process = CONTEXT.Process(target=command_line, args=(str(tmp_path), words), daemon=True)
    process.start()
    log = out / ".scratch" / "answers.jsonl"
    while process.is_alive() and not (log.is_file() and log.read_bytes()):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    if process.exitcode == 0:
        pytest.skip("the run ended before it could be interrupted")
    told = (tmp_path / "err").read_text(encoding="utf-8")
    assert process.exitcode == 130 and "answers are stored, and the same command resumes" in told
    kept = len(log.read_text().splitlines())
    code, _, err = run(*words)
    assert code == 0, err
    cost = read_report(Artifact.open(out)).cost
    assert kept >= 1 and cost.requests == 250
