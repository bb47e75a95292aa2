"""Do our Gopher, C4 and FineWeb rules decide as datatrove's, and how much faster?

    python -m benchmarks.documents.web_rules PAGES --datatrove PYTHON [--documents 5000] \
        [--keep DIR]

Takes main text (web.main_text) of pages of every package in turn, English or not, asks both for
the decision about each text and prints agreement by filter, every text on which they differ, and
documents a CPU second of all filters together on one core, each system in its own process. PYTHON
is an interpreter with tests/oracles/datatrove.txt. Exits 1 if any decision differs.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.documents.web_pages import PACKAGES, pages
from groundup.corpus.quality.rules import (
    C4,
    C4Config,
    FineWeb,
    FineWebConfig,
    Gopher,
    GopherConfig,
    GopherRepetition,
    GopherRepetitionConfig,
)
from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.web.main_text import MainText, MainTextConfig

ROOT = Path(__file__).resolve().parents[2]

STEPS = {
    "gopher_repetition": GopherRepetition(GopherRepetitionConfig()),
    "gopher": Gopher(GopherConfig()),
    "c4": C4(C4Config()),
    "c4_lines": C4(C4Config(terminal_punctuation=False, curly_bracket=False)),
    "fineweb": FineWeb(FineWebConfig()),
}
LARGEST_BYTES = 150_000


def texts(directory: Path, count: int) -> list[str]:
    """Main texts of pages drawn from each package in turn, in an order that a seed fixes."""
    step, found = MainText(MainTextConfig()), []
    waiting = []
    for package in PACKAGES:
        paths = pages(directory, package)
        random.Random(f"rules {package}").shuffle(paths)
        waiting.append(iter(paths))
    while waiting and len(found) < count:
        for paths in list(waiting):
            path = next(paths, None)
            if path is None:
                waiting.remove(paths)
            elif path.stat().st_size <= LARGEST_BYTES and len(found) < count:
                record = Record("1", "pages", path.name, "html", data=path.read_bytes())
                ruling = step(record)
                if not ruling.reason:
                    found.append(apply_result(record, ruling).text)
    return found


def decide(text: str) -> dict[str, str]:
    """Our decision by each filter, and C4's text, in datatrove's words."""
    record = Record("1", "pages", "p", "text", text, SourceMap(text, ()))
    found = {}
    for name, step in STEPS.items():
        ruling = step(record)
        reason = ruling.reason.partition(": ")[2]
        found[name] = f"gopher_{reason}" if name == "gopher" and reason else reason
        if name == "c4_lines" and not reason:
            found["c4_text"] = changed(text, ruling).strip()
    return found


def changed(text: str, ruling) -> str:  # noqa: ANN001
    """The text after a ruling's edits."""
    pieces, at = [], 0
    for edit in ruling.edits:
        pieces += [text[at : edit.start], edit.put]
        at = edit.end
    return "".join([*pieces, text[at:]])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path)
    parser.add_argument("--datatrove", required=True, metavar="PYTHON")
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--keep", type=Path, help="directory for the texts and decisions")
    arguments = parser.parse_args()
    place = arguments.keep or Path(tempfile.mkdtemp())
    place.mkdir(exist_ok=True)
    given, answered = place / "texts.jsonl", place / "decisions.json"
    if not given.exists():
        lines = [json.dumps({"text": text}) for text in texts(arguments.pages, arguments.documents)]
        given.write_text("\n".join(lines) + "\n")
    documents = [json.loads(line)["text"] for line in given.open()]
    if not answered.exists():
        script = ROOT / "tests/oracles/datatrove_filters.py"
        subprocess.run([arguments.datatrove, script, given, answered], check=True)
    seconds, theirs = json.loads(answered.read_text())
    decide("Warm up the tokenizer.")
    start = time.process_time()
    ours = [decide(text) for text in documents]
    own_seconds = time.process_time() - start
    differ = 0
    for name in (*STEPS, "c4_text"):
        unlike = [
            n
            for n, (a, b) in enumerate(zip(ours, theirs, strict=True))
            if a.get(name) != b.get(name)
        ]
        kept = sum(row.get(name) == "" for row in ours)
        print(f"{name:20}{len(documents) - len(unlike)} of {len(documents)} equal, {kept} kept")
        for n in unlike[:20]:
            print(f"    {n}: ours {ours[n].get(name, '')[:70]!r}; {theirs[n].get(name, '')[:70]!r}")
        differ += len(unlike)
    rate, their_rate = len(documents) / own_seconds, len(documents) / seconds
    print(f"{rate:.0f} documents/s; datatrove {their_rate:.0f}; {rate / their_rate:.1f} times")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
