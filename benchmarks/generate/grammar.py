"""Are answers to real JSON schemas valid whatever the model says, and what does a mask cost?

    git clone https://github.com/guidance-ai/jsonschemabench
    python -m benchmarks.generate.grammar jsonschemabench/data [--schemas 2000]  fifteen minutes
    python -m benchmarks.generate.grammar jsonschemabench/data --cost            the last part alone

For a seeded sample of JSONSchemaBench's schemas (Geng et al. 2025, arXiv:2501.10868), answers are
drawn from random logits over a vocabulary of 32,768 tokens, trained on this repository's own text
and the schemas; tokens of JSON's closing marks are favoured, so that most answers end. Each that
ends is checked by the jsonschema package, formats included where it knows them. Reported are the
share of schemas refused, the answers that ended and were valid, and the time to compile. The cost
is what a grammar adds to choosing a token, as a share of the fastest decode step of a model of 125M
weights between the answers, for one sequence and for a batch of eight.

Results: results/grammar.json.
"""

import argparse
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import torch
from jsonschema.validators import validator_for

from benchmarks import table
from groundup.core import ConfigError, Sampling, Tokenizer
from groundup.generate import CachedTransformer, compile_grammar
from groundup.generate.sampling import TokenSampler, choose_tokens
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.tokenizer import FastTokenizer, train_bpe

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY, MAX_TOKENS, CONTEXT = 32_768, 400, 512
CLOSERS = re.compile(rb'["\]},:]+')
PAIRS = 60
"""Pairs of a decode step and an answer; fewer than CONTEXT leaves after its first 256 tokens."""
FAVOUR = 6.0
"""Added to the logits of closing marks; of an end of the answer twice this."""


class Drawn(NamedTuple):
    """One answer from random logits."""

    outcome: str
    """valid, invalid, length, no_token, or unchecked where the schema cannot be checked."""
    seconds: list[float]
    """What the grammar added to each token."""


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--schemas", type=int, default=2000)
    parser.add_argument("--cost", action="store_true")
    arguments = parser.parse_args()
    files = sorted(arguments.folder.rglob("*.json"))
    files = random.Random(0).sample(files, min(arguments.schemas, len(files)))
    tokenizer = build_tokenizer(files)
    if not arguments.cost:
        table.keep_part("grammar", "random_logits", answer_all(files, tokenizer))
    table.keep_part("grammar", "cost", measure_cost(files, tokenizer))


def answer_all(files: list[Path], tokenizer: Tokenizer) -> dict[str, Any]:
    """Compile every schema and draw an answer to each."""
    outcomes, reasons = Counter[str](), Counter[str]()
    compiling, tokens = list[float](), 0
    for number, file in enumerate(files):
        schema = json.loads(file.read_text(encoding="utf-8"))
        begin = time.perf_counter()
        try:
            compile_grammar(Sampling(json_schema=schema), tokenizer, end_ids(tokenizer))
        except ConfigError as error:
            outcomes["refused"] += 1
            reasons[reason_of(str(error))] += 1
            continue
        compiling.append(time.perf_counter() - begin)
        drawn = draw(schema, tokenizer, number)
        outcomes[drawn.outcome] += 1
        tokens += len(drawn.seconds)
        if drawn.outcome in ("invalid", "no_token"):
            print(f"{drawn.outcome}: {file}")
    found = {
        "schemas": len(files), "vocabulary": VOCABULARY, **dict(sorted(outcomes.items())),
        "refused_percent": round(100 * outcomes["refused"] / len(files), 2),
        "reasons": dict(reasons.most_common(8)), "tokens": tokens,
        "compile_ms": percentiles(compiling),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    return found


def build_tokenizer(files: list[Path]) -> FastTokenizer:
    """A vocabulary of the repository's own text and of the schemas."""
    own = [path for name in ("*.py", "*.md") for path in sorted(ROOT.rglob(name))]
    own = [path for path in own if ".venv" not in path.parts]
    texts = [path.read_text(encoding="utf-8") for path in [*own, *files]]
    return FastTokenizer(train_bpe((text[:200_000] for text in texts), VOCABULARY - 3))


def end_ids(tokenizer: Tokenizer) -> list[int]:
    """What ends an answer."""
    return sorted(tokenizer.specials.values())


def reason_of(message: str) -> str:
    """The kind of a refusal, without names and paths."""
    if found := re.search(r"has (\S+) at", message):
        return found[1]
    kinds = ("Unknown format", "oneOf", "Unsatisfiable", "properties", "regex", "circular")
    return next((kind for kind in kinds if kind in message), "other")


def draw(schema: dict[str, Any], tokenizer: Tokenizer, seed: int) -> Drawn:
    """Draw one answer, and time a token with the grammar and without."""
    sampling = Sampling(json_schema=schema, temperature=1.0, max_tokens=MAX_TOKENS, seed=seed)
    grammar = compile_grammar(sampling, tokenizer, end_ids(tokenizer))
    assert grammar is not None
    free = TokenSampler(Sampling(temperature=1.0, max_tokens=MAX_TOKENS, seed=seed))
    bound = TokenSampler(sampling, end_ids=end_ids(tokenizer), matcher=grammar.matcher())
    ids, seconds = list[int](), list[float]()
    for logits in random_logits(tokenizer, grammar.vocabulary.tokens, seed):
        moments = [time.perf_counter()]
        choose_tokens(logits, [free])
        moments.append(time.perf_counter())
        [token] = choose_tokens(logits, [bound])
        if not isinstance(token, int):
            return Drawn("no_token", seconds)
        bound.add(token)
        moments.append(time.perf_counter())
        free.length += 1
        seconds.append(moments[2] - moments[1] - (moments[1] - moments[0]))
        ids.append(token)
        if token in bound.ends:
            text = tokenizer.decode(ids[:-1])
            grammar.validate(ids, text)
            return Drawn(check(schema, text), seconds)
    return Drawn("length", seconds)


def random_logits(
    tokenizer: Tokenizer, tokens: tuple[bytes, ...], seed: int
) -> Iterator[torch.Tensor]:
    """Logits of each token of an answer, normally distributed but for what is favoured."""
    generator = torch.Generator().manual_seed(seed)
    favour = torch.tensor([FAVOUR * bool(CLOSERS.fullmatch(token)) for token in tokens])
    favour[end_ids(tokenizer)] = 2 * FAVOUR
    for _ in range(MAX_TOKENS):
        yield (torch.randn(len(tokens), generator=generator) + favour)[None]


def check(schema: dict[str, Any], text: str) -> str:
    """What the jsonschema package says of an answer."""
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind(schema, format_checker=kind.FORMAT_CHECKER).validate(json.loads(text))
    except jsonschema.ValidationError as error:
        print(f"{error.message[:200]}  {text[:200]}")
        return "invalid"
    except Exception as error:  # a reference that it fetches, an expression that Python cannot read
        print(f"unchecked: {type(error).__name__} {str(error)[:120]}")
        return "unchecked"
    return "valid"


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, 99th percentile and mean."""
    values = np.array(seconds) * 1000
    shares = {"median": np.median(values), "p99": np.percentile(values, 99), "mean": values.mean()}
    return {name: round(float(value), 4) for name, value in shares.items()}


def measure_cost(files: list[Path], tokenizer: Tokenizer) -> dict[str, Any]:
    """What the grammar adds to a decode step: its median cost as a share of the fastest step."""
    steps, found = {batch: decode_step(batch) for batch in (1, 8)}, dict[str, Any]()
    times, masks = {batch: list[float]() for batch in steps}, list[float]()
    threads = torch.get_num_threads()
    for number, file in enumerate(files):
        schema = json.loads(file.read_text(encoding="utf-8"))
        try:
            compile_grammar(Sampling(json_schema=schema), tokenizer, end_ids(tokenizer))
        except ConfigError:
            continue
        for batch, step in steps.items():
            begin = time.perf_counter()
            step()
            times[batch].append(time.perf_counter() - begin)
        torch.set_num_threads(1)  # for a row of logits a second thread only adds noise
        masks += draw(schema, tokenizer, number).seconds
        torch.set_num_threads(threads)
        if len(times[1]) == PAIRS:
            break
    found["mask_ms"] = percentiles(masks)
    for batch, each in times.items():
        share = 100 * batch * statistics.median(masks) / min(each)
        found[f"batch_{batch}"] = {
            "fastest_step_ms": round(1000 * min(each), 2), "percent_of_step": round(share, 2)
        }  # fmt: skip
    print(json.dumps(found, indent=1))
    return found


def decode_step(batch: int) -> Callable[[], None]:
    """A function that runs one decode step of a model of 125M weights after 256 tokens."""
    config = ModelConfig(
        vocab_size=VOCABULARY, width=768, layers=14, context_length=CONTEXT,
        attention=AttentionConfig(heads=12, kv_heads=12, head_dim=64),
        feedforward=FeedForwardConfig(width=2048),
    )  # fmt: skip
    cached = CachedTransformer(Transformer(config, seed=0).eval())
    project, ones = cached.projection(VOCABULARY), torch.ones(batch, dtype=torch.long)
    with torch.inference_mode():
        state = cached.begin(batch, CONTEXT)
        cached.extend(state, torch.ones(batch, 256, dtype=torch.long), 256 * ones)

    @torch.inference_mode()
    def step() -> None:
        project(cached.extend(state, ones[:, None], ones)[:, -1])

    step()
    return step


if __name__ == "__main__":
    main()
