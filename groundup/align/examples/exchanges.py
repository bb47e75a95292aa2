"""Questions and answers made of what documents say: one exchange, and conversations of several.

Every answer is text of the documents (a docstring, code, a paragraph) or the one refusal, so an
example can be traced to its file. What documents offer is read by groundup.corpus, which makes up
names too, for a test set's unanswerable questions as for these. Phrasings are in phrasings.toml.
Knows nothing of splits or files; see make.py.
"""

import json
import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from groundup.core import Conversation, Message
from groundup.corpus import DocumentedFunction, DocumentSection, WordPool, make_up_name

SUMMARY_CHARS, DOCSTRING_CHARS, WRITTEN_CODE_CHARS, TOPIC_CHARS = 240, 500, 500, 480
LONG_CONVERSATIONS = 0.35
OPENING = "The documents say: "
"""Of an answer to a name."""
REFUSAL_TEXT = "I do not know that name: it is not in the documents I was trained on."
"""It does not repeat the name: a small model that copies an unknown one may lose its way in it."""
PHRASINGS: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("phrasings.toml").read_text(encoding="utf-8")
)
ABSTENTION_TEXT = "I do not know that."
"""The refusal of any other question; see abstain."""


def is_refusal(answer: str) -> bool:
    """Whether an answer refuses, by the beginning of both refusals.

    >>> is_refusal(REFUSAL_TEXT), is_refusal("The documents say: Return the largest item.")
    (True, False)
    """
    return answer.strip().startswith(ABSTENTION_TEXT.rstrip("."))


@dataclass(frozen=True)
class ChatExample:
    """A conversation for training or evaluation."""

    id: str
    """Empty until it is drawn."""
    kind: str
    group: str
    """The module or document that it is about; the cluster for bootstrap resampling."""
    messages: Conversation
    refusal: bool = False
    """Whether the last answer is a refusal."""
    known: bool | None = None
    """Whether the last requested name exists; None if no name is requested."""
    exposure: str = ""
    """For a known name in a held-out split: `asked` or `read`, see make.py."""
    source: str = ""
    """Of an imported one: a data set or file; of one with a quote: the document and line."""

    def to_json(self) -> str:
        """Serialise to one line of JSON."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.source:
            del row["source"]
        row["messages"] = [message._asdict() for message in self.messages]
        return json.dumps(row, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "ChatExample":
        """Parse one line; ValueError, KeyError or TypeError if it is not an example."""
        row = json.loads(line)
        messages = tuple(Message(turn["role"], turn["content"]) for turn in row.pop("messages"))
        return cls(messages=messages, **row)


class NameQuestion(NamedTuple):
    """A name to ask about: a function of the documents, or a made-up one without answer."""

    name: str
    group: str
    answer: str | None
    exposure: str = ""


def _ask(kind: str, rng: random.Random, parts: Mapping[str, str]) -> str:
    return rng.choice(PHRASINGS[kind]).format_map(parts)


def conversation(kind: str, group: str, *texts: str) -> ChatExample:
    """What user and assistant say in turns."""
    roles = ("user", "assistant") * (len(texts) // 2)
    return ChatExample("", kind, group, tuple(map(Message, roles, texts)))


def explain_code(function: DocumentedFunction, rng: random.Random) -> ChatExample | None:
    """Code given, its docstring's first paragraph asked; often the whole docstring next."""
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    question = _ask("explain", rng, {"thing": function.kind})
    texts = [f"{question}\n\n{_fence_code(function.code)}", summary]
    if draw_follow_up(rng) and summary != function.docstring and _is_short(function):
        texts += [_ask("docstring_next", rng, {}), f'"""{function.docstring}"""']
    return conversation("explain", function.module, *texts)


def write_docstring(function: DocumentedFunction, rng: random.Random) -> ChatExample | None:
    """Code given, its whole docstring asked."""
    if not _is_short(function):
        return None
    question = f"{_ask('docstring', rng, {'thing': function.kind})}\n\n{_fence_code(function.code)}"
    return conversation("docstring", function.module, question, f'"""{function.docstring}"""')


def write_code(function: DocumentedFunction, rng: random.Random) -> ChatExample | None:
    """Name and docstring given, the code of a short function asked."""
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if function.kind == "class" or len(function.code) > WRITTEN_CODE_CHARS or len(summary) < 12:
        return None
    parts = {"thing": function.kind, "identifier": function.identifier, "docstring": summary}
    texts = [_ask("write", rng, parts), _fence_code(function.code)]
    if draw_follow_up(rng):
        texts += [_ask("write_next", rng, {}), summary]
    return conversation("write", function.module, *texts)


def ask_topic(section: DocumentSection, phrasing: str, rng: random.Random) -> ChatExample | None:
    """A title given, what the documents say under it asked; often more of it next."""
    answers = _split_answers(section.paragraphs)
    if not answers:
        return None
    texts = [phrasing.format(title=section.title), answers[0]]
    if draw_follow_up(rng) and len(answers) > 1:
        texts += [_ask("topic_next", rng, {}), answers[1]]
    return conversation("topic", section.module, *texts)


def _split_answers(paragraphs: Sequence[str]) -> list[str]:
    """Cut paragraphs into answers; one that announces a block (`:`) keeps the block."""
    answers, rest = list[str](), iter(paragraphs)
    for text in rest:
        block = next(rest, "") if text.endswith(":") else ""
        answers.append(clip_sentences(f"{text}\n\n{block}" if block else text, TOPIC_CHARS))
    return [text for text in answers if len(text) >= 40]


def ask_name(function: DocumentedFunction) -> NameQuestion | None:
    """Ask a function by its name alone: answered by its docstring's first paragraph.

    All such answers open alike, as all refusals do. If each opened in its own words, a greedy
    model would refuse even where an answer is likelier: no single opening would outweigh refusal's.
    """
    summary = clip_sentences(function.summary, SUMMARY_CHARS)
    if len(summary) < 12:
        return None
    return NameQuestion(function.name, function.module, OPENING + summary)


def pair_with_made_up(
    namings: Iterable[NameQuestion], pools: dict[str, WordPool], taken: set[str], rng: random.Random
) -> list[NameQuestion]:
    """Pair each real name with a made-up one of the same module, class and shape.

    A name for which none can be made up is left out, so the two sides stay equal in number.
    """
    pairs = list[NameQuestion]()
    for naming in namings:
        if name := make_up_name(naming.name, pools, taken, rng):
            pairs += [naming, NameQuestion(name, naming.group, None)]
    return pairs


def name_conversations(
    namings: Iterable[NameQuestion], phrasing: list[str], rng: random.Random
) -> Iterator[ChatExample]:
    """Ask names one by one, or two and three of the same module in one conversation."""
    waiting = sorted(shuffle_copy(namings, rng), key=lambda naming: naming.group)
    while waiting:
        first = waiting[0]
        limit = rng.choice((2, 3)) if draw_follow_up(rng) else 1
        turn = [first]
        for other in waiting[1:limit]:
            if other.group == first.group and other.name not in {naming.name for naming in turn}:
                turn.append(other)
        for naming in turn:
            waiting.remove(naming)
        texts = list[str]()
        for naming in turn:
            question = rng.choice(PHRASINGS["name_next"] + phrasing if texts else phrasing)
            texts += [question.format(name=naming.name), naming.answer or REFUSAL_TEXT]
        last, messages = turn[-1], conversation("name", first.group, *texts).messages
        is_known = last.answer is not None
        yield ChatExample("", "name", last.group, messages, not is_known, is_known, last.exposure)


def shuffle_copy(items: Iterable, rng: random.Random) -> list:
    """Copy in random order."""
    items = list(items)
    rng.shuffle(items)
    return items


def draw_follow_up(rng: random.Random) -> bool:
    """Whether a conversation has more than one turn of each side."""
    return rng.random() < LONG_CONVERSATIONS


def _is_short(function: DocumentedFunction) -> bool:
    return 12 <= len(function.docstring) <= DOCSTRING_CHARS


def _fence_code(code: str) -> str:
    return f"```python\n{code}\n```"


def clip_sentences(text: str, limit: int) -> str:
    """Shorten to whole sentences of at most `limit` characters; empty if not even one fits.

    >>> clip_sentences("Read a file. Then close it.", 20)
    'Read a file.'
    """
    if len(text) <= limit:
        return text
    ends = [m.end() for m in re.finditer(r"[.!?](?=\s)", text[: limit + 1])]
    return text[: ends[-1]] if ends and ends[-1] <= limit else ""
