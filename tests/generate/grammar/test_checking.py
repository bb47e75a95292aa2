"""Grammars that take too long, too much memory or too deep a stack are refused, and nothing else.

Each is tried in a process that may be lost, and so may be the one that forks them.
"""

import os
import signal

import pytest

from groundup.core import ConfigError, Sampling
from groundup.generate import GrammarCompiler
from groundup.tokenizer import FastTokenizer

TOKENIZER = FastTokenizer([])
ENDS = tuple(TOKENIZER.specials.values())
GOOD = Sampling(json_schema='{"type": "object", "properties": {"a": {"type": "integer"}}}')
RULES = "".join(f'r{i}: "a" r{i + 1} | r{i + 1}\n' for i in range(9_000))
ALTERNATIVES = [{"required": [f"r{i}_{j}" for j in range(20)]} for i in range(300)]


@pytest.fixture(scope="module")
def compiler():
    compiler = GrammarCompiler(TOKENIZER, ENDS)
    yield compiler
    compiler.close()


@pytest.mark.parametrize(
    "hostile",
    [
        Sampling(grammar=f'start: r0\n{RULES}r9000: "z"'),
        Sampling(json_schema='{"type": "integer", "multipleOf": 1000003}'),
        Sampling.model_validate({"json_schema": {"oneOf": ALTERNATIVES}}),
    ],
    ids=["deep", "large", "endless"],
)
def test_what_takes_too_much_to_compile_is_refused(compiler, hostile):
    assert compiler.start(GOOD).result() is not None
    process = compiler.checker.process
    with pytest.raises(ConfigError, match="to compile; make it simpler"):
        compiler.start(hostile).result()
    assert compiler.checker.process is process and process.poll() is None
    again = compiler.start(Sampling(regex="[ab]{3}")).result()
    assert again is not None and again.matcher().accept(TOKENIZER.encode("a")[0])


def test_an_error_is_the_compilers_own_and_a_lost_process_is_replaced(compiler):
    with pytest.raises(ConfigError, match=r"Sampling.regex cannot be compiled"):
        compiler.start(Sampling(regex="(a")).result()
    with pytest.raises(ConfigError, match="not at #/items"):
        compiler.start(
            Sampling(grammar='start: "x" inner\ninner: %json {"items": {"not": {}}}')
        ).result()
    os.kill(compiler.checker.process.pid, signal.SIGKILL)
    compiler.checker.process.wait()
    assert compiler.start(Sampling(choices=("yes", "no"))).result() is not None


def test_a_closed_compiler_leaves_no_process():
    compiler = GrammarCompiler(TOKENIZER, ENDS)
    compiler.start(GOOD).result()
    process = compiler.checker.process
    compiler.close()
    assert process.returncode == -signal.SIGKILL
