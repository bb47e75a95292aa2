"""What examples or preferences are made of: kinds, turns, lengths, sources, languages, refusals.

A model learns the proportions of its examples: half refusals and it refuses, chosen answers that
are longer than rejected ones and it writes longer.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from groundup.core import Artifact, Conversation, Message, MissingExtra, record
from groundup.corpus import SPLITS

from .cleaning import conversation_language, refuses
from .exchanges import ChatExample

SHOWN = 8
"""Sources, kinds and languages that the text names; JSON has all."""


class BalanceRow(NamedTuple):
    """A row as the report counts it."""

    kind: str
    messages: Conversation
    """Of a pair with the chosen answer."""
    source: str
    refusal: bool
    rejected: str = ""
    """The worse answer of a pair."""


class Balance(NamedTuple):
    """What each split is made of."""

    path: str
    splits: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        lines = [self.path]
        for name, counts in self.splits.items():
            lines.append(f"\n{name}: {counts['rows']} rows, {counts['refusals']} refusals, "
                         f"{counts['with_system']} with a system turn")  # fmt: skip
            for key, value in counts.items():
                if isinstance(value, dict):
                    shown = ", ".join(f"{what}: {n:g}" for what, n in [*value.items()][:SHOWN])
                    more = f" and {len(value) - SHOWN} more" if len(value) > SHOWN else ""
                    lines.append(f"  {key.replace('_', ' '):<16}{shown}{more}")
        return "\n".join(lines)


def balance(path: Path) -> Balance:
    """Count what examples or preferences are made of: kinds, turns, lengths, sources, languages.

    path  directory of examples or preferences
    """
    artifact = Artifact.open(path, ("examples", "preferences"))
    names = [name for name in SPLITS if f"{name}.jsonl" in artifact.files]
    rows = {name: list(_read_rows(artifact.file(f"{name}.jsonl"))) for name in names}
    try:
        return Balance(str(path), {name: balance_of(rows[name], True) for name in names})
    except MissingExtra as error:
        record.log(f"Languages are not counted: {error}")
        return Balance(str(path), {name: balance_of(rows[name], False) for name in names})


def _read_rows(file: Path) -> Iterable[BalanceRow]:
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield example_row(ChatExample.from_json(line)) if "id" in row else preference_row(row)


def example_row(example: ChatExample) -> BalanceRow:
    """An example as the report counts it."""
    source = example.group if ", line " in example.source else example.source or example.group
    return BalanceRow(example.kind, example.messages, source, example.refusal)


def preference_row(row: dict[str, Any]) -> BalanceRow:
    """A row of preferences (preferences.py has their forms) as the report counts it."""
    prompt = tuple(Message(**turn) for turn in row["prompt"])
    if "completions" in row:
        kind, answer = "stepwise", "\n".join(row["completions"])
    elif "chosen" in row:
        kind, answer = "pair", row["chosen"]
    else:
        kind, answer = "good" if row["label"] else "bad", row["completion"]
    talk, source = (*prompt, Message("assistant", answer)), row.get("source", "")
    return BalanceRow(kind, talk, source, refuses(answer), row.get("rejected", ""))


def balance_of(rows: Iterable[BalanceRow], languages: bool) -> dict[str, Any]:
    """The counts of a split.

    languages  also count languages, which needs the extra `corpus`

    >>> asked = (Message("user", "2+2?"), Message("assistant", "4"))
    >>> balance_of([BalanceRow("dialogue", asked, "a.jsonl", False)], False)["turns"]
    {'1': 1}
    """
    rows = list(rows)
    said = [turn for row in rows for turn in row.messages]
    turns = Counter(sum(turn.role == "user" for turn in row.messages) for row in rows)
    found = {
        "rows": len(rows),
        "refusals": sum(row.refusal for row in rows),
        "with_system": sum(row.messages[0].role == "system" for row in rows),
        "kinds": _tally(row.kind for row in rows),
        "turns": {str(count): number for count, number in sorted(turns.items())},
        "question_words": _spread([turn.content for turn in said if turn.role == "user"]),
        "answer_words": _spread([turn.content for turn in said if turn.role == "assistant"]),
        "sources": _tally(row.source for row in rows if row.source),
    }  # fmt: skip
    if pairs := [row for row in rows if row.rejected]:
        found["chosen_words"] = _spread([row.messages[-1].content for row in pairs])
        found["rejected_words"] = _spread([row.rejected for row in pairs])
    if languages:
        found["languages"] = _tally(conversation_language(row.messages) for row in rows)
    return found


def _tally(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _spread(texts: Sequence[str]) -> dict[str, float]:
    counts = sorted(len(text.split()) for text in texts)
    return {"least": counts[0], "median": median(counts), "most": counts[-1]} if counts else {}
