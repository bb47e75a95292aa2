"""The chat format of fine-tuning: tokenizer and chat template, and the files that record them.

An imported model is tuned with its own template, so that it is served as it was tuned. A base model
has none: `template` gives one. Groundup's needs `<|im_start|>` and `<|im_end|>` in the vocabulary;
PLAIN needs only an end-of-text token. The template is saved with the tuned weights, and the ids
that end an answer come first among the end-of-text ids.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundup.core import (
    ArtifactError,
    ConfigError,
    Conversation,
    DataError,
    Tokenizer,
    require_regular_file,
    write_json,
    write_text,
)
from groundup.model import read_json_object
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    PLAIN_TEMPLATE,
    SPECIALS,
    ChatTemplate,
    FastTokenizer,
    ImportedTokenizer,
    RenderedChat,
    load_chat_template,
    load_tokenizer,
    pack_examples,
    render,
    required_vocab_size,
)
from groundup.train import MicroBatch

from .examples.exchanges import ChatExample
from .packing import PackedTalks

CHAT_TEMPLATE_FILE, GENERATION_CONFIG_FILE = "chat_template.jinja", "generation_config.json"
TEXT_END_FILES = (GENERATION_CONFIG_FILE, "config.json")


def read_template(template: str) -> str:
    """Read a template given as a file or as `plain`; empty stays empty.

    A text with `{` is returned as it is. Raises ConfigError if there is no such file.
    """
    if template in ("", PLAIN_TEMPLATE) or "{" in template:
        return template
    if template == "plain":
        return PLAIN_TEMPLATE
    try:
        return require_regular_file(Path(template)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = f"template={template!r} cannot be read ({error})"
        raise ConfigError(f"{why}; expected a chat template in jinja, or `plain`.") from None


@dataclass(frozen=True)
class ChatFormat:
    """The tokenizer and chat template of a model."""

    tokenizer: FastTokenizer | ImportedTokenizer
    template: ChatTemplate | None
    """None: groundup's."""
    path: Path
    """The model's directory, for error messages."""

    @property
    def source(self) -> str:
        """The template's text."""
        return CHATML_TEMPLATE if self.template is None else self.template.source

    def render(self, conversation: Conversation, name: str) -> RenderedChat:
        """Render to text, ids and loss mask; errors name the conversation."""
        try:
            if self.template is None:
                return render(self.tokenizer, conversation)
            rendered = self.template.render(conversation)
            self.template.check_prompts(conversation, rendered)
            return rendered
        except (ConfigError, DataError) as error:
            raise type(error)(f"{name}: {error}") from None

    def pack(self, talks: Sequence[ChatExample], length: int) -> PackedTalks:
        """Render conversations and pack them; raises what `render` and `pack_examples` raise."""
        rendered = [self.render(each.messages, each.id) for each in talks]
        names = [each.id for each in talks]
        packed = pack_examples(rendered, length, too_long="drop", names=names)

        def batch(chosen: Sequence[int]) -> MicroBatch:
            arrays = (packed.ids, packed.targets, packed.weights, packed.documents)
            tensors = [torch.from_numpy(np.ascontiguousarray(array[chosen])) for array in arrays]
            return MicroBatch(*tensors, names=tuple(f"row {row}" for row in chosen))

        dropped = [reason.message for reason in packed.dropped.values()]
        stops = self.stop_ids(np.unique(packed.targets[packed.weights > 0]).tolist())
        return PackedTalks(len(packed.ids), batch, dropped, stops)

    def stop_ids(self, trained: Iterable[int]) -> list[int]:
        """The special tokens among the trained ones, which end answers."""
        return sorted({*trained} & {*self.tokenizer.specials.values()})

    def save(self, path: Path, base: Path, stops: list[int], *, adapted: bool = False) -> None:
        """Write the template to a model's directory, and the stops before its end-of-text ids.

        adapted  to an adapter's directory, from which `merge` copies them
        """
        if adapted or _stored_template(base) != self.source:
            write_text(path / CHAT_TEMPLATE_FILE, self.source)
        if adapted:
            write_json(path / GENERATION_CONFIG_FILE, _text_ends(base, stops))
        elif isinstance(self.tokenizer, ImportedTokenizer):  # else `save` has written the ids
            for name in TEXT_END_FILES:
                write_json(path / name, read_json_object(path / name) | _text_ends(base, stops))


def check_fit(tokenizer: Tokenizer, vocab_size: int, path: Path) -> None:
    """Raise ArtifactError if the tokenizer has ids beyond the vocabulary of a directory's model."""
    if (size := required_vocab_size(tokenizer)) > vocab_size:
        raise ArtifactError(
            f"{path} has a tokenizer of {size} ids and a model of {vocab_size}; "
            "give a model whose vocabulary fits."
        )


def load_chat_format(path: Path, template: str) -> ChatFormat:
    """The chat format of a model, with its own template or the given one.

    Raises ConfigError if there is no template for its vocabulary.
    """
    tokenizer = load_tokenizer(path)
    if template in ("", CHATML_TEMPLATE):
        own = None if template else load_chat_template(path, tokenizer)
        if own is None and not {*SPECIALS[1:]} <= tokenizer.specials.keys():
            raise ConfigError(
                f"{path} has no chat template, and its vocabulary lacks "
                f"{' and '.join(SPECIALS[1:])}; give one by template=FILE.jinja, or "
                "template=plain for turns in plain words."
            )
        return ChatFormat(tokenizer, own, path)
    if isinstance(tokenizer, FastTokenizer):
        raise ConfigError(
            f"The tokenizer of {path} is groundup's, which renders only groundup's chat format; "
            "omit template."
        )
    if template == PLAIN_TEMPLATE and "eos" not in tokenizer.role_ids:
        raise ConfigError(
            f"template=plain ends answers with the eos_token, and {path} has none in its "
            "tokenizer_config.json; give --set template=FILE.jinja."
        )
    return ChatFormat(tokenizer, ChatTemplate(template, tokenizer), path)


def _stored_template(path: Path) -> str | None:
    tokenizer = load_tokenizer(path)
    if isinstance(tokenizer, ImportedTokenizer):
        has_template = tokenizer.settings.get("chat_template")
        return ChatTemplate.from_tokenizer(tokenizer).source if has_template else None
    file = path / CHAT_TEMPLATE_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _text_ends(base: Path, stops: list[int]) -> dict[str, Any]:
    """The end-of-text ids: those that end an answer before those of the base."""
    files = [base / name for name in TEXT_END_FILES if (base / name).is_file()]
    listed = [read_json_object(file).get("eos_token_id") for file in files]
    own = next((eos for eos in listed if eos not in (None, [])), [])
    ids = list(dict.fromkeys([*stops, *([own] if isinstance(own, int) else own)]))
    return {"eos_token_id": ids if len(ids) > 1 else ids[0]}
