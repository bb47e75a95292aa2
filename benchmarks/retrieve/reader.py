"""What a reader's veto gains and loses: near misses refused, right answers lost.

Questions of authors who had not seen the code, on the folders of benchmarks/data/ask whose
documents are here. Words answer; the reader reads the first quote. Printed is, by threshold, how
many right and wrong answers and how many answered near misses it would refuse: for development
folders, for those of harder near misses (relations_*, ordinary), and for two that were written
after the veto was chosen.

    python -m benchmarks.retrieve.reader --reader DIRECTORY

Results: results/reader.json.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import table
from benchmarks.retrieve.strangers import DATA, Shown, is_right
from groundup.measure import auroc
from groundup.retrieve import index, open_index
from groundup.retrieve.answers.answer import _answer, _find_spans, weigh_terms
from groundup.retrieve.readers.judge import below_titles
from groundup.retrieve.readers.spans import SpanReader

UNSEEN = ("ferry", "samphire")
THRESHOLDS = (-8.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0)


class Row(NamedTuple):
    """A question that words answer."""

    folder: str
    kind: str
    is_right: bool
    score: float
    """The reader's log-odds of the first quote."""


def main() -> None:
    """Print and keep what the veto does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--reader", type=Path, required=True, help="directory of a reader")
    reader = SpanReader.open(parser.parse_args().reader)
    rows, kinds = list[Row](), Counter[tuple[str, str]]()
    for folder in sorted(path.parent for path in DATA.glob("*/documents")):
        rows += answered(folder, reader, kinds)
    found: dict[str, Any] = {}
    for group in ("development", "harder", "unseen"):
        own = [row for row in rows if group_of(row.folder) == group]
        found[group] = summary(own, {k: n for (g, k), n in kinds.items() if g == group})
        print(json.dumps({group: found[group]}, indent=1))
    table.keep_part("reader", "veto", found)


def group_of(folder: str) -> str:
    """Which kind of folder one is."""
    if folder in UNSEEN:
        return "unseen"
    is_harder = folder.startswith("relations") or folder == "ordinary"
    return "harder" if is_harder else "development"


def answered(folder: Path, reader: SpanReader, kinds: Counter[tuple[str, str]]) -> list[Row]:
    """The questions of a folder that words answer; counts all of them."""
    rows = []
    with tempfile.TemporaryDirectory() as out:
        index(folder / "documents", Path(out) / "index")
        opened = open_index(Path(out) / "index")
        for line in (folder / "questions.jsonl").read_text().splitlines():
            question = json.loads(line)
            kinds[group_of(folder.name), question["class"]] += 1
            wanted = weigh_terms(opened, question["question"])
            answer = _answer(opened, question["question"], 3)
            if answer.refused or wanted.question.parts:
                continue
            passage = _find_spans(opened, wanted, {})[0].hit.passage
            if opened.entries[passage.document].language != "english":
                continue
            claims = [Shown(claim.quotes[0].path, claim.text) for claim in answer.claims]
            text = below_titles(passage, answer.claims[0].text)
            score = reader.read(question["question"], [text])[0].score
            right = question["class"] != "near" and is_right(question, claims)
            rows.append(Row(folder.name, question["class"], right, score))
    return rows


def summary(rows: list[Row], kinds: dict[str, int]) -> dict[str, Any]:
    """AUROC of right answers and answered near misses, and what each threshold refuses."""
    right = [row.score for row in rows if row.is_right]
    near = [row.score for row in rows if row.kind == "near"]
    wrong = [row.score for row in rows if not row.is_right and row.kind != "near"]
    labels = [1] * len(right) + [0] * len(near)
    by_threshold = [
        {"threshold": at, **{
            name: sum(score < at for score in scores)
            for name, scores in (("right", right), ("wrong", wrong), ("near", near))
        }}
        for at in THRESHOLDS
    ]  # fmt: skip
    read = {"right": len(right), "wrong": len(wrong), "near": len(near)}
    return {"questions": kinds, "read": read, "refused": by_threshold,
            "auroc": round(auroc([*right, *near], labels), 3)}  # fmt: skip


if __name__ == "__main__":
    main()
