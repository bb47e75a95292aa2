"""The form in which a model is tuned: its tokenizer and chat template, and what they leave behind.

A model of others is tuned in its own template's words, so that whoever serves it asks it as it was
tuned. A base model has none: `template` gives one. Ours needs `<|im_start|>` and `<|im_end|>` in
the vocabulary; PLAIN needs only an end of a text. What was used lies beside the tuned weights, and
the ids that end an answer stand first among those that end a text.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import (
    ArtifactError,
    ConfigError,
    Conversation,
    DataError,
    regular,
    write_json,
    write_text,
)
from groundup.tokenizer import (
    PLAIN,
    SPECIALS,
    TEMPLATE,
    ChatTemplate,
    FastTokenizer,
    ImportedTokenizer,
    Packed,
    Rendered,
    ids_needed,
    load_tokenizer,
    render,
    template_of,
)

FILE, GENERATION, CONFIG = "chat_template.jinja", "generation_config.json", "config.json"


def template_text(given: str) -> str:
    """The text of a template that is given as a file or as `plain`; empty stays empty.

    A text of several lines is one already. Raises ConfigError if there is no such file.
    """
    if given in ("", PLAIN) or "{" in given:
        return given
    if given == "plain":
        return PLAIN
    try:
        return regular(Path(given)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"template={given!r} cannot be read ({error}); expected a file with a chat template "
            "in jinja, or `plain`."
        ) from None


@dataclass(frozen=True)
class Form:
    """How conversations with a model are written."""

    tokenizer: FastTokenizer | ImportedTokenizer
    template: ChatTemplate | None
    """None: ours."""
    path: Path
    """The model's directory, for messages."""

    @property
    def source(self) -> str:
        """The template's text."""
        return TEMPLATE if self.template is None else self.template.source

    def check_fit(self, vocab_size: int) -> None:
        """Raise ArtifactError if the tokenizer gives ids that a model of so many does not have."""
        if ids_needed(self.tokenizer) > vocab_size:
            raise ArtifactError(
                f"{self.path} has a tokenizer of {ids_needed(self.tokenizer)} ids and a model of "
                f"{vocab_size}: they were not made for each other."
            )

    def render(self, conversation: Conversation, name: str) -> Rendered:
        """Text, ids and mask; errors name the conversation."""
        try:
            if self.template is None:
                return render(self.tokenizer, conversation)
            rendered = self.template.render(conversation)
            self.template.check_prompts(conversation, rendered)
            return rendered
        except (ConfigError, DataError) as error:
            raise type(error)(f"{name}: {error}") from None

    def stops(self, rows: Packed) -> list[int]:
        """The special tokens that end the trained answers."""
        trained = np.unique(rows.targets[rows.weights > 0])
        return [id for id in trained.tolist() if id in set(self.tokenizer.specials.values())]

    def write(self, path: Path, base: Path, stops: list[int]) -> None:
        """Write the template beside tuned weights, and the ends of texts with the stops first."""
        if template_in(base) != self.source:
            write_text(path / FILE, self.source)
        if isinstance(self.tokenizer, FastTokenizer):
            return  # `save` has written our own ends
        told = next((found for name in (GENERATION, CONFIG) if (found := ends_in(base / name))), [])
        ends = list(dict.fromkeys([*stops, *told]))
        for name in (GENERATION, CONFIG):
            values = read_json(path / name)
            write_json(path / name, values | {"eos_token_id": ends if len(ends) > 1 else ends[0]})


def form_of(path: Path, template: str) -> Form:
    """A model's own form, or that of a template's text.

    Raises ConfigError if there is no template that its vocabulary can say.
    """
    tokenizer = load_tokenizer(path)
    if template in ("", TEMPLATE):
        own = None if template else template_of(path, tokenizer)
        if own is None and not {*SPECIALS[1:]} <= tokenizer.specials.keys():
            raise ConfigError(
                f"{path} has no chat template, and its vocabulary lacks ours' "
                f"{' and '.join(SPECIALS[1:])}; give one with --set template=FILE.jinja, or with "
                "--set template=plain for turns in plain words."
            )
        return Form(tokenizer, own, path)
    if isinstance(tokenizer, FastTokenizer):
        raise ConfigError(
            f"The tokenizer of {path} is groundup's, which renders groundup's chat format alone; "
            "leave template out."
        )
    if template == PLAIN and "eos" not in tokenizer.role_ids:
        raise ConfigError(
            f"template=plain ends answers by the eos_token, and {path} names none in its "
            "tokenizer_config.json; give --set template=FILE.jinja."
        )
    return Form(tokenizer, ChatTemplate(template, tokenizer), path)


def template_in(path: Path) -> str | None:
    """The template that a model's directory is opened with; None if it has none."""
    tokenizer = load_tokenizer(path)
    if isinstance(tokenizer, ImportedTokenizer):
        found = tokenizer.settings.get("chat_template")
        return ChatTemplate.of(tokenizer).source if found else None
    file = path / FILE
    return file.read_text(encoding="utf-8") if file.is_file() else None


def read_json(file: Path) -> dict[str, Any]:
    """The object of a JSON file that was checked when the model was opened."""
    return json.loads(file.read_text(encoding="utf-8"))


def ends_in(file: Path) -> list[int]:
    """The ids that end a text, as a file of a model's directory says; none if it does not."""
    told = read_json(file).get("eos_token_id") if file.is_file() else None
    return [told] if isinstance(told, int) else list(told or [])
