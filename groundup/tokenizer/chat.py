"""Conversations as text, ids and loss mask: one renderer for fine-tuning, serving and evaluation.

    <|im_start|>system
    You answer from the documents.<|im_end|>
    <|im_start|>user
    What is a shard?<|im_end|>
    <|im_start|>assistant
    A file of token ids.<|im_end|>

The format is Qwen's ChatML, without a default system turn. The renderer inserts the delimiters as
ids, so a `<|im_end|>` typed by a user is plain text and ends nothing. An assistant's answer is
encoded separately from the turn's first line, as it was during generation; the ids would differ
only for answers that begin with line breaks.
"""

import hashlib
from typing import NamedTuple

from groundup.core import ConfigError, Conversation, DataError, Tokenizer

from .bpe import well_formed

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")

CHATML_TEMPLATE = (
    "{%- for message in messages -%}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "    {{- '<|im_start|>assistant\\n' -}}\n"
    "{%- endif -%}\n"
)
"""The same text as `render`, as a Jinja template for transformers, vLLM and llama.cpp."""


class RenderedChat(NamedTuple):
    """A rendered conversation; `ids` and `mask` have the same length."""

    text: str
    ids: list[int]
    mask: list[bool]
    """True for tokens that the assistant generates: its answer and the following `<|im_end|>`."""


def render(
    tokenizer: Tokenizer, conversation: Conversation, *, add_generation_prompt: bool = False
) -> RenderedChat:
    """Render a conversation; `add_generation_prompt` opens the assistant's next turn.

    >>> from groundup.core import Message
    >>> from groundup.tokenizer import FastTokenizer
    >>> tokenizer = FastTokenizer([])
    >>> chat = render(tokenizer, (Message("user", "1+1?"), Message("assistant", "2")))
    >>> tokenizer.decode(id for id, own in zip(chat.ids, chat.mask) if own)
    '2<|im_end|>'

    Raises DataError for an empty conversation or an unknown role, ConfigError for a tokenizer
    without ChatML's special tokens.
    """
    missing = [name for name in (TURN_START, TURN_END) if name not in tokenizer.specials]
    if missing:
        what = f"Chats need the special token {missing[0]}; the tokenizer has only"
        known = [*list(tokenizer.specials)[:8], "…"][: len(tokenizer.specials)] or ["none"]
        raise ConfigError(
            f"{what} {', '.join(known)}. Train it with {TURN_START} and {TURN_END}; an imported "
            "model needs a chat template instead, as finetune --set template=plain gives it."
        )
    check_conversation(conversation)
    start, end = tokenizer.specials[TURN_START], tokenizer.specials[TURN_END]
    text, ids, mask = list[str](), list[int](), list[bool]()

    def put(shown: str, new: list[int], own: bool = False) -> None:
        text.append(shown)
        ids.extend(new)
        mask.extend([own] * len(new))

    line_end = tokenizer.encode("\n")
    for role, content in conversation:
        opening, content = f"{role}\n", well_formed(content)
        put(TURN_START, [start])
        if role == "assistant":
            put(opening, tokenizer.encode(opening))
            put(content, tokenizer.encode(content), own=True)
        else:
            put(opening + content, tokenizer.encode(opening + content))
        put(TURN_END, [end], own=role == "assistant")
        put("\n", line_end)
    if add_generation_prompt:
        put(TURN_START, [start])
        put("assistant\n", tokenizer.encode("assistant\n"))
    return RenderedChat("".join(text), ids, mask)


def check_conversation(conversation: Conversation) -> None:
    """Raise DataError for an empty conversation or an unknown role."""
    if not conversation:
        raise DataError("A conversation needs at least one message; this one is empty.")
    for index, message in enumerate(conversation):
        if message.role not in ROLES:
            what = f"Message {index} has the role {message.role!r}"
            raise DataError(f"{what}; expected {', '.join(ROLES)}.")


def template_digest(template: str = CHATML_TEMPLATE) -> str:
    """sha256 hex of a chat template, stored with a model to detect a changed template."""
    return hashlib.sha256(template.encode("utf-8")).hexdigest()
