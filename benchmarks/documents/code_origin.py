"""Precision and recall of code.generated on files labelled by hand.

    python -m benchmarks.documents.code_sources FOLDER
    python -m benchmarks.documents.code_origin FOLDER --half development|final [--show]

240 real files (code_labels.txt): 110 drawn from as many packages, and 130 drawn from those that say
`generated` or `do not edit` near the top, have a line over 400 characters or a path that sounds
like others' code, so that positives are there; labelled by a person before any tuning. Lines with
even numbers were for development. Paths are taken from the project's root on.
"""

import argparse
import re
import time
from pathlib import Path

from groundup.documents import Record, SourceMap
from groundup.documents.code.quality import GeneratedFilter, GeneratedFilterConfig

# Where a distribution puts a project, which is no part of the project's own paths.
INSTALLED = re.compile(
    r"(?:debian|npm)/[^/]+/(?:usr/lib/python3/dist-packages/|usr/include/(?:x86_64-linux-gnu/)?"
    r"|usr/share/(?:gocode/src/|cargo/registry/)?|usr/lib/|package/)?"
)


def main() -> None:
    """Print precision and recall."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=["development", "final"], default="development")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    steps = {
        "generated": GeneratedFilter(GeneratedFilterConfig()),
    }
    labels = (Path(__file__).parent / "code_labels.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in labels if not line.startswith("#")]
    rows = rows[0 if given.half == "development" else 1 :: 2]
    for name, step in steps.items():
        right, wrong, missed, seconds = 0, [], [], 0.0
        for path, said in rows:
            if f"{name}?" in said.split():
                continue
            text = (given.folder / path).read_text(encoding="utf-8")
            inside = INSTALLED.sub("", path, count=1)
            record = Record("", "", inside, "code", text, SourceMap.identity(text))
            started = time.process_time()
            found = bool(step(record).reason)
            seconds += time.process_time() - started
            is_so = name in said.split()
            right += found and is_so
            wrong += [inside] if found and not is_so else []
            missed += [inside] if is_so and not found else []
        print(
            f"{name:10} right {right:3}  false {len(wrong):3}  missed {len(missed):3}"
            f"  of {len(rows)};"
            f" {len(rows) / max(seconds, 1e-9):.0f} files/s"
        )
        if given.show:
            print("   false ", *wrong, sep="\n      ")
            print("   missed", *missed, sep="\n      ")


if __name__ == "__main__":
    main()
