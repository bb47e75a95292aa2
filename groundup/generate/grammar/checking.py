"""Grammars of strangers are compiled in a process of their own first, which may fail at it.

A few words can ask for more memory or time than there is, or for more depth than a stack has, and
what compiles cannot be interrupted. So a process forks for each grammar one that tries it under
limits and may die; what it compiles in time the engine compiles too.
"""

import base64
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from llguidance import LLTokenizer

from groundup.core import ConfigError, GroundupError, Sampling, child

from .lark import LibraryVocabulary, compile_lark, read_tokens

MAX_CHARACTERS = 2**18
SECONDS, TOKEN_SECONDS = 4.0, 0.1
"""For a grammar, and of the processor's time for a token; ordinary ones take milliseconds."""
START_SECONDS = 60.0
MEMORY_BYTES, STACK_BYTES = 2**27, 2**22
"""What a grammar may take, and half of a thread's stack."""
STATM = Path("/proc/self/statm")
"""Pages of this process's address space."""
TOO_MUCH = f"takes more than {SECONDS:g} s or {MEMORY_BYTES >> 20} MiB to compile; make it simpler."


class GrammarChecker:
    """Tries grammars in a process, which starts with the first one."""

    def __init__(self, vocabulary: LibraryVocabulary) -> None:
        self.vocabulary = vocabulary
        self.process: subprocess.Popen[bytes] | None = None

    def check(self, sampling: Sampling) -> None:
        """Try a constraint; ConfigError if it is invalid or takes more than the limits."""
        name = sampling.constraint
        line = json.dumps({name: getattr(sampling, name)})
        if len(line) > MAX_CHARACTERS:
            what = f"Sampling.{name} has {len(line):,} characters, at most {MAX_CHARACTERS:,} are"
            raise ConfigError(f"{what} compiled; make it shorter.")
        if self.process is None or self.process.poll() is not None:
            self.close()
            self._start()
        message = self._ask(line, START_SECONDS)
        if message is None:
            self.close()
            message = f"Sampling.{name} {TOO_MUCH}"
        if message:
            raise ConfigError(message)

    def _start(self) -> None:
        command = child.python_command("-m", "groundup.generate.grammar.checking")
        self.process = subprocess.Popen(
            command, env=child.python_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        own = self.vocabulary
        tokens = [base64.b64encode(token).decode() for token in own.tokens]
        self._ask(json.dumps([tokens, own.special_token_ids, own.end_ids]), START_SECONDS)

    def _ask(self, line: str, seconds: float) -> str | None:
        """What the process answers to a line; None if it ends or does not answer in time."""
        assert self.process and self.process.stdin and self.process.stdout, "it was started"
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        answer = self.process.stdout.readline() if ready else b""
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def main() -> None:
    """Compile what stands on each line of the input, and say what is wrong with it, if anything."""
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES))
    tokens, *rest = json.loads(sys.stdin.buffer.readline())
    vocabulary = LibraryVocabulary([base64.b64decode(each) for each in tokens], *rest)
    tokenizer = read_tokens(vocabulary)
    print('""', flush=True)
    for line in sys.stdin.buffer:
        print(json.dumps(_try_apart(Sampling(**json.loads(line)), tokenizer)), flush=True)


def _try_apart(sampling: Sampling, tokenizer: LLTokenizer) -> str:
    """Try a constraint in a process of its own, so that it takes nothing from the next one."""
    receiver, sender = os.pipe()
    if not (process := os.fork()):
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        if STATM.is_file():  # Linux; elsewhere the time alone is limited
            pages = int(STATM.read_text().split()[0])
            most = pages * resource.getpagesize() + MEMORY_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        with open(sender, "w", encoding="utf-8") as answer:
            answer.write(_try(sampling, tokenizer) or "fine")
        os._exit(0)
    os.close(sender)
    with open(receiver, encoding="utf-8") as answer:
        message = answer.read() or f"Sampling.{sampling.constraint} {TOO_MUCH}"
    os.waitpid(process, 0)
    return message.removesuffix("fine")


def _try(sampling: Sampling, tokenizer: LLTokenizer) -> str:
    try:
        matcher, begun = compile_lark(sampling, tokenizer), time.process_time()
        matcher.compute_bitmask()
    except GroundupError as error:
        return str(error)
    if time.process_time() - begun > TOKEN_SECONDS:
        return f"Sampling.{sampling.constraint} slows every token; make it simpler."
    return ""


if __name__ == "__main__":
    main()
