"""Which kinds of file does `ask` quote? A folder of forty kinds, by an author unseen.

benchmarks/data/ask/kinds/build.py makes one file of each kind (apt-get install pandoc groff
ghostscript qpdf); one question is asked of each, and its first quote must be of the file and have
the decisive words. A scan and a locked file have no text to quote: they must be named as left out.

    python -m benchmarks.retrieve.kinds FOLDER          builds FOLDER if it is empty
    python -m benchmarks.retrieve.kinds FOLDER --show   with what was expected and quoted

Results: results/kinds.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import table
from benchmarks.retrieve.strangers import DATA, is_right, ours
from groundup.core import write_json
from groundup.documents import ReadConfig
from groundup.retrieve import IndexConfig, index, open_index
from groundup.retrieve.search import read_rejected

KINDS = DATA / "kinds"


def main() -> None:
    """Print a row for each kind, and the number that is right."""
    head, usage = (__doc__ or "").split("\n\n", 1)
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=head, epilog=usage, formatter_class=layout)
    parser.add_argument("folder", type=Path, help="where the files are built")
    parser.add_argument("--show", action="store_true", help="print wrong answers")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir() or not any(arguments.folder.iterdir()):
        subprocess.run([sys.executable, KINDS / "build.py", arguments.folder], check=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "index"
        index(arguments.folder, out, IndexConfig(read=ReadConfig(archives=True)))
        report(out, arguments.show)


def report(out: Path, show: bool) -> None:
    """Ask every question, and print what is quoted first or why the file is left out."""
    opened = open_index(out)
    answer = ours(opened)
    left_out = {item.path: item.reason for item in read_rejected(opened.artifact.path)}
    verdicts: dict[str, str] = {}
    lines = (KINDS / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    for question in map(json.loads, lines):
        shown = answer(question["question"])
        expected = question["answers"][0]
        reason = left_out.get(expected["path"])
        is_quoted = is_right({"class": "words"} | question, shown)
        verdict = "right" if is_quoted else "left out" if reason else "wrong"
        verdicts[question["kind"]] = verdict
        first = shown[0].path if shown else "refused"
        print(f"{question['kind']:14s} {verdict:9s} {reason or first}")
        if show and not is_quoted:
            print("   ", expected["must"], "|", " ".join(shown[0].text.split()) if shown else "-")
    counts = Counter(verdicts.values())
    print(f"right: {counts['right']} of {len(lines)}; left out by name: {counts['left out']}")
    found = {"machine": table.machine_class(), "of": len(lines), **counts, "kinds": verdicts}
    write_json(table.RESULTS / "kinds.json", found)


if __name__ == "__main__":
    main()
