"""Does `ask` quote the right place first? Questions by authors who had not seen the tool.

Each folder in benchmarks/data/ask has documents, or build.sh, which makes them from packages, and
questions in four classes: in the text's own words, in other words, for two facts, and near misses
that the documents do not answer. A quote is right if it is of a listed file and has the decisive
words; of two facts both must be among the quotes. Beside it stands BM25 over windows of 1,200
characters of the same texts, which never refuses, and may show twice what we quote. The cost of one
`groundup ask` as a command of its own, from start to end, is measured in processor time.

    python -m benchmarks.retrieve.strangers manual_a FOLDER          one folder's table
    python -m benchmarks.retrieve.strangers museum                   of documents that are here
    python -m benchmarks.retrieve.strangers relations_c              of "made of", "where is"
    python -m benchmarks.retrieve.strangers manual_a FOLDER --show   with every wrong answer
    ... --encoder DIRECTORY --reader DIRECTORY                   by meaning, and judged
    ... --all manual_a.jsonl                                     keeps the answers, for prove.py

Results: results/strangers.json, by folder.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import table
from groundup.measure import wilson_interval
from groundup.retrieve import (
    IndexConfig,
    OpenIndex,
    ReaderChoice,
    TextEncoderConfig,
    answer_question,
    answer_to_json,
    index,
    open_index,
)

DATA = Path(__file__).resolve().parents[1] / "data" / "ask"
CLASSES = {
    "words": "text's words", "other": "other words", "two": "two facts", "near": "near miss",
    "forms": "mistyped, in other forms",
}  # fmt: skip
WINDOW = 1200
SHELL_QUESTIONS = 10
"""Questions asked each by a command of its own, after one that is not counted."""


class Shown(NamedTuple):
    """A piece of text that an answer shows."""

    path: str
    text: str


Answerer = Callable[[str], list[Shown]]


def main() -> None:
    """Print how many questions of each class are answered rightly, by ours and by the baseline."""
    arguments = _parser().parse_args()
    lines = (DATA / arguments.name / "questions.jsonl").read_text().splitlines()
    questions = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.index or Path(folder) / "index"
        begin = time.perf_counter()
        config = IndexConfig(
            encoder=TextEncoderConfig(path=arguments.encoder),
            reader=ReaderChoice(path=arguments.reader),
        )
        index(arguments.folder or DATA / arguments.name / "documents", out, config)
        opened = open_index(out)
        seconds = time.perf_counter() - begin
        print(f"indexed in {seconds:.1f} s, {len(opened.lexical):,} passages")
        found: dict[str, Any] = {"passages": len(opened.lexical)}
        found |= {} if arguments.index else {"index_seconds": round(seconds, 1)}
        if arguments.all:
            answers = (answer_question(opened, question["question"]) for question in questions)
            lines = (json.dumps(answer_to_json(answer)) + "\n" for answer in answers)
            arguments.all.write_text("".join(lines))
        cost = shell_cost(out, [each["question"] for each in questions[: SHELL_QUESTIONS + 1]])
        print(f"one command: {cost.seconds:.2f} s of processor time, {cost.megabytes:.0f} MB")
        answerers: dict[str, Answerer] = {"ours": ours(opened), "BM25": windows(opened)}
        for name, answer in answerers.items():
            begin = time.perf_counter()
            shown = [answer(question["question"]) for question in questions]
            seconds = (time.perf_counter() - begin) / len(questions)
            print(f"{name}: {seconds * 1000:.0f} ms a question")
            found[name] = {"milliseconds": round(seconds * 1000), **_report(questions, shown)}
            if arguments.show and name == "ours":
                _show(questions, shown, opened)
    models = " with models" if arguments.encoder or arguments.reader else ""
    table.keep_part("strangers", arguments.name + models, found)


class ShellCost(NamedTuple):
    """What one `groundup ask` costs."""

    seconds: float
    """Processor time of the user and the system, median of the questions."""
    megabytes: float
    """Resident memory at most, of any question."""


def shell_cost(index: Path, questions: Sequence[str]) -> ShellCost:
    """Ask each question by a command of its own; the first one caches bytecode and files."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds, kilobytes = list[float](), list[int]()
    for question in questions:
        command = [sys.executable, "-m", "groundup", "ask", question, "--index", str(index)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 4):
            raise RuntimeError(f"{command} ended with {process.returncode}")
        seconds.append(usage.ru_utime + usage.ru_stime)
        kilobytes.append(usage.ru_maxrss)
    return ShellCost(statistics.median(seconds[1:]), max(kilobytes) / 1024)


def ours(opened: OpenIndex) -> Answerer:
    """The claims of `ask`, each with its quotes, as a row with its head; none is a refusal."""

    def answer(question: str) -> list[Shown]:
        claims = answer_question(opened, question).claims
        return [Shown(claim.quotes[0].path, claim.text) for claim in claims]

    return answer


def windows(opened: OpenIndex) -> Answerer:
    """The three best windows of 1,200 characters by BM25 (k1 1.2, b .75) over plain words."""
    found, counts, having = [], [], Counter[str]()
    for id, place in opened.entries.items():
        text = opened.read_document(id).text
        opened.cache.clear()
        for start in range(0, len(text), WINDOW):
            words = Counter(_words(text[start : start + WINDOW]))
            if words:
                found.append(Shown(place.path, text[start : start + WINDOW]))
                counts.append(words)
                having.update(words.keys())
    postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
    lengths = [sum(words.values()) for words in counts]
    for number, words in enumerate(counts):
        for word, count in words.items():
            postings[word].append((number, count))
    mean = sum(lengths) / max(1, len(lengths))

    def answer(question: str) -> list[Shown]:
        scores: Counter[int] = Counter()
        for word in set(_words(question)):
            n = having[word]
            idf = math.log1p((len(found) - n + 0.5) / (n + 0.5))
            for number, count in postings.get(word, ()):
                norm = 1.2 * (0.25 + 0.75 * lengths[number] / mean)
                scores[number] += idf * count * 2.2 / (count + norm)  # type: ignore[assignment]
        return [found[number] for number, _ in scores.most_common(3)]

    return answer


def is_right(question: dict[str, Any], shown: Sequence[Shown]) -> bool:
    """Whether an answer is right: see the head of this file."""
    if question["class"] == "near":
        return not shown
    if "facts" in question:
        return all(any(_holds(one, facts) for one in shown) for facts in question["facts"])
    return bool(shown) and _holds(shown[0], question["answers"])


def _holds(shown: Shown, answers: Iterable[dict[str, Any]]) -> bool:
    text = _fold(shown.text)
    return any(
        answer.get("path") in (None, shown.path.split("#")[0])
        and all(_fold(words) in text for words in answer["must"])
        for answer in answers
    )


def _fold(text: str) -> str:
    """Text without case, and with one space for any white space."""
    return " ".join(text.casefold().split())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _report(
    questions: Sequence[dict[str, Any]], shown: Sequence[Sequence[Shown]]
) -> dict[str, Any]:
    """Print and return what is right and refused of each class, with a 95 % interval."""
    found = {}
    for name, title in CLASSES.items():
        rows = [(q, s) for q, s in zip(questions, shown, strict=True) if q["class"] == name]
        if not rows:
            continue
        right = sum(is_right(question, answer) for question, answer in rows)
        refused = sum(not answer for _, answer in rows)
        interval = wilson_interval(right, len(rows))
        share = right / len(rows)
        print(
            f"  {title:14s} right {right:3d} of {len(rows)} "
            f"({share:.2f} [{interval.low:.2f}, {interval.high:.2f}]), refused {refused}"
        )
        bounds = [round(interval.low, 3), round(interval.high, 3)]
        found[name] = {"right": right, "of": len(rows), "interval": bounds, "refused": refused}
    return found


def _show(questions: Sequence[dict[str, Any]], shown: Sequence[Sequence[Shown]], opened) -> None:
    for question, answer in zip(questions, shown, strict=True):
        if is_right(question, answer):
            continue
        print(f"\n[{question['class']}] {question['question']}")
        print("  expected:", json.dumps(question.get("facts") or question.get("answers"))[:400])
        details = answer_question(opened, question["question"]).details
        print(f"  score {details['score']}, missing {details['missing']}")
        for one in answer:
            print(f"  - {one.path}: {' '.join(one.text.split())[:300]}")


def _parser() -> argparse.ArgumentParser:
    head, usage = (__doc__ or "").split("\n\n", 1)
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=head, epilog=usage, formatter_class=layout)
    parser.add_argument(
        "name", choices=sorted(p.parent.name for p in DATA.glob("*/questions.jsonl"))
    )
    parser.add_argument("folder", type=Path, nargs="?", help="what its build.sh made")
    parser.add_argument("--index", type=Path, help="where the index is kept; default: nowhere")
    parser.add_argument("--encoder", default="", help="directory of a text encoder")
    parser.add_argument("--reader", default="", help="directory of an extractive reader")
    parser.add_argument("--all", type=Path, help="write every answer as a line of JSON")
    parser.add_argument("--show", action="store_true", help="print wrong answers")
    return parser


if __name__ == "__main__":
    main()
