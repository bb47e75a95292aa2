"""Ask a model many prompts: one failure costs one answer, and a killed run asks none twice.

A server is asked concurrently, within its time limits (`endpoint.timeouts`), a local model in
batches. What fails for good, such as a prompt that is too long, gives the reason for the answer;
what may succeed later is not kept, and the run ends with an error once all else is there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeGuard

from pydantic import Field

from groundup.core import (
    Config,
    Conversation,
    GroundupError,
    LanguageModel,
    Reason,
    Sampling,
    TextModel,
    Unhashed,
    record,
)
from groundup.generate import TRANSIENT_CODES, EndpointConfig, EndpointError

BATCH = 12
"""Prompts of a local model at a time: fewer than those for which it shows its own progress."""


class AskingConfig(Config):
    """How a model is asked."""

    max_tokens: int = Field(default=256, ge=1)
    """Maximum tokens of what it writes at a time."""
    endpoint: Annotated[EndpointConfig, Unhashed()] = EndpointConfig()
    """Settings of a server; its address and model come from MODEL."""
    accept_failures: Annotated[bool, Unhashed()] = False
    """Leave out what failed for a transient reason, such as a server that hangs."""


def ask_model(
    model: LanguageModel, prompts: Sequence[Conversation], sampling: Sampling
) -> Iterator[tuple[int, str | Reason]]:
    """The answers and their prompts' indices, as they come."""
    if isinstance(model, TextModel):
        texts = [model.render(each) for each in prompts]
        for index, answer in model.complete(texts, sampling):
            yield index, answer if isinstance(answer, Reason) else answer.text
        return
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        try:
            answers = [each.text for each in model.generate(batch, sampling)]
        except GroundupError:
            answers = [_ask_alone(model, each, sampling) for each in batch]
        yield from enumerate(answers, start)


def _ask_alone(model: LanguageModel, prompt: Conversation, sampling: Sampling) -> str | Reason:
    try:
        return model.generate([prompt], sampling)[0].text
    except GroundupError as error:
        return Reason(type(error).__name__, str(error))


@dataclass
class Asker:
    """Asks a model in phases; what it answers is kept in a folder, and not asked for again."""

    model: LanguageModel
    folder: Path
    accept_failures: bool
    failed: dict[int, str] = field(default_factory=dict)
    """Why prompts have no answer, by their numbers."""

    def ask(
        self, phase: str, prompts: Mapping[int, Conversation], sampling: Sampling
    ) -> dict[int, str]:
        """The answers by their prompts' numbers, without those that are empty.

        Raises EndpointError if some are missing that may still come.
        """
        failures, kept = list[Reason](), self.folder / f"{phase}.jsonl"
        with closing(record.MetricsFile(kept)) as file:
            found = {row.pop("at"): row for row in record.read_metrics(kept)}
            todo = [at for at in prompts if at not in found]
            with record.progress(phase, len(prompts), "answers", len(found)) as bar:
                for index, answer in ask_model(self.model, [prompts[at] for at in todo], sampling):
                    bar.advance(1)
                    if is_transient(answer) and not self.accept_failures:
                        failures.append(answer)
                        continue
                    is_text = not isinstance(answer, Reason)
                    row = {"text": answer} if is_text else {"failed": answer.message}
                    found[todo[index]] = row
                    file.write(at=todo[index], **row)
        require_all(failures)
        self.failed |= {
            at: row.get("failed", f"Its {phase} is empty.")
            for at, row in found.items() if not row.get("text", "").strip()
        }  # fmt: skip
        return {at: row["text"] for at, row in found.items() if row.get("text", "").strip()}


def is_transient(answer: object) -> TypeGuard[Reason]:
    """Whether it is the reason of a failure that may pass."""
    return isinstance(answer, Reason) and answer.code in TRANSIENT_CODES


def require_all(failures: Sequence[Reason]) -> None:
    """Raise EndpointError if answers are missing that may still come."""
    if failures:
        (code, _), count = Counter(each.code for each in failures).most_common(1)[0], len(failures)
        example = next(each.message for each in failures if each.code == code)
        raise EndpointError(
            f"{count} answers are missing, mostly {code}: {example}; what came is kept: run the "
            "same command again, or set accept_failures=true to leave them out."
        )
