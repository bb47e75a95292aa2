"""The verbs `generate`, which continues a prompt once, and `chat`, a conversation.

The answer is streamed to stdout and everything else goes to stderr, so a script can read either.
"""

import json
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from groundup.core import (
    CONSTRAINTS,
    CapacityError,
    ConfigError,
    Conversation,
    Generation,
    GroundupError,
    Message,
    Sampling,
    changed_settings,
    load_config,
    record,
    write_text,
)
from groundup.model import Bits

from . import beam
from .directory import read_eos_ids
from .engine import Engine
from .explain import write_explanation

SINGLE_THREAD_BELOW = 20_000_000
"""Parameters below which decoding one sequence uses one thread: on two idle cores a second
thread gave a 6M model a tenth more tokens/s; on busy cores, waiting threads slowed a tiny model
sixty-fold."""

HELP = (
    "/edit TEXT asks the last message anew in these words, /system TEXT sets the system message, "
    "/set temperature=0.7 a setting, /save FILE writes the conversation, /reset forgets it; /quit "
    "or Ctrl-D leaves, Ctrl-C stops an answer."
)


class Continuation(str):
    """A continuation: its text, with further fields for `--json`."""

    generation: Generation
    seconds: float

    def _asdict(self) -> dict[str, object]:
        generation = self.generation
        fields: dict[str, object] = {
            "text": generation.text,
            "finish_reason": generation.finish_reason,
            "tokens": len(generation.ids),
            "logprob": sum(generation.logprobs),
            "seconds": round(self.seconds, 3),
        }
        return fields | ({"alternatives": found} if (found := generation.alternatives) else {})


def generate(
    model: Path,
    prompt: str,
    *,
    ask: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    beams: int = 1,
    best_of: int = 1,
    bits: Bits | None = None,
    explain: Path | None = None,
    json_schema: str | None = None,
    regex: str | None = None,
    choices: list[str] | None = None,
    grammar: Path | None = None,
    config: Sampling | None = None,
) -> Continuation:
    """Continue a prompt and print the continuation, or an encoder–decoder's output for it.

    model        a model directory
    prompt       text to continue
    ask          send the prompt as a user message and print the answer
    temperature  0 takes the most likely token each time; 1 samples the model's distribution
    top_k        sample from the k most likely tokens; 0 from all
    top_p        sample from the most likely tokens that together have this probability
    max_tokens   maximum number of tokens to generate; 128 unless it is set
    seed         the same seed gives the same text
    beams        width of the beam search; 1 is no beam search
    best_of      sample so many answers and keep the one whose tokens are the likeliest on average
    bits         round the weights to 8 or 4 bits, which reads less memory (CPUs)
    explain      write a page (.html) that shows what each setting cut and kept, token by token
    json_schema  file of a JSON schema, or its text, of the JSON that the answer must be
    regex        regular expression that the answer must match from beginning to end
    choices      a text that the answer may be; give it again for each
    grammar      file of a grammar in Lark's syntax that the answer must follow
    config       penalties, biases, masks, stop strings and the like; flags take precedence

    Raises ConfigError if the prompt is empty, CapacityError if it does not fit the context.
    """
    flags: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    flags |= {"max_tokens": max_tokens}
    flags |= {"seed": seed, "json_schema": json_schema and _read_schema(json_schema)}
    flags |= {"regex": regex, "choices": choices, "grammar": grammar and _read_text(grammar)}
    sampling = _merge_sampling(config, flags, 128)
    engine = _open_for_one_sequence(model, bits)
    started = time.perf_counter()
    ids = engine.encode_prompt(prompt)  # checks that the prompt is not empty, with --ask too
    if ask:
        ids = engine.prompt_ids((Message("user", prompt),))
    if best_of != 1:
        generation = _best_of(engine, ids, sampling, best_of, beams, explain)
    else:
        generation = _continue(engine, prompt, ids, sampling, beams, explain)
    continuation = Continuation(generation.text)
    continuation.generation, continuation.seconds = generation, time.perf_counter() - started
    return continuation


def _continue(
    engine: Engine, prompt: str, ids: Sequence[int], sampling: Sampling, beams: int,
    explain: Path | None,
) -> Generation:  # fmt: skip
    if explain is not None and beams > 1:
        raise ConfigError(f"--explain shows the choice of one sequence, not of {beams} beams.")
    if explain is not None:
        generation = write_explanation(engine, prompt, ids, sampling, explain)
        record.log(f"What each setting cut and kept: {explain}")
        return generation
    if beams == 1:
        return engine.continue_ids([ids], sampling)[0]
    if sampling.temperature > 0:
        got = f"temperature={sampling.temperature}"
        raise ConfigError(f"beams={beams} needs temperature 0; got {got}.")
    if sampling != Sampling(max_tokens=sampling.max_tokens, seed=sampling.seed):
        raise ConfigError(f"beams={beams} takes no setting of sampling but max_tokens.")
    search = beam.BeamConfig(width=beams, max_tokens=sampling.max_tokens)
    return beam.beam_search(engine, [ids], search)[0][0].generation


def _best_of(
    engine: Engine, ids: Sequence[int], sampling: Sampling, count: int, beams: int,
    explain: Path | None,
) -> Generation:  # fmt: skip
    if beams > 1 or explain is not None:
        raise ConfigError("--best-of goes with neither --beams nor --explain; give one of them.")
    return engine.best_of(ids, sampling, count)[0]


def _read_schema(schema: str) -> str:
    """The text of a schema that is given as text, which begins with a brace, or as a file."""
    return schema if schema.lstrip().startswith("{") else _read_text(Path(schema))


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text in UTF-8.") from None


def _merge_sampling(config: Sampling | None, flags: Mapping[str, Any], max_tokens: int) -> Sampling:
    """The settings of a configuration with the flags that were given; `max_tokens` if neither."""
    if empty := next((name for name in CONSTRAINTS if flags.get(name) in ("", [])), None):
        raise ConfigError(f"--{empty.replace('_', '-')} is empty; leave it out or say what it is.")
    config = config or Sampling()
    values: dict[str, Any] = config.to_dict()
    if "max_tokens" not in config.model_fields_set:
        values["max_tokens"] = max_tokens
    values |= {name: value for name, value in flags.items() if value is not None}
    return Sampling(**values)


def chat(
    model: Path,
    *,
    system: str = "",
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    bits: Bits | None = None,
    config: Sampling | None = None,
) -> None:
    """Talk to a model; answers are streamed, and the speed of each is logged to stderr.

    /edit TEXT asks the last message anew in these words, /system TEXT sets the system message, /set
    name=value a setting of the sampling, /save FILE writes the conversation, /reset forgets it,
    /quit or Ctrl-D leaves, Ctrl-C stops an answer. When a conversation outgrows the context its
    oldest turns are dropped, with a note. Piped, each line of stdin is one message.

    model        a model directory that was tuned on conversations
    system       system message
    temperature  0 takes the most likely token each time; 1 samples the model's distribution
    top_k        sample from the k most likely tokens; 0 from all
    top_p        sample from the most likely tokens that together have this probability
    max_tokens   maximum number of tokens in an answer; 256 unless it is set
    seed         the same seed and messages give the same conversation
    bits         round the weights to 8 or 4 bits, which reads less memory (CPUs)
    config       penalties, biases, masks, stop strings and the like; flags take precedence
    """
    flags = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "max_tokens": max_tokens}
    sampling = _merge_sampling(config, flags | {"seed": seed}, 256)
    engine = _open_for_one_sequence(model, bits)
    if not _is_chat_tuned(model, engine):
        record.log(
            f"{model} was not tuned on conversations and only continues texts. To tune it: "
            "`groundup examples make`, then `groundup finetune --model "
            f"{shlex.quote(str(model))} --examples DIR --out DIR`; `groundup generate` continues."
        )
    session = _Session(engine, sampling, system)
    if sys.stdin.isatty():
        record.log(HELP)
    for line in record.input_lines():
        if line == "/quit":
            return
        try:
            session.take_line(line)
        except GroundupError as error:
            record.log(str(error))


class _Session:
    """A conversation and the settings of its next answer."""

    def __init__(self, engine: Engine, sampling: Sampling, system: str) -> None:
        self.engine, self.sampling = engine, sampling
        self.turns: Conversation = ()
        self.set_system(system)

    def take_line(self, line: str) -> None:
        """Answer a message, or do what a command says."""
        command, _, text = line.partition(" ")
        match command, text.strip():
            case "/reset", "":
                self.turns = ()
                record.log("The conversation is forgotten.")
            case "/system", text:
                self.set_system(text)
            case "/edit", text if text:
                self.edit(text)
            case "/save", text if text:
                self.save(Path(text))
            case "/set", text:
                self.set_sampling(text)
            case "/edit" | "/save", _:
                record.log(f"{line} needs a text behind it. {HELP}")
            case _ if line.startswith("/"):
                record.log(f"There is no command {line}. {HELP}")
            case _:
                self.answer(line)

    def answer(self, message: str) -> None:
        conversation = (*self.system, *self.turns, Message("user", message))
        answered = _chat_turn(self.engine, conversation, self.sampling)
        self.turns = tuple(each for each in answered if each.role != "system")

    def edit(self, message: str) -> None:
        """Ask the last question again in other words; what came after it is forgotten."""
        users = [at for at, each in enumerate(self.turns) if each.role == "user"]
        if not users:
            raise ConfigError("There is no message to edit yet; write one.")
        self.turns = self.turns[: users[-1]]
        self.answer(message)

    def set_system(self, text: str) -> None:
        self.system: Conversation = (Message("system", text),) if text else ()

    def set_sampling(self, text: str) -> None:
        """Change settings, as in `temperature=0.7 top_p=0.9`; say which differ from the default."""
        known = self.sampling.to_dict()
        words = re.split(r"\s+(?=\w+=)", text.strip())  # JSON keeps its blanks and quotes
        new = load_config(Sampling, settings=list(filter(None, words)))
        self.sampling = Sampling(
            **(known | {name: getattr(new, name) for name in new.model_fields_set})
        )
        changed = changed_settings(self.sampling)
        record.log(
            ", ".join(f"{name}={value}" for name, (_, value) in changed.items()) or "Defaults."
        )

    def save(self, path: Path) -> None:
        """Write the conversation as a line of JSON, which `groundup examples` reads."""
        if path.exists():
            raise ConfigError(f"{path} exists; name a file that does not.")
        messages = [each._asdict() for each in (*self.system, *self.turns)]
        try:
            write_text(path, json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
        except OSError as error:
            raise ConfigError(f"Cannot write {path}: {error.strerror}.") from None
        record.log(f"{len(messages)} messages: {path}")


def _is_chat_tuned(model: Path, engine: Engine) -> bool:
    """Whether it has a chat template, ends texts at `<|im_end|>`, or answers what it reads."""
    ends = read_eos_ids(model, engine.tokenizer.vocab_size)
    is_tuned = engine.tokenizer.specials.get("<|im_end|>") in ends
    return engine.template is not None or is_tuned or engine.source_frame is not None


def _open_for_one_sequence(model: Path, bits: Bits | None = None) -> Engine:
    """Open a model for one sequence at a time; a small one gets a single thread."""
    engine = Engine.open(model, bits=bits)
    weights = sum(parameter.numel() for parameter in engine.model.parameters())
    if weights < SINGLE_THREAD_BELOW:
        torch.set_num_threads(1)
    return engine


def _chat_turn(engine: Engine, conversation: Conversation, sampling: Sampling) -> Conversation:
    """Stream one answer; return the conversation with it.

    A message that does not fit the context is reported and dropped.
    """
    try:
        fitting = engine.truncate_history(
            conversation, min(sampling.max_tokens, engine.context_length // 4)
        )
    except CapacityError as error:
        record.log(str(error))
        return conversation[:-1]
    if len(fitting) < len(conversation):
        record.log(f"The oldest {len(conversation) - len(fitting)} messages no longer fit.")
    text, count, started = list[str](), 0, time.perf_counter()
    first = started
    with _catch_interrupt() as stopped:
        for piece in engine.stream_tokens(engine.prompt_ids(fitting), sampling):
            if count == 0:
                first = time.perf_counter()
            count += 1
            text.append(piece.text)
            print(piece.text, end="", flush=True)
            if stopped:
                break
    print(flush=True)
    if stopped:
        record.log("Stopped.")
    record.log(_format_speed(count, first - started, time.perf_counter() - first))
    return (*fitting, Message("assistant", "".join(text)))


@contextmanager
def _catch_interrupt() -> Iterator[list[int]]:
    """Yield a list to which Ctrl-C appends, instead of ending the program."""
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _format_speed(tokens: int, first_seconds: float, rest_seconds: float) -> str:
    """Describe how fast an answer was generated.

    >>> _format_speed(101, 0.25, 2.0)
    '101 tokens, the first after 0.25 s, then 50 tokens/s'
    """
    if tokens < 2 or rest_seconds <= 0:
        return f"{tokens} tokens, the first after {first_seconds:.2f} s"
    rate = (tokens - 1) / rest_seconds
    return f"{tokens} tokens, the first after {first_seconds:.2f} s, then {rate:.0f} tokens/s"
