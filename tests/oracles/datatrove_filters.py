"""What datatrove's Gopher, C4 and FineWeb filters decide, as a fixture and for any texts.

    python tests/oracles/datatrove_filters.py                 writes the fixture from its texts
    python tests/oracles/datatrove_filters.py IN.jsonl OUT    decisions and seconds for IN's texts

A decision is "" for a text that stays, else datatrove's reason. Run by `make oracles` in the
environment of datatrove.txt.
"""

import gzip
import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

FIXTURE = Path("tests/fixtures/datatrove_filters.jsonl.gz")
FILTERS = {
    "gopher_repetition": GopherRepetitionFilter(),
    "gopher": GopherQualityFilter(),
    "c4": C4QualityFilter(),
    "c4_lines": C4QualityFilter(filter_no_terminal_punct=False, filter_curly_bracket=False),
    "fineweb": FineWebQualityFilter(),
}


def decide(text: str) -> dict[str, str]:
    """The decision of each filter about the same text, and C4's text."""
    found = {}
    for name, step in FILTERS.items():
        document = Document(text=text, id="1")
        try:
            said = step.filter(document)
        except ZeroDivisionError:
            said = (False, "empty")
        found[name] = "" if said is True else said[1]
        if name == "c4_lines" and said is True:
            found["c4_text"] = document.text
    return found


def main() -> None:
    """Run from the command line."""
    if len(sys.argv) == 3:
        texts = [json.loads(line)["text"] for line in open(sys.argv[1])]
        decide("Warm up the tokenizer.")
        start = time.process_time()
        rows = []
        for text in texts:
            rows.append(decide(text))
        seconds = time.process_time() - start
        Path(sys.argv[2]).write_text(json.dumps([seconds, rows]))
        return
    rows = [json.loads(line) for line in gzip.open(FIXTURE, "rt")]
    lines = [
        json.dumps({"text": row["text"], "decisions": decide(row["text"])}, ensure_ascii=False)
        for row in rows
    ]
    FIXTURE.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    print(FIXTURE, len(lines), FIXTURE.stat().st_size)


if __name__ == "__main__":
    main()
