"""Chats, measured: servers' lines in real IRC logs; what goes of dialogues and mails.

    python -m benchmarks.documents.chats IRCLOGS DIALOGUES MAILS [--show]

IRCLOGS is the folder of PyPI's irclog2html 4.1.0 (GPL; sdist), whose testcases hold logs of real
channels: a client wrote `***`, `-->` or `<--` before what nobody said, which is the truth here.
The step is asked with the mark and the time, and without either. DIALOGUES is the folder
chatterbot_corpus/data of PyPI's chatterbot-corpus 1.3.3 (BSD; sdist): people wrote them, so what
the steps drop is listed by --show to be judged by eye. MAILS is the folder of conversations.py, in
which no line is a server's.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import yaml

from benchmarks.documents.conversations import body_of
from groundup.documents import Record, SourceMap, StepResult, TextSpan
from groundup.documents.conversations.turns import (
    RE,
    Boilerplate,
    BoilerplateConfig,
    ConversationQuality,
    ConversationQualityConfig,
    TurnOrder,
    TurnOrderConfig,
)

LOGGED = re.compile(r"(\[[^\]\n]{5,20}\]|\d{4}-\d\d-\d\dT[\d:]{8})\s+((?:\*\*\*|-->|<--) )?(.*)")


def irc(root: Path, is_marked: bool, show: bool) -> dict[str, object]:
    """Precision and recall by line; every line is asked alone."""
    step = Boilerplate(BoilerplateConfig(drop_greetings=False))
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for path in sorted(root.glob("**/*.log")):
        for line in path.read_text("utf-8", "replace").splitlines():
            found = LOGGED.match(line)
            if found is None or line in seen:
                continue
            seen.add(line)
            wanted = bool(found[2])
            text = f"{found[1]} {found[2] or ''}{found[3]}" if is_marked else found[3]
            hit = any(edit.reason == "server message" for edit in step.line_edits(text, set()))
            counts["lines"] += 1
            counts["wanted" if wanted else "said"] += 1
            counts["hits"] += hit and wanted
            counts["false"] += hit and not wanted
            if show and hit != wanted:
                print("false" if hit else "missed", text[:110])
    hits, false = counts["hits"], counts["false"]
    return {
        "marked": is_marked, "lines": counts["lines"], "server lines": counts["wanted"],
        "precision": round(hits / max(1, hits + false), 4),
        "recall": round(hits / max(1, counts["wanted"]), 4),
        "false alarms": f"{false} of {counts['said']} lines that were said",
    }  # fmt: skip


def mails(root: Path, show: bool) -> dict[str, object]:
    """Lines of mails that are taken for a server's."""
    lines = {
        line
        for path in sorted(root.glob("*-ham-*/*.txt"))
        for line in body_of(path).splitlines()
        if line.strip()
    }
    found = sorted(line for line in lines if len(line) <= 500 and RE.server_line.fullmatch(line))
    if show:
        print(*found, sep="\n")
    return {"lines of mails, each once": len(lines), "taken for a server's": len(found)}


def dialogues(root: Path, language: str, show: bool) -> dict[str, object]:
    """What each step says of dialogues of one language."""
    steps = {
        "turns": TurnOrder(TurnOrderConfig()),
        "boilerplate": Boilerplate(BoilerplateConfig()),
        "quality": ConversationQuality(ConversationQualityConfig(min_words=1)),
    }
    reasons: Counter[str] = Counter()
    number = 0
    for path in sorted((root / language).glob("*.yml")):
        talks = yaml.safe_load(path.read_text("utf-8")).get("conversations") or []
        for talk in (one for one in talks if isinstance(one, list)):
            number += 1
            record = spoken([f"{line}" for line in talk])
            for name, step in steps.items():
                for reason in reasons_of(step(record)):
                    reasons[f"{name}: {reason}"] += 1
                    if show:
                        print(reason, "|", record.text[:120].replace("\n", " / "))
    return {"language": language, "dialogues": number, "rulings": dict(reasons.most_common())}


def reasons_of(ruling: StepResult) -> list[str]:
    """Why a ruling drops the record or edits it."""
    if ruling.reason:
        return [ruling.reason]
    marked = ["counted: speaks of itself"] if ruling.metadata.get("disclaimers") else []
    return [f"cut: {edit.reason}" for edit in ruling.edits] + marked


def spoken(lines: list[str]) -> Record:
    """A conversation of a user and an assistant in turns."""
    spans, at = [], 0
    for number, line in enumerate(lines):
        spans.append(TextSpan("turn", at, at + len(line), ("user", "assistant")[number % 2]))
        at += len(line) + 1
    text = "\n".join(lines)
    return Record("1", "s", "p", "conversation", text, SourceMap.identity(text), tuple(spans))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("irclogs", type=Path)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("mails", type=Path)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    for is_marked in (True, False):
        print(json.dumps(irc(given.irclogs, is_marked, given.show)))
    print(json.dumps(mails(given.mails, given.show)))
    for language in ("english", "german", "french", "spanish", "italian"):
        print(json.dumps(dialogues(given.dialogues, language, given.show), ensure_ascii=False))


if __name__ == "__main__":
    main()
