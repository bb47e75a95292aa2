"""Rows of others' files: conversations in the field's layouts, and what is wrong with a row.

    {"messages": [{"role": …, "content": …}, …]}           OpenAI's and TRL's
    {"conversations": [{"from": "human", "value": …}, …]}  ShareGPT's
    {"instruction": …, "input": …, "output": …}            Alpaca's
    {"prompt": …, "completion": …}                         a prompt and its answer, TRL's

Other columns are ignored. A row that cannot be used is kept aside with its file, line and reason.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

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

REJECTED = "rejected.jsonl"
MAX_SHOWN = 5
ROLES = ("system", "user", "assistant")
SHAREGPT_ROLES = {
    "human": "user", "gpt": "assistant", "system": "system", "user": "user",
    "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant",
}  # fmt: skip
Row = TypeVar("Row", bound=Hashable)


@dataclass(frozen=True)
class KeptRows(Generic[Row]):
    """What could be used of some files, and what could not."""

    rows: list[Row]
    rejected: list[dict[str, str]]
    """`place`, `reason` and `row` of each."""

    def write_rejected(self, draft: Draft) -> None:
        """Keep what could not be used beside what could, and count its reasons."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rejected)
        write_text(draft.path / REJECTED, "".join(lines))
        draft.numbers["rejected"] = dict(Counter(row["reason"] for row in self.rejected))


def digest_of(files: Sequence[Path], what: str) -> str:
    """Hash of files of JSON lines; DataError if one is missing."""
    if missing := next((path for path in files if not path.is_file()), None):
        raise DataError(f"There is no file {missing}; expected {what} as JSON lines.")
    return digest([hash_file(path) for path in files])


def keep_rows(files: Sequence[Path], parse: Callable[[Any], Row]) -> KeptRows[Row]:
    """Read files of JSON lines; each different row once.

    parse  makes one row, or raises DataError saying what is wrong with it
    """
    kept, seen = KeptRows[Row]([], []), set[Row]()
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    found = parse(json.loads(line))
                    if found in seen:
                        raise DataError("It is there twice.")
                except (DataError, ValueError) as error:
                    is_json = not isinstance(error, json.JSONDecodeError)
                    reason = str(error) if is_json else "It is no JSON."
                    place = f"{path.name} line {number}"
                    kept.rejected.append({"place": place, "reason": reason, "row": line.strip()})
                    continue
                seen.add(found)
                kept.rows.append(found)
    for row in kept.rejected[:MAX_SHOWN]:
        record.log(f"{row['place']} is left out: {row['reason']}")
    return kept


def read_conversation(row: Any) -> Conversation:
    """The conversation of a row in any of the layouts.

    >>> [turn.role for turn in read_conversation({"instruction": "Add.", "output": "3"})]
    ['user', 'assistant']

    Raises DataError saying what is wrong with it.
    """
    if not isinstance(row, dict):
        raise DataError("It is no object.")
    if "conversations" in row:
        return check_turns(_sharegpt_turns(row["conversations"]))
    if "messages" in row:
        return check_turns(read_messages(row["messages"], "messages"))
    if "instruction" in row:
        parts = (row["instruction"], row.get("input") or "")
        if not all(isinstance(each, str) for each in parts) or not parts[0].strip():
            raise DataError("Its instruction is no text.")
        answer = read_answer(row.get("output"), "output")
        asked = Message("user", "\n\n".join(filter(None, parts)))
        return check_turns((asked, Message("assistant", answer)))
    if "prompt" in row:
        answer = read_answer(row.get("completion"), "completion")
        return check_turns((*read_prompt(row["prompt"]), Message("assistant", answer)))
    raise DataError("It has no messages, conversations, instruction or prompt.")


def _sharegpt_turns(value: Any) -> Conversation:
    try:
        turns = [{"role": SHAREGPT_ROLES[turn["from"]], "content": turn["value"]} for turn in value]
    except (TypeError, KeyError) as error:
        raise DataError(f"Its conversations are none of ShareGPT's ({error}).") from None
    return read_messages(turns, "conversations")


def check_turns(messages: Conversation) -> Conversation:
    """The same; DataError unless user and assistant take turns, an answer is last, none is empty.

    A system's message may stand first.
    """
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
    """An answer, a text or one message of the assistant; DataError if it is none or empty."""
    if isinstance(value, list):
        messages = read_messages(value, name)
        if len(messages) != 1 or messages[0].role != "assistant":
            raise DataError(f"Its {name} is not one turn of the assistant.")
        value = messages[0].content
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"Its {name} is empty.")
    return value


def read_messages(value: Any, name: str) -> Conversation:
    """Messages with role and content; DataError for anything else."""
    try:
        found = tuple(Message(turn["role"], turn["content"]) for turn in value)
    except (TypeError, KeyError):
        raise DataError(f"Its {name} is neither a text nor a list of messages.") from None
    for message in found:
        if message.role not in ROLES or not isinstance(message.content, str):
            raise DataError(f"Its {name} has a turn of {message.role!r} that is no text turn.")
    return found
