"""Decoding and prefill beside llama.cpp and transformers: same weights, bits, prompts and threads.

    make bench-decode       # builds llama.cpp (MIT) beside transformers (Apache-2.0)
    python -m benchmarks.generate.decode [--sizes 125M] [--bits 32 16] [--rounds 2] --discard
    python -m benchmarks.generate.decode --sizes --models models/house-14m gemma-270M

Each side lives in a process of its own, which waits while the others compute (decode_sides.py).
Weights are random, in the Llama shape, or those of model directories (--models); llama.cpp reads
the GGUF file that we write: F32, BF16, Q8_0 or Q4_0, with 8 bits for the output beside 4. Everyone
takes the most likely token. Decoding is timed from a prompt's first token to its last, prefill from
the prompt to its first token. The notes hold bits a weight with scales, the share of the read
bandwidth that the weights of a step take, and for prefill the share of the matrix peak, both
measured in the same call. They count the tokens that a peer chose as we did: all at 32 bits, unless
rounding decides between two. What drafts and shared prefixes bring is measured too
(decode_levers.py).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Literal, NamedTuple

from benchmarks import table
from benchmarks.generate.decode_levers import prefix_sharing, speculation
from benchmarks.generate.decode_sides import ROOT, Continuation, Side, Work
from groundup.core import device
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NativeDecoder,
    NormConfig,
    Transformer,
    count_parameters,
    load_to_train,
    mean_flops_per_token,
    save,
    save_gguf,
)
from groundup.model.weights.gguf.export import StoredAs
from groundup.model.weights.gguf.format import open_gguf

SIZES = {
    "125M": {"width": 768, "layers": 12, "heads": 12, "inner": 2048},
    "300M": {"width": 1024, "layers": 20, "heads": 16, "inner": 2816},
}
VOCAB_SIZE, KV_HEADS, HEAD_DIM, CONTEXT = 32_000, 4, 64, 2048
STORED: dict[int, StoredAs] = {32: "F32", 16: "BF16", 8: "Q8_0", 4: "Q4_0"}
PEERS = {"llama.cpp": (32, 16, 8, 4), "transformers": (32, 16)}
"""The bits that each peer has."""
PACKAGES = {"llama.cpp": "llama-cpp-python", "transformers": "transformers"}
POSITIONS = 8 * (128 + 65)


class Line(NamedTuple):
    """A kind of work."""

    name: str
    phase: Literal["decode", "prefill"]
    sequences: int
    prompt: int
    count: int
    """New tokens of each sequence; the first one belongs to the prompt."""

    def units(self, done: Continuation) -> float:
        """Tokens a second."""
        if self.phase == "prefill":
            return self.sequences * self.prompt / done.prefill_seconds
        return self.sequences * (self.count - 1) / done.decode_seconds


LINES = {
    "125M": (
        Line("decoding", "decode", 1, 128, 65),
        Line("decoding 8 sequences", "decode", 8, 128, 65),
        Line("prefill of 512 tokens", "prefill", 1, 512, 1),
    ),
    "300M": (Line("decoding", "decode", 1, 128, 65),),
}
"""Lines of a size; models have those of 125M."""


class Measured(NamedTuple):
    """What all sides did with a line, round by round."""

    line: Line
    size: str
    config: ModelConfig
    bits: int
    rates: dict[str, list[float]]
    """Tokens a second, by side."""
    equal: dict[str, str]
    """How many of each peer's tokens are ours."""
    weight_bytes: dict[str, float]
    """Of the products' weights, with scales, by side."""

    @property
    def work(self) -> str:
        """Its name in tables."""
        return f"{self.line.name}, {self.size}, {self.bits} bits"


def shape(size: str) -> ModelConfig:
    """The Llama shape of a size, embeddings untied."""
    part = SIZES[size]
    attention = AttentionConfig(
        heads=part["heads"], kv_heads=KV_HEADS, head_dim=HEAD_DIM, qk_norm="none"
    )
    return ModelConfig(
        vocab_size=VOCAB_SIZE, width=part["width"], layers=part["layers"], context_length=CONTEXT,
        attention=attention, feedforward=FeedForwardConfig(width=part["inner"]),
        norm=NormConfig(eps=1e-5), tied_embeddings=False,
    )  # fmt: skip


class Race(NamedTuple):
    """Tokens a second and answers of each side, round by round."""

    rates: dict[str, list[float]]
    answers: dict[str, list[list[list[int]]]]


def race(line: Line, sides: list[Side], rounds: int, vocab_size: int) -> Race:
    """Alternate the sides; all see the same prompts in a round, and new ones in the next."""
    answers: dict[str, list[list[list[int]]]] = {side.who: [] for side in sides}

    def rate(side: Side) -> Callable[[], float]:
        def measure() -> float:
            draw = Random(f"{line.name} {len(answers[side.who])}")
            prompts = [
                draw.choices(range(vocab_size), k=line.prompt) for _ in range(line.sequences)
            ]
            done = side.ask(prompts, line.count)
            answers[side.who].append(done.ids)
            return line.units(done)

        return measure

    return Race(table.alternate({side.who: rate(side) for side in sides}, rounds), answers)


def equal_tokens(answers: dict[str, list[list[list[int]]]]) -> dict[str, str]:
    """How many of each peer's tokens are ours."""
    ids = {
        who: [id for sequences in rounds for each in sequences for id in each]
        for who, rounds in answers.items()
    }
    own = ids.pop("groundup")
    return {
        who: f"{sum(a == b for a, b in zip(own, other, strict=True))} of {len(own)}"
        for who, other in ids.items()
    }


def measure_size(
    size: str, model: Transformer, args: argparse.Namespace, folder: Path
) -> Iterator[Measured]:
    """Every line at all bits."""
    save(model, folder)
    for bits in args.bits:
        gguf = folder / f"{bits}.gguf"
        save_gguf(model, gguf, STORED[bits], {"tokenizer.ggml.model": "none"})
        work: Work = {
            "folder": str(folder), "gguf": str(gguf), "bits": bits, "threads": args.threads,
            "positions": POSITIONS,
        }  # fmt: skip
        sizes = {
            "groundup": NativeDecoder(model, 1, bits=bits).weights.bytes,
            "llama.cpp": gguf_bytes(gguf),
            "transformers": bits // 8 * product_weights(model.config),
        }
        peers = [who for who in args.peers if bits in PEERS[who] and has_products(who, bits)]
        sides = [Side("groundup", sys.executable, work)]
        sides += [Side(who, args.peer, work) for who in peers]
        for line in LINES.get(size, LINES["125M"]):
            rates, answers = race(line, sides, args.rounds, model.config.vocab_size)
            equal = equal_tokens(answers)
            yield Measured(line, size, model.config, bits, rates, equal, sizes)
        for side in sides:
            side.close()
        gguf.unlink()


def has_products(who: str, bits: int) -> bool:
    """Whether a peer is worth its time: without vector instructions for bfloat16 torch is not."""
    if who != "transformers" or bits != 16:
        return True
    speeds = device.measure_speeds()
    return speeds.bfloat16_flops > speeds.float32_flops / 4


def product_weights(config: ModelConfig) -> int:
    """Weights that a token is multiplied by: all but its embedding and the norms'."""
    count = count_parameters(config)
    head = count.embedding if config.tied_embeddings else 0
    return count.total - count.embedding - count.norms + head


def gguf_bytes(path: Path) -> int:
    """Bytes of a file's matrices but the embedding."""
    tensors = open_gguf(path).tensors
    matrices = {name: each.bytes for name, each in tensors.items() if len(each.shape) > 1}
    embedding = matrices.pop("token_embd.weight")
    return sum(matrices.values()) + (0 if "output.weight" in matrices else embedding)


def rows_of(measured: Measured, versions: dict[str, str]) -> list[table.Row]:
    """A row for each peer."""
    own = measured.rates["groundup"]
    return [
        table.compare(measured.work, "tokens/s", own, rates, table.Peer(who, versions[who]))
        for who, rates in measured.rates.items()
        if who != "groundup"
    ]


def shares(measured: Measured, speeds: device.Speeds) -> dict[str, str]:
    """Of the read bandwidth by a step's weights, or of the matrix peak: at 16 bits the higher."""
    line, config = measured.line, measured.config
    if line.phase == "prefill":  # logits are computed for the last token alone
        head = 2 * config.vocab_size * config.width
        hidden = mean_flops_per_token(config, line.prompt).inference - head
        needed = {who: hidden + head / line.prompt for who in measured.rates}
        limit = speeds.float32_flops
        if measured.bits == 16:
            limit = max(limit, speeds.bfloat16_flops)
    else:
        needed = {who: measured.weight_bytes[who] / line.sequences for who in measured.rates}
        limit = speeds.read_bytes_per_second
    return {
        who: f"{median(rates) * needed[who] / limit:.0%}" for who, rates in measured.rates.items()
    }


def notes_of(results: list[Measured], speeds: device.Speeds, threads: int) -> dict[str, Any]:
    """The machine's limits, and what each side took of them."""
    cache = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    peaks = {"float32": speeds.float32_flops, "bfloat16": speeds.bfloat16_flops}
    return {
        "threads": threads,
        "L3": cache.read_text().strip() if cache.is_file() else "unknown",
        "read bandwidth, GB/s": round(speeds.read_bytes_per_second / 1e9, 1),
        "matrix peak, GFLOP/s": {name: round(peak / 1e9) for name, peak in peaks.items()},
        "share of bandwidth or peak": {each.work: shares(each, speeds) for each in results},
        "bits a weight": {f"{each.size}, {each.bits} bits": weight_bits(each) for each in results},
        "tokens equal to ours": {each.work: each.equal for each in results},
    }


def weight_bits(measured: Measured) -> dict[str, float]:
    """Bits of a weight with its share of the scales, by side."""
    count = product_weights(measured.config)
    return {who: round(8 * measured.weight_bytes[who] / count, 2) for who in measured.rates}


def fastest(*speeds: device.Speeds) -> device.Speeds:
    """The machine's limits: the best of what was measured at several times."""
    return device.Speeds(
        max(each.float32_flops for each in speeds), max(each.bfloat16_flops for each in speeds),
        max(each.read_bytes_per_second for each in speeds),
    )  # fmt: skip


def measure_all(args: argparse.Namespace, versions: dict[str, str]) -> tuple[list[Any], Any]:
    """Rows and notes of all sizes."""
    speeds, results = device.measure_speeds(again=True), list[Measured]()
    models = {size: lambda size=size: Transformer(shape(size), seed=0) for size in args.sizes}
    models |= {path.name: lambda path=path: load_to_train(path) for path in args.models}
    for size, make in models.items():
        with tempfile.TemporaryDirectory() as folder:
            for measured in measure_size(size, make().eval(), args, Path(folder)):
                show_progress(measured)
                results.append(measured)
                speeds = fastest(speeds, device.measure_speeds(again=True))
    rows = [row for measured in results for row in rows_of(measured, versions)]
    return rows, notes_of(results, speeds, args.threads)


def show_progress(measured: Measured) -> None:
    """Print a line's medians."""
    speeds = ", ".join(f"{who} {median(rates):.1f}" for who, rates in measured.rates.items())
    print(f"{measured.work}: {speeds} tokens/s", flush=True)


def versions_of(python: str, peers: list[str]) -> dict[str, str]:
    """Versions of the peers; SystemExit with one line if they are not there."""
    names = [PACKAGES[who] for who in peers]
    words = ", ".join(f"version({name!r})" for name in names)
    ask = f"from importlib.metadata import version; print({words})"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            f"decode.py: no {' and '.join(names)} at {python}; "
            "`make bench-decode` makes an environment with them, or give --peer."
        ) from None
    return dict(zip(peers, done.stdout.split(), strict=True))


def keep(rows: list[table.Row], notes: dict[str, Any]) -> None:
    """Write results/decode.json; this machine's rows and notes of other works stay."""
    works, machine = {row.work for row in rows}, rows[0].machine
    path = table.RESULTS / "decode.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        others = [table.Row(**row) for row in kept["rows"] if row["work"] not in works]
        rows += [row for row in others if row.machine == machine]  # report keeps other machines'
        for name, values in kept["notes"].get(machine, {}).items():
            is_by_work = isinstance(values, dict) and isinstance(notes.get(name, {}), dict)
            notes[name] = values | notes.get(name, {}) if is_by_work else notes.get(name, values)
    table.report("decode", rows, {machine: notes})


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    oracles = Path(os.environ.get("ORACLES", ".oracles")).absolute()
    parser.add_argument("--peer", default=str(oracles / "decode" / "bin" / "python"),
                        help="a Python with llama-cpp-python and transformers")  # fmt: skip
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="*", type=Path, default=[],
                        help="directories of decoders to measure as well")  # fmt: skip
    parser.add_argument("--bits", nargs="+", type=int, choices=STORED, default=list(STORED))
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides alternate")
    parser.add_argument("--threads", type=int, default=device.available_cores())
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "house-14m",
                        help="a trained model, for drafts")  # fmt: skip
    parser.add_argument("--discard", action="store_true", help="print only, keep nothing")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    args = parse()
    versions = versions_of(args.peer, args.peers)
    device.set_num_threads(args.threads)
    rows, notes = measure_all(args, versions)
    lever_rows, lever_notes = prefix_sharing(shape("125M"), args.rounds) if args.sizes else ([], {})
    rows, notes = rows + lever_rows, notes | lever_notes
    if args.sizes and (args.model / "model.safetensors").is_file():
        lever_rows, lever_notes = speculation(shape("125M"), args.model, args.rounds)
        rows, notes = rows + lever_rows, notes | lever_notes
    elif args.sizes:
        print(f"decode.py: drafts are left out: no trained model at {args.model}")
    if args.discard:
        table.show("decode", rows, notes)
    else:
        keep(rows, notes)


if __name__ == "__main__":
    main()
