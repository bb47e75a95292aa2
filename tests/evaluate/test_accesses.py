"""Whoever is scored on a sealed test set is counted there, first and for good."""

import json
import shutil
from pathlib import Path

import pytest

from groundup.core import Artifact, ArtifactError, GateFailed, GroundupError, Message, Sample
from groundup.evaluate import EvaluateConfig, evaluate, read_report, read_sample_rows
from groundup.evaluate.gate import gate
from groundup.measure import (
    TestSetCard,
    make_testset,
    read_accesses,
    read_verdict,
    record_access,
    scored_candidates,
)
from groundup.measure.testset import ACCESS_LEDGER
from tests.evaluate.test_evaluate import model_of
from tests.generate.endpoint.peer import MODEL, Answering, Peer, good, status

QUICK = {"url": "", "model": "", "concurrency": 1, "retries": {"attempts": 1, "first_wait": 0.0}}
CONFIG = EvaluateConfig.model_validate({"endpoint": QUICK})
RIGHT = ["exact_match>=0.5"]


def said(text: str | None, finish: str = "stop"):
    """A server that says one thing."""

    def answer(peer: Answering) -> None:
        if peer.body is None:
            good(peer)
            return
        message = {"role": "assistant", "content": text}
        peer.send_json({"choices": [{"message": message, "finish_reason": finish}]})

    return answer


def by_question(peer: Answering) -> None:
    """Says the number that it was asked for, and nothing where that is odd."""
    if peer.body is None:
        good(peer)
        return
    number = int(peer.body["messages"][-1]["content"].split()[-1].rstrip("?"))
    message = {"role": "assistant", "content": None if number % 2 else str(number)}
    peer.send_json({"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.fixture
def server():
    with Peer() as found:
        found.always = said("4")
        yield found


@pytest.fixture
def testset(tmp_path):
    samples = [Sample(str(n), (Message("user", f"What is {n}?"),), ("4",)) for n in range(12)]
    (tmp_path / "sets").mkdir()
    return make_testset(TestSetCard(name="fours"), samples, {}, tmp_path / "sets" / "t")


def scored(server: Peer, testset, out: Path, **more):
    return evaluate(f"{server.url}#{MODEL}", config=CONFIG, test=testset, out=out, **more)


def test_a_servers_and_a_directorys_own_first_look_is_place_one(tmp_path, server, testset):
    found = gate(scored(server, testset, tmp_path / "r").artifact.path, require=RIGHT)
    assert found.candidates == 1
    bare = model_of(tmp_path / "model").path
    (bare / "manifest.json").unlink()  # a directory of others has no id of its own
    samples = [Sample(str(n), (Message("user", "Say."),), (str(n),)) for n in range(5)]
    other = make_testset(TestSetCard(name="other"), samples, {}, tmp_path / "other")
    made = evaluate(str(bare), config=EvaluateConfig(), test=other, out=tmp_path / "d")
    with pytest.raises(GateFailed):
        gate(made.artifact.path, require=["exact_match>0.9"], out=tmp_path / "v")
    assert verdict_in(tmp_path / "v").candidates == 1


def verdict_in(path: Path):
    return read_verdict(Artifact.open(path, "verdict"))


def test_every_look_at_a_server_and_every_limit_is_a_candidate(tmp_path, server, testset):
    """The weights behind a name may be others each time; so may be the few samples that fit."""
    places = []
    for name, limit in (("a", None), ("b", None), ("c", 9), ("d", 8)):
        made = scored(server, testset, tmp_path / name, limit=limit).artifact
        with pytest.raises(GateFailed):
            gate(made.path, require=["exact_match<=0"])
        places.append(verdict_in(tmp_path / f"{name}-verdict").candidates)
    assert places == [1, 2, 3, 4]
    scored(server, testset, tmp_path / "a")  # it is there already: nothing is asked
    assert len(scored_candidates(testset)) == 4
    model = str(model_of(tmp_path / "model").path)
    for name, limit in (("m", 3), ("n", 4), ("o", 4)):
        evaluate(model, config=CONFIG, test=testset, out=tmp_path / name, limit=limit)
    assert len(scored_candidates(testset)) == 6, (
        "two limits of known weights, of which one came twice"
    )


def test_a_look_is_recorded_before_the_first_sample_is_read(tmp_path, server, testset):
    server.script.extend([good, said("4"), status(503)])
    with pytest.raises(GroundupError, match="11 of 12|1 of 12"):
        scored(server, testset, tmp_path / "r")
    assert list((tmp_path / "r" / "samples").iterdir()), "what was scored can be read"
    assert len(read_accesses(testset)) == 1
    made = scored(server, testset, tmp_path / "r")  # taken up again: the same look
    assert len(read_accesses(testset)) == 1
    assert [each.line for each in made.report.accesses] == [read_accesses(testset)[0].entry_hash]


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut", "left out of a copy"])
def test_a_report_whose_own_look_is_missing_is_refused(tmp_path, server, testset, how):
    record_access(testset, "ana", "someone else")
    report = scored(server, testset, tmp_path / "r").artifact.path
    ledger, test = testset.path / ACCESS_LEDGER, None
    if how == "deleted":
        ledger.unlink()
    elif how == "emptied":
        ledger.write_text("")
    elif how == "cut":
        ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-1]))
    else:
        test = tmp_path / "copy"
        shutil.copytree(testset.path, test, ignore=shutil.ignore_patterns("ledger"))
    with pytest.raises(ArtifactError, match="lacks the access of .*--accept-unrecorded"):
        gate(report, require=RIGHT, test=test)
    found = gate(report, require=RIGHT, test=test, accept_unrecorded=True)
    assert found.unrecorded and "UNRECORDED: The ledger of" in str(found)


def test_a_test_set_that_is_gone_is_missed(tmp_path, server, testset):
    report = scored(server, testset, tmp_path / "r").artifact.path
    shutil.move(testset.path, tmp_path / "moved")
    with pytest.raises(ArtifactError, match="is not at .*--test DIR if it was moved"):
        gate(report, require=RIGHT)
    assert gate(report, require=RIGHT, test=tmp_path / "moved").candidates == 1


def test_the_baselines_look_must_be_there_too(tmp_path, server, testset):
    base = scored(server, testset, tmp_path / "base").artifact.path
    ledger = testset.path / ACCESS_LEDGER
    ledger.unlink()
    report = scored(server, testset, tmp_path / "r").artifact.path
    with pytest.raises(ArtifactError, match="lacks the access of .*base"):
        gate(report, against=base, margin=0.2)


def test_copies_beside_each_other_count_as_one_test_set(tmp_path, server, testset):
    copy = testset.path.with_name("copy")
    shutil.copytree(testset.path, copy)
    scored(server, testset, tmp_path / "a")
    second = scored(server, Artifact.open(copy), tmp_path / "b").artifact.path
    with pytest.raises(GateFailed):
        gate(second, require=["exact_match<=0"], out=tmp_path / "v")
    assert verdict_in(tmp_path / "v").candidates == 2
    stranger = testset.path.with_name("stranger")
    stranger.mkdir()
    (stranger / "manifest.json").write_text("[1]")
    assert len(read_accesses(testset)) == 2


def test_silence_counts_as_wrong_and_is_named(tmp_path, server):
    samples = [Sample(str(n), (Message("user", f"What is {n}?"),), (str(n),)) for n in range(40)]
    testset = make_testset(TestSetCard(name="numbers"), samples, {}, tmp_path / "t")
    server.always = by_question
    made = scored(server, testset, tmp_path / "r")
    (task,) = made.report.tasks
    right = task.measures[0]
    assert (right.result.estimate, right.n_scored, right.unanswered) == (0.5, 40, 20)
    assert "unanswered" in str(made) and right.n_undefined == 0
    rows = list(read_sample_rows(made.artifact, "numbers"))
    assert rows[1]["answers"][0]["code"] == "no_text" and rows[1]["scores"]["exact_match"] == 0.0
    with pytest.raises(GateFailed) as caught:
        gate(made.artifact.path, require=["exact_match>=0.8"])
    assert "20 had no answer and count as wrong" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("text", "finish"), [("", "stop"), ("   \n", "stop"), ("\u200b\ufeff", "stop"),
     (None, "tool_calls"),
                         ("no", "content_filter")]
)  # fmt: skip
def test_no_way_of_saying_nothing_is_a_way_out(tmp_path, server, text, finish):
    server.always = said(text, finish)
    made = evaluate(
        f"{server.url}#{MODEL}", config=CONFIG, tasks="arithmetic", limit=6, out=tmp_path / "r"
    )
    measure = made.report.tasks[0].measures[0]
    assert measure.result.estimate == 0 and (measure.n_scored, measure.unanswered) == (6, 6)


def test_a_task_may_leave_out_what_has_no_answer(tmp_path, server):
    (tmp_path / "sums.jsonl").write_text('{"q": "1 + 3"}\n{"q": "2 + 2"}\n')
    text = (
        "task: sums\ndataset_path: json\ndataset_kwargs: {data_files: {test: FOLDER/sums.jsonl}}\n"
        'output_type: generate_until\ntest_split: test\ndoc_to_text: "{{q}}"\n'
        'doc_to_target: "4"\nmetric_list: [{metric: exact_match}]\n'
    ).replace("FOLDER", str(tmp_path))
    found = {}
    for name, more in (("wrong", ""), ("undefined", "metadata: {silence: undefined}\n")):
        (tmp_path / f"{name}.yaml").write_text(text + more)
        server.script.clear()
        server.script.extend([good, said(None), said("4")])
        made = evaluate(
            f"{server.url}#{MODEL}", config=CONFIG, tasks=str(tmp_path / f"{name}.yaml"),
            out=tmp_path / name,
        )  # fmt: skip
        (found[name],) = made.report.tasks
    assert found["wrong"].measures[0].n_scored == 2
    assert found["undefined"].measures[0].reasons == {"no_text": 1}
    assert found["wrong"].signature != found["undefined"].signature


@pytest.mark.parametrize("code", [400, 404, 405, 410, 422, 501])
def test_a_server_that_lists_no_models_is_evaluated(tmp_path, server, code):
    server.script.append(status(code))
    made = scored(server, None, tmp_path / "r", tasks="arithmetic", limit=2)
    assert made.report.tasks[0].samples == 2


def test_a_key_that_is_refused_ends_an_evaluation(tmp_path, server):
    server.script.append(status(401))
    with pytest.raises(GroundupError, match="401"):
        scored(server, None, tmp_path / "r", tasks="arithmetic", limit=2)


def test_a_servers_questions_are_shown_as_text_and_the_report_takes_a_name(
    tmp_path, server, testset
):
    address = f"{server.url}#{MODEL}"
    shown = evaluate(address, config=CONFIG, test=testset, limit=2, dry_run=True)
    assert "\nWhat is 0?" in shown and "messages" not in shown
    system = CONFIG.model_copy(update={"system": "Be brief."})
    shown = evaluate(address, config=system, test=testset, limit=2, dry_run=True)
    assert "system: Be brief.\n\nuser: What is 0?" in shown
    made = scored(server, testset, tmp_path / "r", limit=2, name="support bot, March")
    assert read_report(made.artifact).subject.name == "support bot, March"
    assert "support bot, March" in str(made)
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["numbers"]["model"] == (
        "support bot, March"
    )


def test_the_readmes_line_decides_where_the_data_can(tmp_path, server):
    """evaluate --against BASE, then gate: better in some measures, 0 against 0 in the other."""
    samples = [
        Sample(str(n), (Message("user", f"What is {n}?"),), (f"It is {n} and so it goes on",))
        for n in range(100)
    ]
    testset = make_testset(TestSetCard(name="numbers"), samples, {}, tmp_path / "t")

    def by_model(peer: Answering) -> None:
        is_base = peer.body is not None and peer.body["model"] == "tiny-large"
        said("I would not know" if is_base else "It is what it is and so it goes on")(peer)

    server.always = by_model
    base = f"{server.url}#tiny-large"
    report = scored(server, testset, tmp_path / "r", against=base).artifact.path
    found = gate(report)
    assert (found.outcome, found.candidates) == ("passed", 1)
    rows = {row["name"].split()[1]: row["outcome"] for row in found.checks}
    assert rows["exact_match"] == "undecided" and rows["token_f1"] == "passed"
