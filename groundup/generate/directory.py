"""What a model directory says about text: its chat template, its prompts and an answer's ends."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    ArtifactError,
    ConfigError,
    Conversation,
    GroundupError,
    Message,
    Tokenizer,
)
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    ChatTemplate,
    ImportedTokenizer,
    RenderedChat,
    load_chat_template,
    load_tokenizer,
    render,
)

CHAT_TEMPLATE = "chat_template.jinja"


class SourceFrame(NamedTuple):
    """Special ids around an encoder–decoder's source, and its decoder's start id."""

    start: int
    """First id that the decoder reads."""
    before: tuple[int, ...] = ()
    """Ids before a source, such as BART's bos."""
    after: tuple[int, ...] = ()
    """Ids after a source, such as its eos."""
    forced: tuple[int, ...] = ()
    """Ids that the decoder reads behind the first, such as mBART's language."""

    def wrap(self, ids: Sequence[int]) -> list[int]:
        """The ids that the encoder reads for a text."""
        return [*self.before, *ids, *self.after]


class PromptEncoder:
    """Turns conversations and plain texts into the ids of prompts."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate | None = None,
        source_frame: SourceFrame | None = None,
    ) -> None:  # fmt: skip
        """Begin with a tokenizer.

        template      the model's own chat template; default: groundup's
        source_frame  special ids around an encoder–decoder's source; None for other models
        """
        self.tokenizer, self.template, self.source_frame = tokenizer, template, source_frame
        self.prefix_ids = tokenizer.frame.before if isinstance(tokenizer, ImportedTokenizer) else ()

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Ids of a conversation, ending with the generation prompt.

        An encoder–decoder reads what was said line by line: it has no turns.
        """
        if not conversation:
            raise ConfigError("The conversation is empty; give at least one user message.")
        if self.source_frame is not None:
            return self.encode_prompt("\n".join(message.content for message in conversation))
        if self.template is not None:
            return self.template.ids(conversation, add_generation_prompt=True)
        return render(self.tokenizer, conversation, add_generation_prompt=True).ids

    def render_ids(self, conversation: Conversation) -> RenderedChat:
        """Ids of a conversation and the mask of its answers."""
        if self.template is not None:
            return self.template.render(conversation)
        return render(self.tokenizer, conversation)

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a prompt or source given as plain text; ConfigError if it is empty."""
        if not prompt:
            raise ConfigError("The prompt is empty; give at least one character to continue.")
        ids = self.tokenizer.encode(prompt)
        if self.source_frame is not None:
            return self.source_frame.wrap(ids)
        return [*self.prefix_ids, *ids]


class ModelText(NamedTuple):
    """What a model's directory says about text."""

    tokenizer: Tokenizer
    template: ChatTemplate | str | None
    """Imported, the text of groundup's own, or None."""
    end_ids: tuple[int, ...]
    """What ends an answer: see `read_end_ids`."""
    frame: SourceFrame | None
    """Of an encoder–decoder's source."""


def read_model_text(path: Path, *, needs_template: bool = True) -> ModelText:
    """Read the tokenizer, the chat template and the ends of a model's directory.

    An adapter's directory has those that it was trained with, or else those of its model.

    needs_template  whether one that cannot be used is an error; else there is none

    Raises ArtifactError if files are missing, damaged or do not fit each other.
    """
    base = path
    if (path / "adapter_config.json").is_file():
        from groundup.adapt import base_of  # imports torch

        base = base_of(path)
    tokenizer, template = load_tokenizer(base), None
    own = path if (path / CHAT_TEMPLATE).is_file() else base
    if own != base and isinstance(tokenizer, ImportedTokenizer):
        tokenizer.settings["chat_template"] = (own / CHAT_TEMPLATE).read_text("utf-8")
    try:
        template = read_chat_template(own, tokenizer)
    except GroundupError:
        if needs_template:
            raise
    ends = path if (path / "generation_config.json").is_file() else base
    ids, frame = read_end_ids(ends, tokenizer, template), read_source_frame(base)
    if frame is not None and isinstance(tokenizer, ImportedTokenizer) and any(tokenizer.frame):
        frame = frame._replace(**tokenizer.frame._asdict())  # such as mBART's language
    return ModelText(tokenizer, template, ids, frame)


def read_chat_template(path: Path, tokenizer: Tokenizer) -> ChatTemplate | str | None:
    """A directory's chat template: imported, the text of groundup's own, or None.

    Raises ArtifactError for a template that the tokenizer cannot use.
    """
    imported = load_chat_template(path, tokenizer)
    if imported is not None:
        return imported
    has_template = tokenizer.settings.get("chat_template") if isinstance(
        tokenizer, ImportedTokenizer) else (path / CHAT_TEMPLATE).is_file()  # fmt: skip
    return CHATML_TEMPLATE if has_template else None


def read_end_ids(
    path: Path, tokenizer: Tokenizer, template: ChatTemplate | str | None
) -> tuple[int, ...]:
    """The ids that end an answer of a model directory.

    They are the eos_token_id of generation_config.json, else of config.json, and the special token
    that the chat template puts after an answer; every special token if no file names one.
    """
    specials, ends = tuple(tokenizer.specials.values()), read_eos_ids(path, tokenizer.vocab_size)
    if template is not None and ends:
        example = (Message("user", "a"), Message("assistant", "b"))
        with suppress(GroundupError):  # the template has no place for an answer's end
            own = isinstance(template, ChatTemplate)
            rendered = template.render(example) if own else render(tokenizer, example)
            answer = [id for id, mine in zip(rendered.ids, rendered.mask, strict=True) if mine]
            ends += [id for id in answer[-1:] if id in specials]
    return tuple(dict.fromkeys(ends)) or specials


def read_eos_ids(path: Path, vocab_size: int) -> list[int]:
    """The ids of eos_token_id in a directory's configuration; empty if it names none."""
    for name in ("generation_config.json", "config.json"):
        value = _read_json_object(path / name).get("eos_token_id")
        if ids := [value] if isinstance(value, int) else value:
            return [token for token in ids if 0 <= token < vocab_size]
    return []


def read_source_frame(path: Path) -> SourceFrame | None:
    """Read the frame from a model directory's configuration; None without a start token.

    Raises ArtifactError if its files cannot be read.
    """
    values: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        values |= {k: v for k, v in _read_json_object(path / name).items() if v is not None}
    start = values.get("decoder_start_token_id")
    if start is None:
        return None
    ends = values.get("eos_token_id")
    after = () if ends is None else (ends[0] if isinstance(ends, list) else ends,)
    bos = values.get("bos_token_id")
    forced = values.get("forced_bos_token_id")
    return SourceFrame(
        start, () if bos is None else (bos,), after, () if forced is None else (forced,)
    )


def _read_json_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); create the model again.") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds no JSON object; create the model again.")
    return value
