"""Does any lever of the engine change a byte of an answer? Real prompts, twelve settings.

    python -m benchmarks.generate.invariance [--prompts 1000] [--tokens 128] [--bits 32]

Prompts are passages of this repository's pages, half of them behind a common beginning; each has
one of twelve settings of sampling, a seed of its own, and is answered by models/house-14m. What it
gets alone, without a known prefix, is compared with what it gets in company, with its prompt in
chunks, with shared prefixes, pre-empted, with drafts by look-up, and with all of these at once. The
log-probabilities of the tokens as `ExactForward` gives them in training are compared too.

Results: results/invariance.json. A byte that differs ends the command with exit code 1.
"""

import argparse
import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import table
from groundup.core import Sampling, write_json
from groundup.generate import ExactForward
from groundup.generate.batching.answers import DecodedSequence
from groundup.generate.batching.engine import BatchEngine, DecodeRequest
from groundup.generate.batching.scheduler import SchedulerLimits
from groundup.generate.batching.speculative import NgramDrafter
from groundup.model import Bits, NativeDecoder, load
from groundup.tokenizer import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "house-14m"
SETTINGS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0},
    {"temperature": 1.0, "logprobs": 2},
    {"temperature": 0.7, "top_k": 20},
    {"temperature": 1.3, "top_p": 0.8},
    {"temperature": 1.0, "min_p": 0.1, "min_tokens": 5},
    {"temperature": 0.0, "repetition_penalty": 1.3},
    {"temperature": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    {"temperature": 0.8, "logit_bias": {10: 2.0}, "banned_tokens": (11,)},
    {"temperature": 0.0, "stop": ("\n\n",)},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 0.5, "logprobs": 5},
    {"temperature": 0.0, "min_tokens": 20},
)
LONGEST_PROMPT, COMMON = 200, 100


class Lever(NamedTuple):
    """How the same requests are run."""

    blocks: int
    limits: SchedulerLimits
    shares: bool = False
    drafter: Callable[..., Any] | None = None


COMPANY = SchedulerLimits(token_budget=512, max_running=64)
CHUNKS = SchedulerLimits(token_budget=70, max_running=64)
LEVERS = {
    "company": Lever(2048, COMPANY),
    "chunked": Lever(2048, CHUNKS),
    "shared": Lever(2048, COMPANY, shares=True),
    "pre-empted": Lever(96, COMPANY),
    "speculated": Lever(2048, COMPANY, drafter=NgramDrafter),
    "all at once": Lever(96, CHUNKS, shares=True, drafter=NgramDrafter),
}


def main() -> None:
    """Print and keep what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--bits", type=int, choices=(32, 16, 8, 4), default=32)
    given = parser.parse_args()
    model, tokenizer = load(MODEL, torch.float32), load_tokenizer(MODEL)
    requests = _requests(tokenizer, given.prompts, given.tokens)
    started = time.monotonic()
    single = _engine(model, given.bits, Lever(64, COMPANY))
    alone = [_answers(single, [each], shares=False)[0] for each in requests]
    seconds = time.monotonic() - started
    tokens = sum(len(each.ids) for each in alone)
    print(f"alone: {tokens:,} tokens, {seconds:.0f} s", flush=True)
    found: dict[str, Any] = {}
    for name, lever in LEVERS.items():
        started, engine = time.monotonic(), _engine(model, given.bits, lever)
        answers = _answers(engine, requests, shares=lever.shares)
        found[name] = {
            "answers": len(answers), "bytes that differ": _differing_bytes(alone, answers),
            "seconds": round(time.monotonic() - started, 1),
            "shared tokens": engine.metrics.shared_tokens,
            "pre-emptions": engine.metrics.preemptions, "accepted": engine.metrics.accepted,
        }  # fmt: skip
        print(f"{name}: {found[name]}", flush=True)
    if given.bits == 32:
        found["trainer"] = _trainer(model, requests, alone)
    write_json(table.RESULTS / "invariance.json", {
        "machine": table.machine_class(), "prompts": given.prompts, "settings": len(SETTINGS),
        "bits": given.bits, "tokens": tokens, "levers": found,
    })  # fmt: skip
    if any(each["bytes that differ"] for each in found.values()):
        raise SystemExit(1)


def _requests(tokenizer: Any, count: int, tokens: int) -> list[DecodeRequest]:
    chance = random.Random(0)
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    ids = [each for each in map(tokenizer.encode, pages) if len(each) > 2 * LONGEST_PROMPT]
    common, requests = ids[0][:COMMON], []
    for number in range(count):
        page = ids[number % len(ids)]
        first = chance.randrange(len(page) - LONGEST_PROMPT)
        own = page[first : first + chance.randrange(1, LONGEST_PROMPT)]
        sampling = Sampling(max_tokens=tokens, **SETTINGS[number % len(SETTINGS)])
        requests.append(DecodeRequest(
            [*common, *own] if number % 2 else own, sampling, seed=number,
            end_ids=(tokenizer.specials["<|endoftext|>"],), decode=tokenizer.decode,
        ))  # fmt: skip
    return requests


def _engine(model: Any, bits: Bits, lever: Lever) -> BatchEngine:
    decoder = NativeDecoder(model, lever.blocks, bits=bits)
    return BatchEngine(decoder, limits=lever.limits, drafter=lever.drafter)


def _answers(
    engine: BatchEngine, requests: Sequence[DecodeRequest], *, shares: bool
) -> list[DecodedSequence]:
    """The answers in order; a salt of its own keeps a request from finding known prefixes."""
    waiting = [(at, each if shares else replace(each, salt=f"{at}")) for at, each in
               enumerate(requests)]  # fmt: skip
    waiting.reverse()
    places: dict[int, int] = {}
    found: dict[int, DecodedSequence] = {}
    while waiting or not engine.is_idle:
        while waiting and len(places) - len(found) < 2 * engine.scheduler.limits.max_running:
            at, request = waiting.pop()
            places[engine.add(request)] = at
        for event in engine.step():
            if event.ended is not None:
                found[places[event.request]] = event.ended
    return [found[at] for at in range(len(requests))]


def _differing_bytes(wanted: Sequence[DecodedSequence], given: Sequence[DecodedSequence]) -> int:
    return sum(
        sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))
        for one, other in zip(map(_as_bytes, wanted), map(_as_bytes, given), strict=True)
    )


def _as_bytes(answer: DecodedSequence) -> bytes:
    """Its ids, log-probabilities, alternatives and why it ended."""
    shown = [each for place in answer.alternatives for each in place]
    ids = [*answer.ids, *(each.id for each in shown)]
    numbers = [*answer.logprobs, *(each.logprob for each in shown)]
    packed = struct.pack(f"{len(ids)}q{len(numbers)}d", *ids, *numbers)
    return packed + answer.finish_reason.encode()


def _trainer(
    model: Any, requests: Sequence[DecodeRequest], alone: Sequence[DecodedSequence]
) -> dict[str, Any]:
    """Log-probabilities of the answers in training, in batches of eight."""
    exact, started, differing, compared = ExactForward(model), time.monotonic(), 0, 0
    pairs = [(r.ids, a) for r, a in zip(requests, alone, strict=True) if a.ids]
    for first in range(0, len(pairs), 8):
        some = pairs[first : first + 8]
        with torch.no_grad():  # the model's layers are packed in 8 bits and take no gradients
            rows = exact.answer_logprobs([ids for ids, _ in some], [a.ids for _, a in some])
        for row, (_, answer) in zip(rows, some, strict=True):
            got = struct.pack(f"{len(row)}d", *row.tolist())
            want = struct.pack(f"{len(row)}d", *answer.logprobs)
            differing += sum(a != b for a, b in zip(got, want, strict=True))
            compared += len(row)
    seconds = round(time.monotonic() - started, 1)
    return {"tokens": compared, "bytes that differ": differing, "seconds": seconds}


if __name__ == "__main__":
    main()
