"""Conversations of others as examples for fine-tuning: read, cleaned and split.

Layouts are those of layouts.py, reasons to leave a row out those of cleaning.py.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import Artifact, Draft, produce, record

from .balance import balance_of, example_row
from .cleaning import Cleaner, CleaningConfig, plain_words, refuses, split_rows
from .exchanges import ChatExample
from .layouts import ReadRow, digest_of, keep_rows, read_row
from .make import write_examples


class ImportExamplesConfig(CleaningConfig):
    """How conversations are cleaned and split."""

    validation_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for validation."""
    test_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for test."""


def import_examples(
    config: ImportExamplesConfig, files: list[Path], out: Path, *, exclude: list[Path] | None = None
) -> Artifact:
    """Read conversations from files of JSON lines, clean and split them.

    files    rows with messages, conversations (ShareGPT), instruction and output (Alpaca), or
             prompt and completion; functions that they call in a column tools
    out      directory of the examples; what is left out is in rejected.jsonl, with reasons
    exclude  a test set whose questions and answers no example may repeat; may be given again

    Raises DataError for a missing file, and if too few conversations are left.
    """
    config = config.model_copy(update={"files_digest": digest_of(files, "conversations")})
    cleaner = Cleaner(config, exclude)

    def write(draft: Draft) -> None:
        found = keep_rows(files, partial(_clean, cleaner))
        splits = split_rows(
            found, config, _texts, lambda row: plain_words(row.messages[-2].content),
            config.test_share,
        )  # fmt: skip
        for name, rows in splits.items():
            talks = [
                ChatExample("", each.row.kind, "", each.row.messages,
                            refuses(each.row.messages[-1].content), source=each.source)
                for each in rows
            ]  # fmt: skip
            examples = write_examples(draft, name, talks)
            draft.numbers[name] = balance_of(map(example_row, examples), languages=False)
        found.write_rejected(draft)
        record.log(f"{len(found.kept)} conversations, {len(found.rejected)} left out; see "
                   "`groundup balance`.")  # fmt: skip

    return produce(
        out, kind="examples", stage="import-examples", version=2, config=config,
        parents=cleaner.parents, write=write,
    )  # fmt: skip


def _clean(cleaner: Cleaner, row: Any) -> Sequence[ReadRow]:
    """A row's conversation; DataError saying why it is left out."""
    found = read_row(row)
    cleaner.check(found.messages, _turns_of(found, "assistant"))
    return [found]


def _turns_of(row: ReadRow, role: str) -> list[str]:
    return [turn.content for turn in row.messages if turn.role == role]


def _texts(row: ReadRow) -> tuple[str, str]:
    return "\n".join(_turns_of(row, "user")), "\n".join(_turns_of(row, "assistant"))
