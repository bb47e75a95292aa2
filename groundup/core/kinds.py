"""Kinds of artifacts and the commands that produce them, for error messages of artifact.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Kind = Literal[
    "documents", "corpus", "tokenizer", "tokens", "vectors", "model", "adapter", "examples",
    "preferences", "testset", "index", "prompts", "verdict", "report",
]  # fmt: skip
COMMAND_OF_KIND: dict[str, str] = {
    "corpus": "`groundup corpus` or `groundup prepare`",
    "tokenizer": "`groundup tokenizer`",
    "tokens": "`groundup tokens`",
    "vectors": "`groundup vectors train`",
    "model": "`groundup pretrain`, `groundup finetune` or `groundup import`",
    "examples": "`groundup examples make`",
    "testset": "`groundup testset make`",
    "index": "`groundup index`",
    "verdict": "`groundup gate`",
    "report": "`groundup evaluate`",
}
"""Command that produces an artifact of a kind."""


def wrong_kind_message(kinds: Sequence[str], came: str, path: Path | str) -> str:
    """Error message for an artifact of the wrong kind.

    >>> wrong_kind_message(("index",), "a corpus", "runs/corpus")
    'Expected an index artifact, got a corpus (runs/corpus); make one with `groundup index`.'
    """
    makers = [COMMAND_OF_KIND[kind] for kind in kinds if kind in COMMAND_OF_KIND]
    remedy = f"; make one with {' or '.join(makers)}" if makers else ""
    return f"Expected {_with_article(' or '.join(kinds))} artifact, got {came} ({path}){remedy}."


def kind_with_article(kind: str) -> str:
    """A kind with its article, unless it is a plural.

    >>> kind_with_article("index"), kind_with_article("corpus"), kind_with_article("tokens")
    ('an index', 'a corpus', 'tokens')
    """
    return kind if kind.endswith("s") and kind != "corpus" else _with_article(kind)


def _with_article(noun: str) -> str:
    """A noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def describe_path(path: Path) -> str:
    """Describe a path that has no manifest."""
    if (path / "ledger" / "current.jsonl").is_file():
        return "an index"
    if path.is_dir():
        return "a folder without manifest.json, or of a stage that did not finish"
    return "a file" if path.exists() else "nothing: there is no such folder"
