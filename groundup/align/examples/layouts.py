"""Rows of others' files: conversations in the field's layouts, and what is wrong with a row.

    {"messages": [{"role": …, "content": …}, …]}           OpenAI's and TRL's
    {"conversations": [{"from": "human", "value": …}, …]}  ShareGPT's
    {"instruction": …, "input": …, "output": …}            Alpaca's, also with system and history
    {"prompt": …, "completion": …}                         TRL's: texts, or lists of messages

Messages may call functions: `tool_calls` and the role `tool`, or ShareGPT's `function_call` and
`observation`, with the functions in the column `tools`. They become the text that serving gives a
model (groundup/prompt/tools.py). Other columns are ignored. A row that cannot be used is kept aside
with its file, line and reason.
"""

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from groundup.core import (
    Conversation,
    DataError,
    Draft,
    Message,
    digest,
    hash_file,
    record,
    write_text,
)
from groundup.prompt import append_result, call_to_text, introduce_tools

REJECTED = "rejected.jsonl"
MAX_SHOWN = 5
ROLES: dict[str, Literal["system", "user", "assistant", "tool", "call"]] = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_call": "call",
}  # fmt: skip
"""Whose turn a message is; a `call` is an assistant's turn that calls a function."""
SURROGATE = re.compile("[\ud800-\udfff]")
RESULT_TAGS = re.compile(r"\s*</?tool_response>\s*")
"""Which some results have already."""
Row = TypeVar("Row", bound=Hashable)


@dataclass(frozen=True)
class KeptRow(Generic[Row]):
    """A row that can be used, and where it came from."""

    row: Row
    source: str
    """Its column `source` or `dataset`, or else the file's name."""
    place: str
    line: str


@dataclass(frozen=True)
class KeptRows(Generic[Row]):
    """What could be used of some files, and what could not."""

    kept: list[KeptRow[Row]]
    rejected: list[dict[str, str]]
    """`place`, `reason` and `row` of each."""

    @property
    def rows(self) -> list[Row]:
        """The rows alone."""
        return [each.row for each in self.kept]

    def with_rows(self, rows: Mapping[int, Row]) -> "KeptRows[Row]":
        """Other rows in place of those of these numbers; the rest is left out."""
        kept = [replace(each, row=rows[at]) for at, each in enumerate(self.kept) if at in rows]
        return KeptRows(kept, self.rejected)

    @property
    def reasons(self) -> str:
        """The commonest reasons why rows are left out."""
        reasons = Counter(row["reason"] for row in self.rejected).most_common(3)
        return " ".join(f"{reason} ({count} times)" for reason, count in reasons)

    def require_some(self) -> None:
        """Raise DataError with the commonest reasons if no row can be used."""
        if not self.kept:
            why = self.reasons or "No rows."
            raise DataError(f"None of {len(self.rejected)} rows can be used: {why}")

    def reject(self, numbers: Collection[int], reason: str) -> None:
        """Move kept rows to those that are left out."""
        for row in (self.kept[number] for number in sorted(numbers)):
            self.rejected.append({"place": row.place, "reason": reason, "row": row.line})
        self.kept[:] = [row for number, row in enumerate(self.kept) if number not in numbers]

    def write_rejected(self, draft: Draft) -> None:
        """Keep what could not be used beside what could, and count its reasons."""
        for row in self.rejected[:MAX_SHOWN]:
            record.log(f"{row['place']} is left out: {row['reason']}")
        if len(self.rejected) > MAX_SHOWN:
            record.log(f"{len(self.rejected) - MAX_SHOWN} more are left out; {REJECTED} has all.")
        write_rows(draft.path / REJECTED, self.rejected)
        draft.numbers["rejected"] = dict(Counter(row["reason"] for row in self.rejected))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines."""
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def digest_of(files: Sequence[Path], what: str) -> str:
    """Hash of files of JSON lines; DataError if one is missing."""
    if missing := next((path for path in files if not path.is_file()), None):
        wrong = (
            f"{missing} is no regular file" if missing.exists() else f"There is no file {missing}"
        )
        raise DataError(f"{wrong}; expected {what} as JSON lines.")
    return digest([hash_file(path) for path in files])


def keep_rows(files: Sequence[Path], parse: Callable[[Any], Sequence[Row]]) -> KeptRows[Row]:
    """Read files of JSON lines; each different row once.

    parse  makes one row or several of a line, or raises DataError saying what is wrong with it
    """
    found, seen = KeptRows[Row]([], []), set[Row]()
    size = sum(path.stat().st_size for path in files)
    with record.progress("reading", size, "bytes") as progress:
        for path in files:
            with open(path, "rb") as file:
                for number, line in enumerate(file, 1):
                    progress.advance(len(line))
                    if line.strip():
                        _keep_line(found, seen, parse, f"{path.name} line {number}", line.strip())
    return found


def _keep_line(
    found: KeptRows[Row], seen: set[Row], parse: Callable[[Any], Sequence[Row]], place: str,
    data: bytes,
) -> None:  # fmt: skip
    line = data.decode("utf-8-sig", "replace")
    try:
        if line.encode() != data.removeprefix(BOM_UTF8):
            raise DataError("It is no UTF-8.")
        read = json.loads(line)
        if "\\ud" in line.lower() and SURROGATE.search(json.dumps(read, ensure_ascii=False)):
            raise DataError("It has half of a pair of surrogates, which is no text.")
        rows = [row for row in parse(read) if row not in seen]
        if not rows:
            raise DataError("It is there twice.")
    except (DataError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, DataError) else "It is no JSON."
        found.rejected.append({"place": place, "reason": reason, "row": line})
        return
    seen.update(rows)
    source = read.get("source") or read.get("dataset")
    source = source if isinstance(source, str) else place.rpartition(" line ")[0]
    found.kept.extend(KeptRow(row, source, place, line) for row in rows)


class ReadRow(NamedTuple):
    """A row's conversation, and what the row is."""

    kind: str
    """dialogue, instruction, completion or tools."""
    messages: Conversation


def read_row(row: Any) -> ReadRow:
    """The conversation of a row in any of the layouts.

    >>> read_row({"instruction": "Add.", "input": "1, 2", "output": "3"}).kind
    'instruction'

    Raises DataError saying what is wrong with it.
    """
    if not isinstance(row, dict):
        raise DataError("It is no object.")
    if name := next((each for each in ("conversations", "messages") if each in row), ""):
        kind, messages = "dialogue", read_messages(row[name], name)
    elif "instruction" in row:
        answer = Message("assistant", read_answer(row.get("output"), "output"))
        kind, messages = "instruction", (*_alpaca_prompt(row), answer)
    elif "prompt" in row and "chosen" in row:
        raise DataError("It has chosen and rejected: `groundup preferences import` reads it.")
    elif "prompt" in row:
        kind, messages, completion = "completion", read_prompt(row["prompt"]), row.get("completion")
        if isinstance(completion, list) and completion:  # may call functions between its messages
            messages += read_messages(completion, "completion")
        else:
            messages += (Message("assistant", read_answer(completion, "completion")),)
    else:
        raise DataError("It has no messages, conversations, instruction or prompt.")
    messages, functions = check_turns(_with_system(row, messages)), _functions(row)
    called = check_calls(messages, row)
    return ReadRow("tools" if functions or called else kind, introduce_tools(messages, functions))


def check_calls(messages: Conversation, row: Mapping[str, Any]) -> set[str]:
    """The functions that are called; DataError if a row has functions, and one is not of them."""
    called = {name for turn in messages for name in _called_names(turn)}
    functions = {each["name"] for each in _functions(row)}
    if functions and (unknown := called - functions):
        raise DataError(f"It calls {min(unknown)!r}, which is not among its tools.")
    return called


def read_row_prompt(row: Mapping[str, Any]) -> Conversation:
    """What a row of preferences asks, in any of the layouts; DataError if it asks nothing."""
    name = next((each for each in ("conversations", "messages") if each in row), "prompt")
    if "instruction" in row and name == "prompt" and row.get("prompt") is None:
        prompt = _alpaca_prompt(row)
    else:
        prompt = read_prompt(row.get(name))
    return introduce_tools(_with_system(row, prompt), _functions(row))


def _with_system(row: Mapping[str, Any], messages: Conversation) -> Conversation:
    """The messages after the row's column `system`, if they have no system turn."""
    system, is_said = row.get("system"), any(turn.role == "system" for turn in messages)
    if is_said or not isinstance(system, str) or not system.strip():
        return messages
    return (Message("system", system), *messages)


def check_turns(messages: Conversation) -> Conversation:
    """The same; DataError unless, after a system's message or none, user and assistant take turns,
    an answer is last and no turn is empty."""
    own = messages[1:] if messages and messages[0].role == "system" else messages
    roles = [message.role for message in own]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise DataError(f"Its turns are {', '.join(roles) or 'none'}; expected user, assistant, …")
    if any(not message.content.strip() for message in messages):
        raise DataError("A turn is empty.")
    return messages


def read_prompt(value: Any) -> Conversation:
    """A prompt that is a text or a list of messages; DataError if the user's turn is not last."""
    if isinstance(value, str) and value.strip():
        return (Message("user", value),)
    messages = read_messages(value, "prompt")
    roles = [message.role for message in messages if message.role != "system"]
    is_in_turn = roles == (["user", "assistant"] * len(roles))[: len(roles)]
    if not roles or roles[-1] != "user" or not is_in_turn:
        raise DataError(f"Its prompt's turns are {', '.join(roles) or 'none'}; the user's is last.")
    return messages


def read_answer(value: Any, name: str) -> str:
    """An answer: a text, or one message of the assistant; DataError if it is none or empty."""
    if isinstance(value, list | dict):
        messages = read_messages(value if isinstance(value, list) else [value], name)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise DataError(f"Its {name} is not one turn of the assistant.")
        value = messages[0].content
    if value is None:
        raise DataError(f"It has no {name}.")
    if not isinstance(value, str):
        raise DataError(f"Its {name} is {value!r:.60}; expected a text.")
    if not value.strip():
        raise DataError(f"Its {name} is empty.")
    return value


def read_texts(value: Any, name: str) -> tuple[str, ...]:
    """A text or a list of texts, each an answer; DataError if one is none or empty."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise DataError(f"Its {name} are neither a text nor a list of texts.")
    return tuple(read_answer(each, name) for each in values)


TASK_TEXTS = ("source", "tests", "entry_point", "context")
"""What a row may have for the reward of quotes, and of code as in groundup.measure.passes_tests."""


def read_task_texts(row: dict[str, Any]) -> dict[str, str]:
    """What a row has of TASK_TEXTS; DataError if one is no text."""
    found = {name: row[name] for name in TASK_TEXTS if row.get(name)}
    if unread := [name for name, value in found.items() if not isinstance(value, str)]:
        raise DataError(f"Its {unread[0]} is no text.")
    return found


def read_messages(value: Any, name: str) -> Conversation:
    """Messages with role and content, or from and value; DataError for anything else.

    Calls of functions become the assistant's text, their results the next user's turn.
    """
    turns, is_called = list[Message](), False
    try:
        fields = [
            (turn["from"], turn["value"], None) if "from" in turn
            else (turn["role"], turn.get("content"), turn.get("tool_calls"))
            for turn in value
        ]  # fmt: skip
        unweighted = any(turn.get("weight") == 0 for turn in value)
    except (TypeError, KeyError, AttributeError):
        raise DataError(f"Its {name} is neither a text nor a list of messages.") from None
    if unweighted:
        raise DataError(f"Its {name} has a turn of weight 0, and every answer is trained on.")
    for given, content, calls in fields:
        role = ROLES.get(given) if isinstance(given, str) else None
        text = _text_of(content, has_calls=bool(calls))
        if role is None or text is None:
            raise DataError(f"Its {name} has a turn of {given!r} that is no text turn.")
        if role == "tool":
            if not is_called:
                raise DataError("A tool's result follows no call.")
            append_result(turns, RESULT_TAGS.sub("", text))
            continue
        if role == "call":
            role, calls, text = "assistant", _json_of(text), ""
        listed = calls if isinstance(calls, list) else [calls] if calls else []
        turns.append(Message(role, "\n".join(filter(None, [text, *map(_call_text, listed)]))))
        is_called = any(_called_names(turns[-1]))
    return tuple(turns)


def _alpaca_prompt(row: Mapping[str, Any]) -> Conversation:
    parts = (row["instruction"], row.get("input") or "")
    if not all(isinstance(each, str) for each in parts) or not parts[0].strip():
        raise DataError("Its instruction is no text.")
    try:
        said = [text for asked, answer in row.get("history") or () for text in (asked, answer)]
    except (TypeError, ValueError):
        raise DataError("Its history is no list of questions and answers.") from None
    said.append("\n\n".join(filter(None, parts)))
    roles = cycle(("user", "assistant"))
    turns = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    return read_messages(turns, "history")


def _text_of(content: Any, has_calls: bool) -> str | None:
    """A message's text, also in parts; None if it is none."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        texts = [text for text in parts if isinstance(text, str)]
        return "".join(texts) if texts and len(texts) == len(content) else None
    return content if isinstance(content, str) else "" if content is None and has_calls else None


def _call_text(call: Any) -> str:
    """A call as a model writes it; its arguments as JSON of one spelling."""
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise DataError("It has a call without the name of a function.")
    arguments = call.get("arguments") or {}
    arguments = _json_of(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(arguments, dict):
        raise DataError(f"Its call of {call['name']!r} has arguments that are no JSON object.")
    return call_to_text(call["name"], json.dumps(arguments, ensure_ascii=False))


def _called_names(turn: Message) -> Iterator[str]:
    """The functions that an assistant's turn calls, in the text of groundup/prompt/tools.py."""
    if turn.role == "assistant":
        for part in turn.content.split("<tool_call>\n")[1:]:
            call = _json_of(part.partition("\n</tool_call>")[0])
            if isinstance(call, dict) and isinstance(call.get("name"), str):
                yield call["name"]


def _functions(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions of a row's column `tools`, a list or JSON of one; DataError if it is none."""
    value = row.get("tools") or []
    listed = _json_of(value) if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise DataError("Its tools are no list of functions.")
    found = [each.get("function", each) if isinstance(each, dict) else None for each in listed]
    if any(not isinstance(each, dict) or not isinstance(each.get("name"), str) for each in found):
        raise DataError("Its tools have a function without a name.")
    return found  # type: ignore[return-value]


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
