"""A run waits for people who compare its answers; whichever side is killed, no vote is lost."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from groundup.align import JudgeConfig, PolicyConfig, judge_comparisons, reinforce
from groundup.align.feedback import live
from groundup.align.feedback.comparisons import ASKED, read_comparisons
from groundup.align.feedback.live import LiveQueue, open_queue
from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    DataError,
    Judgement,
    Ledger,
    Message,
    RunStopped,
    child,
    lock_folder,
)
from groundup.measure import is_simulated, read_votes, record_vote
from tests.align.feedback.conftest import write_rows
from tests.measure.review.sheets import Terminal
from tests.train.small import without_compiler

SETTINGS = {"steps": 3, "prompts": 2, "answers": 3, "max_tokens": 6, "wait_seconds": 0,
            "watch": {"measure": {"number": 0, "ended": 1}}}  # fmt: skip
SECONDS = 120


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> Path:
    rows = [{"prompt": f"Say {n}."} for n in range(8)]
    return write_rows(tmp_path_factory.mktemp("tasks") / "tasks.jsonl", rows)


def asked(queue: Path) -> list[str]:
    """What was asked so far, each once."""
    names = [entry.content["id"] for entry in Ledger(queue / ASKED).read()]
    assert len(names) == len({*names})
    return names


def votes(queue: Path) -> dict[str, Judgement]:
    """The vote on each comparison, one alone."""
    given = read_votes(queue)
    assert len(given) == len({vote.subject for vote in given})
    return {vote.subject: vote for vote in given}


def vote(queue: Path, who: str = "ana", last: int = 0) -> None:
    """Votes on what has none, but for some at the end, by an order that depends on the names."""
    rows = {row.id: row for row in read_comparisons(Artifact.open(queue))}
    for name in [each for each in rows if each not in votes(queue)][: -last or None]:
        shown = rows[name].names
        form, value = ("ranking", ">".join(shown)) if len(shown) > 2 else ("choice", "b")
        record_vote(queue, Judgement(who, "", name, form, value, shown=shown))


@pytest.fixture
def start():
    """Starts commands, and kills at the end what still runs."""
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(started(*map(str, words)))


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen]:
    pipe, environment = subprocess.PIPE, child.python_environment({"OMP_NUM_THREADS": "1"})
    command = child.python_command("-m", "groundup", *words)
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1, env=environment
    ) as process:
        yield process
        process.kill()


def until(process: subprocess.Popen, *texts: str, stream: str = "stdout") -> str:
    """Read to a line with one of the texts, which it returns; empty at the end."""
    for line in getattr(process, stream):
        if found := next((text for text in texts if text in line), ""):
            return found
    return ""


def decide(person: subprocess.Popen) -> bool:
    """Choose the answer that is shown first; False once nothing more is shown."""
    lines = {"1 or 2 better": "1", "2>1=3 ranks": "1>2>3", "has compared": ""}
    if not (line := lines[until(person, *lines)]):
        return False
    person.stdin.write(f"{line}\n")
    return bool(until(person, "Recorded."))


def test_wins_among_the_answers_are_the_reward(chat_model, tmp_path):
    path = tmp_path / "queue"
    queue, made = LiveQueue(path, 0), open_queue(path, chat_model)
    prompts = [(Message("user", text),) for text in "pqrst"]
    answers = [["x", "y", "z"], ["x", "x", "y"], ["x", "x", "x"], ["x", "y", ""], ["x", "y", "x"]]
    with pytest.raises(RunStopped, match="answers to 4 prompts wait .* `groundup preferences rev"):
        queue.wins(prompts, answers)
    first, second, third, last = (row.id for row in read_comparisons(made))
    names = ("a", "b", "c")
    for who, subject, form, value, shown in (
        ("ana", first, "ranking", "c>a=b", names), ("ana", third, "label", "drop", ()),
        ("simulated:x", first, "ranking", "a>b>c", names),
        ("simulated:x", second, "choice", "b", ("b", "a")),
    ):  # fmt: skip
        record_vote(path, Judgement(who, "", subject, form, value, "why", shown))
    with pytest.raises(RunStopped, match="answers to 1 prompts wait"):
        queue.wins(prompts, answers)
    record_vote(path, Judgement("ana", "", last, "choice", "a", shown=("a", "b")))
    found = queue.wins(prompts, answers).reshape(5, 3)
    assert np.array_equal(found, [
        [0.25, 0.25, 1], [0.25, 0.25, 1], [0.5] * 3, [0.5] * 3, [0.75, 0, 0.75],
    ])  # fmt: skip
    assert len(asked(path)) == 4
    again = queue.wins(prompts[1:2], [["y", "x", "x"]])
    assert again.tolist() == [1, 0.25, 0.25] and len(asked(path)) == 4, "whatever the order"


def test_a_run_without_votes_stops_saved_and_asks_for_what_is_missing_alone(
    chat_model, tasks, tmp_path
):
    queue, out = tmp_path / "queue", tmp_path / "out"
    config = PolicyConfig(**SETTINGS, checkpoints={"every_seconds": None})
    stops, seen = 0, set[int]()
    while not (out / "manifest.json").exists():
        try:
            reinforce(config, chat_model, tasks, out, queue=queue)
        except RunStopped as error:
            assert "run the same command again" in str(error)
            stops += 1
            seen |= {int(each.name[5:]) for each in out.glob(".scratch/step-*")}
            assert len(asked(queue)) - len(votes(queue)) in (1, 2), "of this step alone"
            vote(queue, last=stops % 2)  # one vote at a time is missing every other time
    assert stops == 6 and seen == {1, 2}
    made = Artifact.open(out)
    rows = [json.loads(x) for x in (out / "log/rollouts.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2] and all(
        row["reward deviation"] for row in rows
    )
    assert made.numbers["raters"] == [
        {"who": "ana", "votes": 6, "ties": 0, "dropped": 0, "simulated": False}
    ]
    assert [parent.name for parent in made.parents] == ["model", "queue"]
    whole = reinforce(config, chat_model, tasks, tmp_path / "whole", queue=queue)
    assert whole.files["model.safetensors"] == made.files["model.safetensors"]
    assert len(asked(queue)) == 6, "the same answers are not asked again"


def test_a_kill_of_either_side_loses_no_vote(chat_model, tasks, tmp_path, start):
    queue, out = tmp_path / "queue", tmp_path / "out"
    settings = {
        **SETTINGS,
        "wait_seconds": SECONDS,
        "watch": '{"measure": {"number": 0, "ended": 1}}',
    }
    words = [word for each in settings.items() for word in ("--set", "=".join(map(str, each)))]
    train = ["reinforce", "--model", chat_model.path, "--tasks", tasks, "--queue", queue, *words]
    train += ["--out", out]
    review = ["preferences", "review", queue, "--who", "ana"]
    run = start(*train)
    assert until(run, "Waiting for people: 0 of 2 prompts' answers are compared", stream="stderr")
    person = start(*review)
    assert decide(person)
    for process in (person, run):
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(votes(queue)) == 1 and len(asked(queue)) == 2
    run = start(*train)
    assert until(run, "Waiting for people: 1 of 2", stream="stderr")
    person = start(*review)
    assert decide(person) and until(run, "Waiting for people: 0 of 2", stream="stderr")
    run.send_signal(signal.SIGKILL)
    run.communicate()
    while decide(person):  # what the dead run asked
        pass
    assert person.wait(SECONDS) == 0 and "No run is alive" in person.stderr.read()
    assert len(votes(queue)) == len(asked(queue)) == 4
    run = start(*train)
    assert until(run, "Waiting for people: 0 of 2", stream="stderr")
    person = start(*review)
    while decide(person):
        pass
    assert "No run is alive" not in person.stderr.read(), "the run is complete"
    assert (run.wait(SECONDS), person.wait(SECONDS)) == (0, 0), "the reviewer ends with the run"
    assert len(votes(queue)) == len(asked(queue)) == 6
    assert Artifact.open(out).numbers["raters"] == [
        {"who": "ana", "votes": 6, "ties": 0, "dropped": 0, "simulated": False}
    ]


def test_each_comparison_is_given_to_one_person(chat_model, tmp_path, start, monkeypatch):
    path = tmp_path / "queue"
    monkeypatch.setattr(live, "START_SECONDS", 0.0)  # of the reviews in terminals
    made, review = open_queue(path, chat_model), ["preferences", "review", path]
    prompts = [(Message("user", text),) for text in ("first", "second")]
    with (
        lock_folder(path),
        Terminal(path, verb=("preferences", "review")) as ana,
    ):  # as if a run asked
        ana.until("Waiting for the next answers")
        ana.press("1")  # before there is anything to see, so it counts for nothing
        with pytest.raises(RunStopped):
            LiveQueue(path, 0).wins(prompts, [["x", "y"]] * 2)
        hers = "first" if "first" in ana.until("q quit") else "second"
        ben = start(*review)  # who pipes decisions without a name is a script
        assert until(ben, *{"first", "second"} - {hers}) and decide(ben)
        assert until(ben, "Waiting for the next answers", stream="stderr")
        ben.send_signal(signal.SIGINT)
        assert not decide(ben) and ben.wait(SECONDS) == 0
        os.kill(ana.process, signal.SIGKILL)
    [other] = votes(path).values()
    script = other.who
    assert is_simulated(script) and read_comparisons(made)[hers == "first"].id == other.subject
    with Terminal(path, verb=("preferences", "review")) as again:
        again.until(hers)
        again.press("2")
        again.until("ana has compared 1 of 1")
        assert again.end() == 0
    assert sorted(vote.who for vote in votes(path).values()) == ["ana", script]


def test_what_does_not_fit_a_queue_is_told(chat_model, tasks, tmp_path):
    empty = open_queue(tmp_path / "empty", chat_model)
    with pytest.raises(DataError, match="has nothing to compare yet"):
        judge_comparisons(empty, str(chat_model.path), config=JudgeConfig())
    train = lambda queue="q", **changes: reinforce(  # noqa: E731
        PolicyConfig(**SETTINGS | changes), chat_model, tasks, tmp_path / "out",
        queue=tmp_path / queue,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="People compare 2 to 26 answers; answers=27 came"):
        train(answers=27)
    with pytest.raises(ConfigError, match="measure none alone; set what the held-out"):
        train(watch={})
    with pytest.raises(ConfigError, match="is inside --out"):
        train("out/q")
    assert not (tmp_path / "q").exists() and not (tmp_path / "out").exists()
    open_queue(tmp_path / "q", chat_model)
    with lock_folder(tmp_path / "q"), pytest.raises(ArtifactError, match="Another run is writing"):
        train()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    for path in ("other", "other/file", chat_model.path):
        with pytest.raises(ConfigError, match="is no queue of votes"):
            train(path)
