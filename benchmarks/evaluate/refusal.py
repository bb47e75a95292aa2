"""How often does `ask` refuse what is answered, and answer what is not? This fixes THRESHOLD.

Indexes the topics of pydoc and the modules of the standard library (every fifth module is held
out) and asks

    written      about Python in a user's words, and about other software, other trades and things
                 that only sound like Python; every second one chose the threshold
    fresh        the same, written after the threshold; a few rules changed once it was seen
    names        "What does json.dumps do?" of functions indexed, and of ones whose name is no word
                 of any module indexed; the credit for parts of names was set on it
    docstrings   "How do I …?" of a docstring's first sentence, of modules indexed and held out; the
                 latter are no clean refusals, as the other modules often say the same

    python -m benchmarks.evaluate.refusal [--show]      about a minute on one core
"""

import ast
import random
import re
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from groundup.documents import module_name
from groundup.measure import wilson_interval
from groundup.retrieve import OpenIndex, answer_question, index, open_index
from groundup.retrieve.answers.answer import THRESHOLD

QUESTIONS = Path(__file__).with_suffix(".txt")
DERIVED = 150
LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def main() -> None:
    """Print the two error rates at the threshold, and the best threshold of the tuning half."""
    indexed, held_out = modules()
    with tempfile.TemporaryDirectory() as folder:
        write_documents(indexed, Path(folder) / "source")
        index(Path(folder) / "source", Path(folder) / "index")
        opened = open_index(Path(folder) / "index")
        sets = {name: scores(opened, questions) for name, questions in read_written().items()}
        for name, ask in (("names", by_name), ("docstrings", by_docstring)):
            known, unknown = ask(indexed), ask(held_out, indexed)
            sets |= {f"{name} answerable": scores(opened, known)}
            sets |= {f"{name} unanswerable": scores(opened, unknown)}
        size = len(opened.lexical)
    tuning = pair(sets, "written", slice(0, None, 2))
    best = min((sum(errors(tuning, t / 100)), t / 100) for t in range(30, 100))[1]
    print(f"{size} passages; best threshold on the tuning half {best:.2f}, in use {THRESHOLD}")
    report("written, tuning half", tuning)
    report("written, other half", pair(sets, "written", slice(1, None, 2)))
    for name in ("fresh", "names", "docstrings"):
        report(name, pair(sets, name, slice(None)))
    if "--show" in sys.argv:
        for name, rows in sets.items():
            for score, question in sorted(rows, reverse="unanswerable" in name)[:25]:
                print(f"{name:24s} {score:.3f} {question}")


Rows = dict[str, list[tuple[float, str]]]


def pair(sets: Rows, name: str, part: slice) -> Rows:
    """A part of the answerable and the unanswerable questions of one kind."""
    return {what: sets[f"{name} {what}"][part] for what in ("answerable", "unanswerable")}


def report(title: str, rows: Rows) -> None:
    """Print both error rates with their 95 % intervals."""
    for name, rate in zip(("answerable", "unanswerable"), errors(rows, THRESHOLD), strict=True):
        wrong, asked = round(rate * len(rows[name])), len(rows[name])
        interval = wilson_interval(wrong, asked)
        what = "refused" if name == "answerable" else "answered"
        span = f"[{interval.low:.0%}, {interval.high:.0%}]"
        print(
            f"{title:24s} {name:12s} wrongly {what:8s} {wrong:3d} of {asked:3d} {rate:5.1%} {span}"
        )


def errors(rows: Rows, threshold: float) -> tuple[float, float]:
    """Share of answerable questions refused, share of unanswerable ones answered."""
    refused = sum(score < threshold for score, _ in rows["answerable"])
    answered = sum(score >= threshold for score, _ in rows["unanswerable"])
    return refused / len(rows["answerable"]), answered / len(rows["unanswerable"])


def scores(index: OpenIndex, questions: list[str]) -> list[tuple[float, str]]:
    """The score of each question's best quote."""
    return [(answer_question(index, question).details["score"], question) for question in questions]


def read_written() -> dict[str, list[str]]:
    """The written questions, by the heading above them."""
    sets: dict[str, list[str]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            current = sets.setdefault(line[2:], [])
        elif line.strip():
            current.append(line.strip())
    return sets


def modules() -> tuple[list[Path], list[Path]]:
    """The standard library's files: indexed, and every fifth held out."""
    found = sorted(
        path
        for path in LIBRARY.rglob("*.py")
        if not {"test", "tests", "idlelib", "lib2to3", "site-packages", "ensurepip", "turtledemo",
                "pydoc_data", "encodings", "__pycache__"} & set(path.relative_to(LIBRARY).parts)
        and not path.name.startswith("_sysconfigdata")
    )  # fmt: skip
    return [p for i, p in enumerate(found) if i % 5], found[::5]


def write_documents(paths: list[Path], folder: Path) -> None:
    """Write the topics as text and the modules as Python into a folder."""
    from pydoc_data.topics import topics

    files = {f"topics/{name}.txt": text.encode() for name, text in topics.items()}
    files |= {path.relative_to(LIBRARY).as_posix(): path.read_bytes() for path in paths}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def functions(paths: list[Path]) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Module name and definition of every public function of the modules' top level."""
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield module_name(path.relative_to(LIBRARY).as_posix()), node


def by_name(paths: list[Path], but: list[Path] = []) -> list[str]:  # noqa: B006  never changed
    """Questions that name a documented function; none whose name is a word of `but`."""
    known = {word for path in but for word in re.findall(r"\w+", path.read_text("utf-8"))}
    found = {
        f"What does {module}.{node.name} do?"
        for module, node in functions(paths)
        if ast.get_docstring(node) and node.name not in known
    }
    return random.Random(0).sample(sorted(found), min(len(found), DERIVED))


def by_docstring(paths: list[Path], but: list[Path] = []) -> list[str]:  # noqa: B006
    """Questions that ask for what a docstring's first sentence says."""
    found = set()
    for _, node in functions(paths):
        said = (ast.get_docstring(node) or "").partition("\n\n")[0].partition(". ")[0]
        if 5 <= len(said.split()) <= 14:
            sentence = " ".join(said.rstrip(".").split())
            found.add(f"How do I {sentence[0].lower()}{sentence[1:]}?")
    return random.Random(0).sample(sorted(found), min(len(found), DERIVED))


if __name__ == "__main__":
    main()
