"""Ask a model many prompts: one failure costs one answer, and a killed run asks none twice.

A server is asked concurrently, within its time limits (`endpoint.timeouts`), a local model in
batches. What fails for good, such as a prompt that is too long, gives the reason for the answer;
what may succeed later is not kept, and the run ends with an error once all else is there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
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


def ask_and_keep(
    model: LanguageModel, prompts: Mapping[int, Conversation], sampling: Sampling, kept: Path, *,
    accept_failures: bool = False,
) -> dict[int, str | Reason]:  # fmt: skip
    """The answers by their prompts' numbers; those in the file `kept` are not asked again.

    Raises EndpointError if some are missing that may still come.
    """
    failures = list[Reason]()
    with closing(record.MetricsFile(kept)) as file:
        found: dict[int, str | Reason] = {
            row["at"]: Reason(*row["reason"]) if "reason" in row else row["text"]
            for row in record.read_metrics(kept)
        }
        todo = [at for at in prompts if at not in found]
        with record.progress(kept.stem, len(prompts), "answers", len(prompts) - len(todo)) as bar:
            for index, answer in ask_model(model, [prompts[at] for at in todo], sampling):
                bar.advance(1)
                if is_transient(answer) and not accept_failures:
                    failures.append(answer)
                    continue
                found[todo[index]] = answer
                content = {"reason": answer} if isinstance(answer, Reason) else {"text": answer}
                file.write(at=todo[index], **content)
    require_all(failures)
    return found


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
