"""What markup hostile to memory costs: bytes of memory for each byte of text, and processor time.

    python -m benchmarks.documents.markup_memory [--megabytes 1 5]

`articles.latex` and `documents.read` read texts that need a segment for nearly each of their bytes,
in a process of its own each; `apply_result` carries the ruling out. Memory is what the process's
peak grew by.
"""

import argparse
import os
import resource
import sys
import time

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.articles.latex import (
    LatexConfig,
    LatexStep,
)
from groundup.documents.readers.files import ReadMarkup, ReadMarkupConfig

STEPS = {"latex": LatexStep(LatexConfig()), "html": ReadMarkup(ReadMarkupConfig())}
TEXTS = ("-\n", "a\n", "&#", "`", "a:\n", "word word\n", "\\item a\n", "<b>a</b>\n", "&lt;&gt;")


def read(kind: str, text: str) -> None:
    """Read one text and print what it cost; runs in a process of its own."""
    record = Record("1", "s", "p", kind, data=text.encode())
    if kind == "latex":
        record = Record("1", "s", "p", kind, text, SourceMap.identity(text))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    ruling = STEPS[kind](record)
    after = record if ruling.reason else apply_result(record, ruling)
    seconds = time.process_time() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    segments = len(after.map.segments) / len(text)
    print(f"{grown / len(text):8.0f} B/byte {seconds:7.2f} s {segments:6.2f} segments/byte", end="")


def main() -> None:
    """Every kind, text and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1.0, 5.0])
    arguments = parser.parse_args()
    for kind in STEPS:
        for text in TEXTS:
            for megabytes in arguments.megabytes:
                print(f"{kind:6} {text!r:14} {megabytes:5.1f} MB", end=" ", flush=True)
                child = os.fork()
                if not child:
                    count = int(megabytes * 1_000_000)
                    read(kind, (text * (count // len(text) + 1))[:count])
                    sys.stdout.flush()
                    os._exit(0)
                os.waitpid(child, 0)
                print()


if __name__ == "__main__":
    main()
