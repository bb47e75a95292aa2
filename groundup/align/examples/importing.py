"""Conversations of others as examples for fine-tuning: read, cleaned and split.

Layouts are those of layouts.py, reasons to leave a row out those of cleaning.py.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import Artifact, DataError, Draft, produce, record, write_text
from groundup.corpus import SPLITS, split_paths

from .balance import balance_of, example_row
from .cleaning import Cleaner, CleaningConfig, plain_words, question_groups, refuses
from .exchanges import ChatExample
from .layouts import ReadRow, digest_of, keep_rows, read_row


class ImportExamplesConfig(CleaningConfig):
    """How conversations are cleaned and split."""

    validation_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for validation."""
    test_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for test."""
    seed: int = 0
    """Of the split."""
    files_digest: str = ""
    """Hash of the files; set by the stage."""


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
    return produce(
        out, kind="examples", stage="import-examples", version=2, config=config,
        parents=cleaner.parents, write=partial(_write_examples, config, files, cleaner),
    )  # fmt: skip


def _write_examples(
    config: ImportExamplesConfig, files: Sequence[Path], cleaner: Cleaner, draft: Draft
) -> None:
    found = keep_rows(files, partial(_clean, cleaner))
    found.require_some()
    leaders = question_groups(found, _texts, config.near_duplicate_threshold)
    groups = [plain_words(each.messages[-2].content) for each in leaders]
    split = split_paths(groups, config.validation_share, config.test_share, config.seed)
    for name in SPLITS:
        rows = [row for row, group in zip(found.kept, groups, strict=True) if split[group] == name]
        if not rows:
            raise DataError(
                f"{len(found.kept)} conversations leave none for {name}; give more "
                f"({len(found.rejected)} were left out). {found.reasons}".rstrip()
            )
        examples = [
            ChatExample(
                f"{name}-{n:05d}", each.row.kind, f"{name}-{n:05d}", each.row.messages,
                refusal=refuses(each.row.messages[-1].content), source=each.source,
            )
            for n, each in enumerate(rows)
        ]  # fmt: skip
        write_text(draft.file(f"{name}.jsonl"), "".join(f"{each.to_json()}\n" for each in examples))
        draft.numbers[name] = balance_of(map(example_row, examples), languages=False)
    found.write_rejected(draft)
    record.log(f"{len(found.kept)} conversations, {len(found.rejected)} left out; see "
               "`groundup balance`.")  # fmt: skip


def _clean(cleaner: Cleaner, row: Any) -> Sequence[ReadRow]:
    """A row's conversation; DataError saying why it is left out."""
    found = read_row(row)
    answers = [turn.content for turn in found.messages if turn.role == "assistant"]
    cleaner.check(found.messages, answers)
    return [found]


def _texts(row: ReadRow) -> tuple[str, str]:
    said = {role: [turn.content for turn in row.messages if turn.role == role]
            for role in ("user", "assistant")}  # fmt: skip
    return "\n".join(said["user"]), "\n".join(said["assistant"])
