"""Answers outlive kills, torn lines and other processes; what failed is asked again."""

import io
import subprocess
import sys

import pytest

from groundup.core import (
    ArtifactError,
    Completion,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
    StopCriteria,
)
from groundup.evaluate.harness.answer_cache import AnswerCache, _make_request, build_requests

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


def test_processes_share_a_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    code = (
        "import sys; from groundup.core import Likelihood, LoglikelihoodRequest\n"
        "from groundup.evaluate.harness.answer_cache import AnswerCache, _make_request\n"
        "answers = AnswerCache(sys.argv[1])\n"
        "for n in range(300):\n"
        "    asked = LoglikelihoodRequest(sys.argv[2], str(n))\n"
        "    key = _make_request('loglikelihood', asked).key\n"
        "    answers.put(key, Likelihood(-float(n), False, 1))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    with AnswerCache(path) as answers:
        assert len(answers) == 600
        assert (
            answers.get(
                _make_request("loglikelihood", LoglikelihoodRequest("b", "299")).key
            ).logprob
            == -299.0
        )


def test_a_key_tells_apart_what_is_asked_and_nothing_else():
    greedy, hot = (StopCriteria(Sampling(temperature=t)) for t in (0.0, 1.0))
    texts = {
        _make_request("loglikelihood", LoglikelihoodRequest("a", "b")).key,
        _make_request("loglikelihood", LoglikelihoodRequest("ab", "")).key,
        _make_request("loglikelihood_rolling", "ab").key,
        _make_request("generate_until", "ab", greedy).key,
        _make_request("generate_until", "ab", hot).key,
        _make_request("generate_until", "ab", StopCriteria(greedy.sampling, ("b",))).key,
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
