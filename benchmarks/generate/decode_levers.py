"""What drafts and shared prefixes bring, ours beside ours: the last part of decode.py.

Drafts pay where an answer repeats its prompt: a text that is copied, code in which a name changes.
Random weights copy nothing, so these answers are forced: the engine computes all logits, and those
of the answer's tokens are raised before it chooses. A trained model then continues texts, free.
With and without drafts the answers must be the same. A shared prefix is timed from a request to its
first token, the first time and once another request began alike; and counted in blocks.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from benchmarks import table
from groundup.core import Sampling
from groundup.generate import BatchEngine, DecodeRequest, NgramDrafter
from groundup.generate.sampling import TokenSampler
from groundup.kernels import BLOCK_TOKENS
from groundup.model import (
    ModelConfig,
    NativeDecoder,
    Transformer,
    cache_bytes_per_token,
    load,
)
from groundup.tokenizer import load_tokenizer

ESSAY = """\
The river rises in the hills above the town and runs for forty miles to the sea. In spring, when the
snow melts, it floods the meadows on both banks, and the farmers move their sheep to higher ground.
The old bridge has five arches of grey stone; it was built after the flood of 1771, which carried
its predecessor away. Below the bridge the water is deep enough for small boats, and on summer
evenings people row as far as the mill. The mill no longer grinds corn. Its wheel was taken down in
the war, and a family of potters lives there now, who sell bowls and cups to the visitors.
"""
CODE = inspect.getsource(table.figure)
ANSWERS = {
    "a text copied": (ESSAY, ESSAY),
    "a name in code changed": (CODE, CODE.replace("value", "number")),
}
"""Prompts and the answers that are forced."""
REPEATED, BEGUN, FREE_TOKENS = 2, 12, 128
"""A trained model reads a text so often, and some tokens of it again, and gives so many."""
FORCED = 1e4  # a logit above all others
SHARED, OWN, REQUESTS = 1000, 24, 8
"""Tokens of a prefix and of what follows it; requests that share it at last."""


def finish(engine: BatchEngine, request: DecodeRequest) -> tuple[list[int], float, float]:
    """Answer one request: ids, seconds to the first token, and from there to the last."""
    started, first, ids = time.perf_counter(), 0.0, list[int]()
    engine.add(request)
    while not engine.is_idle:
        ids += [token.id for token in engine.step()]
        first = first or time.perf_counter()
    return ids, first - started, time.perf_counter() - first


def speculation(
    config: ModelConfig, directory: Path, rounds: int
) -> tuple[list[table.Row], dict[str, Any]]:
    """Rows of decoding with drafts beside without, and how many drafted tokens came true.

    config     of random weights whose answers are forced
    directory  of a trained model, whose tokenizer serves both
    """
    tokenizer, rows, notes = load_tokenizer(directory), list[table.Row](), dict[str, Any]()
    decoder = NativeDecoder(Transformer(config), 32, bits=16, cache_dtype=torch.bfloat16)
    for name, (text, answer) in ANSWERS.items():
        ids, target = tokenizer.encode(text), tokenizer.encode(answer)
        work = f"drafts, {name} by force, 125M, 16 bits"
        row, notes[work] = _draft(decoder, ids, len(target), target, work, rounds)
        rows.append(row)
    decoder = NativeDecoder(load(directory), 32)
    for name, text in (("prose", ESSAY), ("code", CODE)):
        ids = tokenizer.encode(text)
        work = f"drafts, {name} continued by {directory.name}"
        prompt = ids * REPEATED + ids[:BEGUN]
        row, notes[work] = _draft(decoder, prompt, FREE_TOKENS, None, work, rounds)
        rows.append(row)
    return rows, {"drafts": notes}


def _draft(
    decoder: NativeDecoder, prompt: list[int], count: int, target: list[int] | None, work: str,
    rounds: int,
) -> tuple[table.Row, dict[str, Any]]:  # fmt: skip
    """Alternate with and without; `target` is the answer that is forced."""
    engines: dict[str, BatchEngine] = {}
    answers: dict[str, list[int]] = {}

    def rate(name: str) -> Callable[[], float]:
        def measure() -> float:
            drafter = NgramDrafter if name == "with" else None
            engines[name] = engine = BatchEngine(decoder, drafter=drafter)
            if target is not None:
                engine.observe = partial(_force, target)
            request = DecodeRequest(prompt, Sampling(max_tokens=count))
            answers[name], _, seconds = finish(engine, request)
            return (count - 1) / seconds

        return measure

    rates = table.alternate({name: rate(name) for name in ("with", "without")}, rounds)
    if answers["with"] != answers["without"] or target not in (None, answers["with"]):
        raise SystemExit(f"decode.py: the answer was changed: {work}.")
    peer, metrics = table.Peer("ours", "without drafts"), engines["with"].metrics
    row = table.compare(work, "tokens/s", rates["with"], rates["without"], peer)
    counts = {"answer": count, "drafted": metrics.drafted, "accepted": metrics.accepted}
    return row, counts | {"steps": metrics.steps, "pauses": engines["with"].drafting.pauses}


def _force(target: list[int], logits: Tensor, samplers: Sequence[TokenSampler]) -> None:
    """Make the target's next token the most likely one of each row."""
    for row, sampler in zip(logits, samplers, strict=True):
        row[target[sampler.length]] = FORCED


def prefix_sharing(config: ModelConfig, rounds: int) -> tuple[list[table.Row], dict[str, Any]]:
    """A row of the time to the first token, and the cache's memory by formula and as measured."""
    blocks = REQUESTS * (-(-(SHARED + OWN) // BLOCK_TOKENS) + 1)
    decoder = NativeDecoder(Transformer(config), blocks, bits=16, cache_dtype=torch.bfloat16)
    times: dict[str, list[float]] = {"first": [], "second": []}
    used, alone = 0, REQUESTS * -(-(SHARED + OWN) // BLOCK_TOKENS)
    for number in range(rounds + 1):
        draw = Random(number)
        prefix = draw.choices(range(config.vocab_size), k=SHARED)
        prompts = [prefix + draw.choices(range(config.vocab_size), k=OWN) for _ in range(REQUESTS)]
        engine = BatchEngine(decoder)
        for name, prompt in zip(times, prompts, strict=False):
            _, seconds, _ = finish(engine, DecodeRequest(prompt, Sampling(max_tokens=1)))
            if number:  # the first round warms up
                times[name].append(1000 * seconds)
        used = _blocks_in_use(engine, prompts)
    work = f"time to the first token, {SHARED:,} of {SHARED + OWN:,} tokens shared"
    row = table.compare(
        f"{work}, 125M, 16 bits", "ms", times["second"], times["first"],
        table.Peer("ours", "the first time"), less_is_better=True,
    )  # fmt: skip
    return [row], {
        "cache bytes a token, 125M, 16 bits": {
            "by formula": cache_bytes_per_token(config, torch.bfloat16),
            "measured": decoder.cache_bytes / (decoder.num_blocks * BLOCK_TOKENS),
        },
        f"cache blocks of {REQUESTS} requests": {"shared": used, "alone": alone},
    }


def _blocks_in_use(engine: BatchEngine, prompts: list[list[int]]) -> int:
    """Blocks referred to while all prompts wait for their second token."""
    numbers = [engine.add(DecodeRequest(prompt, Sampling(max_tokens=8))) for prompt in prompts]
    begun: set[int] = set()
    while len(begun) < len(prompts):
        begun |= {token.request for token in engine.step()}
    used = sum(count > 0 for count in engine.pool.references)
    for number in numbers:
        engine.abort(number)
    return used
