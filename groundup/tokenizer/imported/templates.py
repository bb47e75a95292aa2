"""Foreign chat templates: text, ids and loss mask, like chat.py for groundup's own.

A template is a jinja program; it runs in the sandbox with the functions that transformers provides.
The ids equal transformers', with one exception: only the template's special tokens are special. One
typed in a message is plain text and ends nothing.

The mask follows chat.py: what a model has to generate is trained, that is, the assistant's words
and the following stop token. To locate them the conversation is rendered a second time with markers
around every answer. If the markers change anything else or are not reproduced (Qwen 3 removes the
thinking from earlier answers), the conversation has no mask and an error says so. Text that the
template inserts between prompt and answer is generated, too: Llama 2's space, Qwen 3's empty
thinking before a last answer. `check_prompts` verifies that the prompt ids used in serving precede
the trained ones.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from groundup.core import ArtifactError, ConfigError, Conversation, DataError, Message, Tokenizer

from ..bpe import well_formed
from ..chat import CHATML_TEMPLATE, RenderedChat, check_conversation, template_digest
from .sandbox import TemplateSandbox
from .tokenizer import ImportedTokenizer, token_text


class GenerationTag(Extension):
    """transformers' tag `{% generation %}` … `{% endgeneration %}`: renders its body unchanged."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements inside the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


Pairs = Sequence[tuple[str, str]]
"""Of each message the markers before and after it in the second rendering."""
Span = tuple[int, int]
"""Character range of an answer with its stop token in the rendered text."""


class TemplateRefusal(Exception):
    """A template's own `raise_exception`."""


class ChatTemplate:
    """A chat template together with its tokenizer.

    Raises ConfigError if the template is invalid.
    """

    def __init__(self, source: str, tokenizer: ImportedTokenizer) -> None:
        self.source, self.tokenizer = source, tokenizer
        self._sandbox = TemplateSandbox([GenerationTag, loopcontrols])
        self._sandbox.filters["tojson"] = self._sandbox.wrap_filter("tojson", _to_json)
        self._sandbox.globals |= {
            "raise_exception": _raise_exception,
            # Such templates render differently every day.
            "strftime_now": lambda form: datetime.now().strftime(form),
        }
        self._sandbox.start_counting(len(source))
        self._template = self._sandbox.from_string(source)
        settings = tokenizer.settings.items()
        names = {key: token_text(value) for key, value in settings if key.endswith("_token")}
        self.variables = {key: name for key, name in names.items() if name is not None}

    @classmethod
    def from_tokenizer(cls, tokenizer: ImportedTokenizer) -> "ChatTemplate":
        """The tokenizer's own template; ConfigError if it has none."""
        found = tokenizer.settings.get("chat_template")
        if isinstance(found, list):
            by_name = {each["name"]: each["template"] for each in found}
            found = by_name.get("default")
        if not isinstance(found, str) or not found:
            raise ConfigError("The tokenizer has no chat template; give one to ChatTemplate.")
        return cls(found, tokenizer)

    @property
    def digest(self) -> str:
        """sha256 hex of the template."""
        return template_digest(self.source)

    def text(
        self, conversation: Conversation, *, add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Render as text; `variables` are the template's own, such as enable_thinking.

        Raises DataError for an empty conversation, an unknown role, or a template's own refusal.
        """
        check_conversation(conversation)
        given = {"tools": None, "documents": None} | self.variables | dict(variables or {})
        given["messages"] = [
            {"role": role, "content": well_formed(content)} for role, content in conversation
        ]
        given["add_generation_prompt"] = add_generation_prompt
        try:
            return self._sandbox.render(self._template, given)
        except TemplateRefusal as error:
            raise DataError(f"The chat template refuses the conversation: {error}") from None

    def ids(
        self, conversation: Conversation, *, add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:  # fmt: skip
        """Ids of the conversation; typed special tokens are plain text."""
        safe = self.hide_typed_specials(conversation)
        text = self.text(
            safe.conversation, add_generation_prompt=add_generation_prompt, variables=variables
        )
        return self.tokenizer.encode_with_ranges(self.with_internal_names(text, safe.typed)).ids

    def render(
        self, conversation: Conversation, *, add_generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> RenderedChat:  # fmt: skip
        """Text, ids and mask of a conversation.

        A token that straddles the beginning of an answer is not trained. Raises ConfigError if the
        answers cannot be located, or if no special token follows them.
        """
        safe = self.hide_typed_specials(conversation)

        show = partial(self.text, add_generation_prompt=add_generation_prompt, variables=variables)
        unmarked = show(safe.conversation)
        marks = [(secrets.token_hex(16), secrets.token_hex(16)) for _ in conversation]
        spans: list[Span] = []
        turns = zip(marks, conversation, strict=True)
        if trained := [pair for pair, (role, _) in turns if role == "assistant"]:
            turns = (_insert_markers(safe.conversation, marks, inside) for inside in (False, True))
            marked = next((t for t in map(show, turns) if _is_marked(t, unmarked, trained)), None)
            if marked is None:
                raise ConfigError(NO_MASK_MESSAGE)
            named = self.with_internal_names(marked, safe.typed)
            spans = list(self.find_answers(named, marks, safe, variables))
        found = self.tokenizer.encode_with_ranges(self.with_internal_names(unmarked, safe.typed))
        mask = _token_mask(found.places, spans)
        return RenderedChat(_restore_typed(unmarked, safe.typed), found.ids, mask)

    def hide_typed_specials(self, conversation: Conversation) -> "GuardedConversation":
        """The conversation with typed special tokens replaced by placeholders."""
        typed: dict[str, str] = {}

        def word(found: "re.Match[str]") -> str:
            made = secrets.token_hex(16)
            typed[made] = found[0]
            return made

        turns = [
            Message(role, self.tokenizer.specials_pattern.sub(word, well_formed(content)))
            for role, content in conversation
        ]
        return GuardedConversation(tuple(turns), typed)

    def with_internal_names(self, text: str, typed: Mapping[str, str]) -> str:
        """Replace the template's special tokens by their hidden names and restore typed ones."""
        return _restore_typed(self.tokenizer.hide_specials(text), typed)

    def find_answers(
        self, marked: str, marks: Pairs, safe: "GuardedConversation",
        variables: Mapping[str, Any] | None,
    ) -> Iterator[Span]:  # fmt: skip
        """Ranges of each answer and its stop token in the text without markers."""
        special = re.compile("|".join(self.tokenizer.hidden.values()) or r"(?!)")
        stop = re.compile(rf"\s*(?:{special.pattern})")
        plain = _remove_markers(marked, marks)
        for place, (role, _) in enumerate(safe.conversation):
            if role != "assistant":
                continue
            before, _, rest = marked.partition(marks[place][0])
            inside, _, after = rest.partition(marks[place][1])
            ends = stop.match(_remove_markers(after, marks))
            if ends is None:
                what = "The chat template puts no special token after the answer in message"
                raise ConfigError(
                    f"{what} {place}: a model could not learn where to stop; give another template,"
                    " such as --set template=plain."
                )
            start = words = len(_remove_markers(before, marks))
            prompt = self.prompt_text(safe, place, variables)
            if prompt is not None and plain.startswith(prompt) and len(prompt) <= words:
                start = words if special.search(plain, len(prompt), words) else len(prompt)
            yield start, words + len(inside) + ends.end()

    def prompt_text(
        self, safe: "GuardedConversation", place: int, variables: Mapping[str, Any] | None = None
    ) -> str | None:
        """The prompt for the message at `place`, with hidden special tokens.

        None if nothing precedes it, or the template refuses what does.
        """
        before = safe.conversation[:place]
        try:
            shown = self.text(before, add_generation_prompt=True, variables=variables)
        except DataError:
            return None
        return self.with_internal_names(shown, safe.typed)

    def check_prompts(self, conversation: Conversation, rendered: RenderedChat) -> None:
        """Raise ConfigError unless each trained answer follows the prompt ids of serving.

        Otherwise a fine-tuned model would be served with other ids than it was tuned on.
        """
        safe = self.hide_typed_specials(conversation)
        for place, (role, _) in enumerate(conversation):
            prompt = self.prompt_text(safe, place) if role == "assistant" else None
            if prompt is None:
                continue
            ids = self.tokenizer.encode_with_ranges(prompt).ids
            if rendered.ids[: len(ids)] != ids or not rendered.mask[len(ids)]:
                shown = self.tokenizer.decode(ids[-4:])
                raise ConfigError(PROMPT_MISMATCH_MESSAGE.format(place=place, shown=shown))


NO_MASK_MESSAGE = (
    "The chat template changes an assistant's words beyond trimming them (as Qwen 3's does with "
    "<think>), so which tokens to train is not known; leave out what it takes away."
)


PROMPT_MISMATCH_MESSAGE = (
    "The chat template asks for message {place} with ids that do not stand before it in training "
    "(the prompt ends in {shown!r}): it opens an answer in another way than it writes one, or the "
    "opening and the answer's first letters are one token; take white space off the answer's "
    "beginning, or tune with another template: --set template=FILE.jinja."
)


PLAIN_TEMPLATE = (
    "{{- bos_token -}}\n"
    "{%- for message in messages -%}\n"
    "    {{- message.role | capitalize + ': ' + message.content | trim -}}\n"
    "    {{- eos_token if message.role == 'assistant' else '\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}\n"
)
"""Plain-text turns ended by the model's own end-of-text token: works with any vocabulary."""


def load_chat_template(directory: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The chat template of a model directory if it differs from groundup's; otherwise None.

    Also None if there is no template. Raises ArtifactError if groundup's tokenizer stands next to a
    foreign template, which it cannot render.
    """
    if isinstance(tokenizer, ImportedTokenizer):
        if not tokenizer.settings.get("chat_template"):
            return None
        found = ChatTemplate.from_tokenizer(tokenizer)
        return None if found.source == CHATML_TEMPLATE else found
    path = directory / "chat_template.jinja"
    if path.is_file() and path.read_text("utf-8") != CHATML_TEMPLATE:
        raise ArtifactError(
            f"{path} is not the chat format that groundup renders, so its model would read turns "
            "that it was never tuned on; tune it with groundup, or restore its template."
        )
    return None


class GuardedConversation(NamedTuple):
    """A conversation without special tokens in its messages, and the replaced ones."""

    conversation: Conversation
    typed: dict[str, str]


def _insert_markers(conversation: Conversation, marks: Pairs, inside: bool) -> Conversation:
    """The conversation with markers around answers, or inside the white space at their ends."""
    turns: list[Message] = []
    for (role, content), (start, end) in zip(conversation, marks, strict=True):
        words = content.strip() if inside else content
        before = content[: len(content) - len(content.lstrip())] if inside else ""
        after = content[len(before) + len(words) :] if inside else ""
        marked = f"{before}{start}{words}{end}{after}"
        turns.append(Message(role, marked if role == "assistant" else content))
    return tuple(turns)


def _is_marked(text: str, plain: str, marks: Pairs) -> bool:
    """Whether a text is the plain one with each marker once and in order."""
    places = [text.find(each) for pair in marks for each in pair]
    is_ordered = places == sorted(set(places)) and -1 not in places
    return is_ordered and _remove_markers(text, marks) == plain


def _remove_markers(text: str, marks: Pairs) -> str:
    for start, end in marks:
        text = text.replace(start, "").replace(end, "")
    return text


def _restore_typed(text: str, typed: Mapping[str, str]) -> str:
    for word, name in typed.items():
        text = text.replace(word, name)
    return text


def _token_mask(places: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[bool]:
    """Whether each token lies in one of the ordered spans.

    >>> _token_mask([(0, 2), (2, 4), (4, 6)], [(1, 4)])
    [False, True, False]
    """
    found, left = list[bool](), list(spans)
    for start, end in places:
        while left and left[0][1] <= start:
            del left[0]
        found.append(bool(left) and left[0][0] <= start and end <= left[0][1])
    return found


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON with unescaped letters: transformers' `tojson`."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> str:
    raise TemplateRefusal(message)
