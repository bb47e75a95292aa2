"""Every answer is kept as it comes, nothing is asked twice, and what has no number has a reason."""

import io
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from groundup.core import (
    ArtifactError,
    Completion,
    DataError,
    Draft,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    RunStopped,
    Sampling,
    record,
)
from groundup.evaluate.harness import runner
from groundup.evaluate.harness.answer_cache import AnswerCache, _make_request, build_requests
from groundup.evaluate.harness.report import samples_file
from groundup.evaluate.harness.runner import TaskRunner, describe_requests, report_groups
from groundup.evaluate.task.task import GroupMeasure, ItemScores, TaskGroup, TaskItem, TaskMeasure
from groundup.measure import Interval
from tests.train.parallel.processes import CONTEXT


class Lengths:
    """A model whose answers follow from lengths; it counts what it is asked."""

    name, digest, signature = "lengths", "0" * 64, "dtype:none"

    def __init__(self, log: Path | None = None, fails: str = "", code: str = "timeout") -> None:
        self.asked: list[str] = []
        self.log, self.fails, self.code = log, fails, code

    def note(self, text: str) -> None:
        self.asked.append(text)
        if self.log:
            with open(self.log, "a") as file:
                file.write(json.dumps(text) + "\n")

    def render(self, conversation):
        return "\n".join(message.content for message in conversation)

    def loglikelihood(self, pairs):
        for place, (context, continuation) in reversed(list(enumerate(pairs))):
            self.note(context + continuation)
            if self.fails and self.fails in continuation:
                yield place, Reason(self.code, "It failed.")
            else:
                yield place, Likelihood(-float(len(continuation)), False, len(continuation))

    def rolling(self, texts):
        for place, text in enumerate(texts):
            self.note(text)
            yield place, Likelihood(-float(len(text)), False, len(text))

    def complete(self, prompts, sampling):
        for place, prompt in enumerate(prompts):
            self.note(prompt)
            text = f"{len(prompt)} {sampling.seed}"
            yield place, Completion(text, "stop", 2, len(prompt))


class Choices:
    """Options, of which the shortest is the likeliest; every third sample's target is another."""

    name, kind, version, signature, repeats = "choices", "multiple_choice", "1", "shots:0", 1
    sampling = Sampling()
    measures = (
        TaskMeasure("acc", "none", "higher", "share", "mean", "acc"),
        TaskMeasure("nats", "none", "lower", "nats per byte", "ratio", "nats"),
    )

    def __init__(self, samples: int = 30) -> None:
        self.samples = samples

    def items(self, model, limit):
        for n in range(self.samples if limit is None else min(limit, self.samples)):
            pairs = tuple(
                LoglikelihoodRequest(f"question {n}", f" {n} " + "x" * size) for size in (2, 3, 1)
            )
            yield TaskItem(str(n), f"g{n % 5}", f"question {n}", pairs, 2 if n % 3 else 0, {"n": n})

    def score(self, item, answers):
        failed = next((each for each in answers if isinstance(each, Reason)), None)
        if failed:
            return ItemScores({}, {}, {"acc": failed, "nats": failed})
        values = [answer.logprob for answer in answers]
        acc = float(values.index(max(values)) == item.target)
        return ItemScores({}, {"acc": acc, "nats": [-values[item.target], 4]}, {})


class Sampled:
    """Answers to a prompt, drawn twice; even prompts are not parsed."""

    name, kind, version, signature, repeats = "sampled", "generate_until", "1", "", 2
    sampling = Sampling(temperature=1.0, seed=7)
    measures = (TaskMeasure("seed", "number", "higher", "", "mean", "seed"),)

    def items(self, model, limit):
        for n in range(4):
            yield TaskItem(str(n), "", "p" * n, (), None, {})

    def score(self, item, answers):
        value = float("nan") if item.id == "3" else float(answers[1].text.split()[1])
        return ItemScores({"number": [a.text for a in answers]}, {"seed,number": value}, {},
                      ("number",) if int(item.id) % 2 == 0 else ())  # fmt: skip


def draft(path: Path) -> Draft:
    path.mkdir(exist_ok=True)
    return Draft(path, path / ".scratch", path / "log")


def rows(path: Path, task: str) -> list[dict]:
    return [json.loads(line) for line in (path / samples_file(task)).read_text().splitlines()]


def test_a_task_becomes_numbers_rows_and_counts(tmp_path):
    model = Lengths()
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        runner = TaskRunner(model, own)
        report = runner.run(Choices(), draft(tmp_path))
        assert runner.cost() == (90, 0, sum(len(str(n)) * 3 + 12 for n in range(30)), 0, None)
    acc, nats = report.measures
    assert isinstance(acc.result, Interval) and acc.result.estimate == pytest.approx(2 / 3)
    assert acc.result.groups == 5 and (acc.n_scored, acc.n_undefined) == (30, 0)
    found = rows(tmp_path, "choices")
    assert [row["id"] for row in found] == [str(n) for n in range(30)]
    assert found[1]["scores"] == {"acc": 1.0, "nats": [4.0, 4]} and found[1]["target"] == 2
    assert found[1]["answers"][0] == {"logprob": -5.0, "is_greedy": False, "tokens": 5, "cut": 0}
    total = sum(row["scores"]["nats"][0] for row in found)
    assert nats.result.estimate == pytest.approx(total / 120)
    assert len(report.samples_sha256) == 64 and report.samples == 30
    assert len(model.asked) == 90


def test_repeats_have_seeds_of_their_own_and_nan_is_a_reason(tmp_path):
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        report = TaskRunner(Lengths(), own).run(Sampled(), draft(tmp_path))
    (seed,) = report.measures
    assert (seed.n_scored, seed.reasons, seed.unparsed) == (3, {"not_finite": 1}, 2)
    found = rows(tmp_path, "sampled")
    assert [a["text"] for a in found[2]["answers"]] == ["2 7", "2 8"]
    assert found[3]["undefined"]["seed,number"]["code"] == "not_finite"


def test_what_failed_is_counted_by_its_reason_and_asked_again_next_time(tmp_path):
    for fails, left, requests in ((" 7 ", 1, 90), ("", 0, 3)):
        model = Lengths(fails=fails)
        with AnswerCache(tmp_path / "answers.jsonl") as own:
            report = TaskRunner(model, own).run(Choices(), draft(tmp_path))
        acc = report.measures[0]
        assert (acc.n_undefined, acc.n_scored) == (left, 30 - left)
        assert acc.reasons == ({"timeout": 1} if left else {})
        assert len(model.asked) == requests


def test_an_endpoint_that_stops_ends_the_run_and_loses_nothing(tmp_path):
    model = Lengths(fails=" 7 ", code="stopped")
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        with pytest.raises(RunStopped, match="66 answers are stored"):
            TaskRunner(model, own).run(Choices(), draft(tmp_path))
    again = Lengths()
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        TaskRunner(again, own).run(Choices(), draft(tmp_path))
    assert len(again.asked) == 90 - 66


def test_runs_share_answers_and_tell_how_many(tmp_path):
    for number, (asked, cached) in enumerate([(30, 0), (60, 30)]):
        with (
            AnswerCache(tmp_path / "shared.jsonl") as shared,
            AnswerCache(tmp_path / f"{number}.jsonl", shared) as own,
        ):
            runner = TaskRunner(Lengths(), own)
            runner.run(Choices(), draft(tmp_path), limit=10 if number == 0 else None)
            assert runner.cost()[::3] == (asked, cached)


def test_slices_bound_what_is_in_memory_and_change_nothing(tmp_path, monkeypatch):
    found = []
    for size in (7, 2048):
        monkeypatch.setattr(runner, "SLICE_SIZE", size)
        with AnswerCache(tmp_path / f"{size}.jsonl") as own:
            found.append(TaskRunner(Lengths(), own).run(Choices(), draft(tmp_path)))
    assert found[0] == found[1]


def test_tasks_that_cannot_be_scored_say_why(tmp_path):
    twice, none = Choices(), Choices(0)
    twice.items = lambda model, limit: [*Choices(2).items(model, None)] * 2
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        runner = TaskRunner(Lengths(), own)
        with pytest.raises(DataError, match="choices has the id '0' twice"):
            runner.run(twice, draft(tmp_path))
        with pytest.raises(DataError, match="choices has no samples"):
            runner.run(none, draft(tmp_path))


def test_a_group_has_the_mean_of_its_tasks(tmp_path):
    tasks = Choices(30), Choices(9)
    tasks[1].name = "few"
    group = TaskGroup(
        "both", (TaskGroup("inner", (tasks[0],)), tasks[1]), (GroupMeasure("acc", (), True),)
    )
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        runner = TaskRunner(Lengths(), own)
        reports = [runner.run(task, draft(tmp_path)) for task in tasks]
    both, inner = report_groups([group], reports)
    assert (both.name, inner.name, both.tasks) == ("both", "inner", ("choices", "few"))
    assert both.measures[0].result.estimate == pytest.approx(26 / 39)
    assert both.measures[0].n_scored == 39 and inner.measures == ()


def test_a_dry_run_asks_nothing_and_shows_what_would_be(tmp_path):
    said = describe_requests(Choices(), None, 5)
    assert said.startswith("choices: 5 samples, 15 requests, multiple_choice")
    assert "--- 2, right: 2" in said and "[0] ' 0 xx'" in said and "--- 3" not in said
    assert "pp" in describe_requests(Sampled(), None, None)


def test_progress_is_told_by_sample(tmp_path, capsys):
    record.set_output_mode("json")
    try:
        with AnswerCache(tmp_path / "answers.jsonl") as own:
            TaskRunner(Lengths(), own).run(Choices(), draft(tmp_path))
    finally:
        record.set_output_mode("silent")
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert last["stage"] == "choices" and last["unit"] == "samples"
    assert last["done"] == pytest.approx(30) and last["total"] == 30


def answer_some(folder: Path, most: int, line: Any) -> None:
    """A run that says every answer, and after so many waits until it is killed."""

    class Slow(Lengths):
        answered = 0

        def loglikelihood(self, pairs):
            for answer in super().loglikelihood(pairs):
                yield answer
                self.answered += 1
                line.send("answered")
                if self.answered == most:
                    time.sleep(600)

    with AnswerCache(folder / "answers.jsonl") as own:
        TaskRunner(Slow(folder / "asked.jsonl"), own).run(Choices(), draft(folder))


def test_a_killed_run_goes_on_and_asks_no_finished_request_again(tmp_path):
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=answer_some, args=(tmp_path, 20, sender), daemon=True)
    process.start()
    sender.close()
    for _ in range(20):
        assert receiver.recv() == "answered"
    process.kill()
    process.join()
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        finished = len(own)
    assert finished == 20
    with AnswerCache(tmp_path / "answers.jsonl") as own:
        TaskRunner(Lengths(tmp_path / "asked.jsonl"), own).run(Choices(), draft(tmp_path))
    asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
    assert len(set(asked)) == 90 and len(asked) <= 90 + 1  # the one that was on its way
    assert len(rows(tmp_path, "choices")) == 30


MANY = """
    import resource, sys
    from pathlib import Path
    from tests.evaluate.harness.test_runner import Choices, Lengths, draft
    from groundup.evaluate.harness.answer_cache import AnswerCache
    from groundup.evaluate.harness.runner import TaskRunner
    class Forgetful(Lengths):
        def note(self, text): pass
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    def run(samples):
        folder = Path(sys.argv[1]) / str(samples)
        folder.mkdir()
        with AnswerCache(folder / "answers.jsonl") as own:
            report = TaskRunner(Forgetful(), own).run(Choices(samples), draft(folder))
        assert report.measures[0].n_scored == samples
        return peak()
    print(run(4096), run(int(sys.argv[2])))
"""


@pytest.mark.slow
def test_a_hundred_thousand_results_need_little_more_memory_than_four_thousand(tmp_path):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", textwrap.dedent(MANY), str(tmp_path), "100000"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    few, many = map(float, told.stdout.split())
    assert many - few < 250, f"{few:.0f} MiB for 4,096 samples and {many:.0f} for 100,000"


KEYS = [_make_request("loglikelihood", LoglikelihoodRequest("a", str(n))).key for n in range(4)]
ANSWERS = [
    Likelihood(-1.5, True, 3),
    Completion("x\ny ✓", "stop", 4, 9),
    Likelihood(0.0, False, 1, 7),
]


def test_what_is_put_is_there_after_reopening(tmp_path):
    path = tmp_path / "deep" / "answers.jsonl"
    with AnswerCache(path) as answers:
        for key, answer in zip(KEYS, ANSWERS, strict=False):
            answers.put(key, answer, price=0.25)
            assert answers.get(key) == answer
        answers.put(KEYS[3], Reason("timeout", "asked again"))
    assert len(path.read_bytes().splitlines()) == 3, "a reason is no line"
    with AnswerCache(path) as answers:
        assert [answers.get(key) for key in KEYS] == [*ANSWERS, None] and len(answers) == 3
        assert answers.totals == (3, 9, 8, 0.75)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_cut_off(tmp_path, cut):
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as answers:
        answers.put(KEYS[0], ANSWERS[0])
        answers.put(KEYS[1], ANSWERS[1])
    path.write_bytes(path.read_bytes()[:-cut])
    with AnswerCache(path) as answers:
        assert answers.get(KEYS[0]) == ANSWERS[0] and answers.get(KEYS[1]) is None
        answers.put(KEYS[1], ANSWERS[1])
    with AnswerCache(path) as answers:
        assert answers.get(KEYS[1]) == ANSWERS[1]


def test_a_damaged_line_is_passed_over_and_a_foreign_file_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as answers:
        answers.put(KEYS[0], ANSWERS[0])
        answers.put(KEYS[1], Completion("long" * 10_000, "length", 9))
    whole = path.read_bytes()
    path.write_bytes(b'{"key": "zz"}\n' + whole)
    with AnswerCache(path) as answers:
        assert answers.get(KEYS[1]).tokens == 9 and len(answers) == 2
        path.write_bytes(b"x" * len(whole))
        with pytest.raises(ArtifactError, match="was changed by another program"):
            answers.get(KEYS[0])
    path.write_text("a shopping list\n")
    with pytest.raises(ArtifactError, match="holds no readable answers"):
        AnswerCache(path)


def put_many(path: Path, name: str) -> None:
    answers = AnswerCache(path)
    for n in range(300):
        key = _make_request("loglikelihood", LoglikelihoodRequest(name, str(n))).key
        answers.put(key, Likelihood(-float(n), False, 1))


def test_processes_share_a_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    both = [CONTEXT.Process(target=put_many, args=(path, name), daemon=True) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    with AnswerCache(path) as answers:
        assert len(answers) == 600
        assert (
            answers.get(
                _make_request("loglikelihood", LoglikelihoodRequest("b", "299")).key
            ).logprob
            == -299.0
        )


def test_a_key_tells_apart_what_is_asked_and_nothing_else():
    greedy, hot = (Sampling(temperature=t) for t in (0.0, 1.0))
    texts = {
        _make_request("loglikelihood", LoglikelihoodRequest("a", "b")).key,
        _make_request("loglikelihood", LoglikelihoodRequest("ab", "")).key,
        _make_request("loglikelihood_rolling", "ab").key,
        _make_request("generate_until", "ab", greedy).key,
        _make_request("generate_until", "ab", hot).key,
        _make_request("generate_until", "ab", Sampling(stop=("b",))).key,
    }
    assert len(texts) == 6
    assert len({each.key for each in build_requests("generate_until", "p", (), hot, 3)}) == 3
    assert len({each.key for each in build_requests("generate_until", "p", (), greedy, 3)}) == 1
    assert [
        each.prompt for each in build_requests("loglikelihood_rolling", "p", (), greedy, 1)
    ] == ["p"]


class Little(io.FileIO):
    """A file on a disk that takes seven bytes at a time."""

    def write(self, data) -> int:
        return super().write(bytes(data[:7]))


def test_a_disk_that_takes_little_at_a_time_gets_whole_lines(tmp_path):
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as answers:
        answers.file.close()
        answers.file = Little(path, "a+")
        for key, answer in zip(KEYS, ANSWERS, strict=False):
            answers.put(key, answer)
    with AnswerCache(path) as answers:
        assert [answers.get(key) for key in KEYS[:3]] == ANSWERS
