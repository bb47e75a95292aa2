"""MinHash held against its theory, against exact similarities of real pages, and beside peers.

    python -m benchmarks.corpus.dedup planted                      recall at J = .7, .8, .9
    python -m benchmarks.corpus.dedup prepare PAGES SHARDS         a folder's HTML files as shards
    python -m benchmarks.corpus.dedup exact SHARDS                 decisions beside all exact pairs
    python -m benchmarks.corpus.dedup speed SHARDS --oracle PY     documents/s beside peers
    python -m benchmarks.corpus.dedup memory SHARDS                peak memory by number of records
    python -m benchmarks.corpus.dedup stage                        `groundup corpus` on the library

Pages are chosen and dealt out by a hash of their path, so the same folder gives the same shards.
Every process here has one thread. The peers are datasketch and rensa in the environment of
`--oracle`, and datatrove in that of `--datatrove`; without them their rows are missing.
"""

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from groundup.core import DataError, digest
from groundup.corpus.dedup.exact import resolve_stars
from groundup.corpus.dedup.minhash import (
    MinHashConfig,
    MinHashDedup,
    _describe_minhash,
    band_keys,
    candidate_probability,
)
from groundup.corpus.dedup.sketch import (
    fold_table,
    intersection_sizes,
    minhash_signatures,
    pack_strings,
    shingle_sets,
)
from groundup.corpus.dedup.storage import number_records, read_shard_texts
from groundup.corpus.engine.shards import read_step_results
from groundup.documents import Record, read_bytes, record_id, record_schema, to_batch
from groundup.measure import wilson_interval

SHARD_RECORDS = 2_500

DATASKETCH = """
import json, re, sys, time
from datasketch import MinHash, MinHashLSH
texts = [json.loads(line) for line in open(sys.argv[1])]
start = time.perf_counter()
index = MinHashLSH(params=(14, 8), num_perm=112)
for number, text in enumerate(texts):
    words = re.findall(r"\\w+", text.lower())
    made = MinHash(num_perm=112)
    made.update_batch({" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)})
    index.query(made); index.insert(number, made)
print(len(texts) / (time.perf_counter() - start))
"""
RENSA = """
import json, re, sys, time
from rensa import RMinHash, RMinHashLSH
texts = [json.loads(line) for line in open(sys.argv[1])]
start = time.perf_counter()
index = RMinHashLSH(threshold=0.7, num_perm=112, num_bands=14)
for number, text in enumerate(texts):
    words = re.findall(r"\\w+", text.lower())
    made = RMinHash(num_perm=112, seed=1)
    made.update([" ".join(words[i : i + 5]) for i in range(len(words) - 4)])
    index.query(made); index.insert(number, made)
print(len(texts) / (time.perf_counter() - start))
"""
DATATROVE = """
import json, sys, time
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
texts = [json.loads(line) for line in open(sys.argv[1])]
step = MinhashDedupSignature("/tmp/unused", MinhashConfig(num_buckets=14, hashes_per_bucket=8))
step.get_shingles(texts[0])
start = time.perf_counter()
for text in texts:
    shingles = step.get_shingles(text)
    if shingles.size:
        step.get_signature(shingles)
print(len(texts) / (time.perf_counter() - start))
"""


def each(task, items):
    """Calls here, one after the other."""
    return [task(item) for item in items]


def planted(arguments: argparse.Namespace) -> None:
    """Pairs of texts of an exact similarity: the share that is found, and its interval."""
    config = MinHashConfig(ngram=1, fold_digits=False)
    table, count, size = fold_table(True, False), arguments.pairs, 200
    print(_describe_minhash(config))
    for similarity in (0.7, 0.8, 0.9):
        changes = round(size * (1 - similarity) / (1 + similarity))
        exact, chance = (size - changes) / (size + changes), random.Random(arguments.seed)
        texts = []
        for number in range(count):
            own = [f"{number}x{n}" for n in range(size + changes)]
            chance.shuffle(own)
            texts += [" ".join(own[:size]), " ".join(own[changes:])]
        keys = band_keys(
            minhash_signatures(pack_strings(texts), table, 1, 112, config.seed).minima, 14
        )
        hits = int((keys[::2] == keys[1::2]).any(1).sum())
        _, low, high, *_ = wilson_interval(hits, count)
        theory = candidate_probability(exact, 14, 8)
        print(
            f"J={exact:.4f}  found {hits / count:.4f} [{low:.4f}, {high:.4f}] of {count:,}  "
            f"theory {theory:.4f}  {'holds' if low <= theory <= high else 'DOES NOT HOLD'}"
        )


def prepare(arguments: argparse.Namespace) -> None:
    """Read HTML files with the package's own reader and write them as shards."""
    root, out = arguments.pages, arguments.shards
    files = [p for p in root.rglob("*.html") if p.is_file() and not p.is_symlink()]

    def place(path: Path) -> str:
        return hashlib.sha256(path.relative_to(root).as_posix().encode()).hexdigest()

    records, number = [], 0
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(files, key=place):
        if number == arguments.count:
            break
        name = path.relative_to(root).as_posix()
        try:
            text = read_bytes(path.read_bytes()[:1_000_000], name).text
        except DataError:
            continue  # another charset; the steps that make text of pages are not what is measured
        if len(text) < 200:
            continue
        number += 1
        source = name.split("/")[0]
        records.append(Record(record_id(source, name), source, name, "html", text))
        if len(records) == SHARD_RECORDS or number == arguments.count:
            batch = to_batch(records).set_column(5, "map", pyarrow.array([[]] * len(records)))
            table = pyarrow.Table.from_batches([batch]).cast(record_schema())
            parquet.write_table(table, out / f"part-{number:06}.parquet", row_group_size=500)
            records = []
    print(f"{number:,} pages of {len({p.relative_to(root).parts[0] for p in files})} packages")


def exact_pairs(items: list[np.ndarray], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of sets of at least this Jaccard similarity, by the prefix filter.

    With shingles in order of frequency, two sets that alike share one of their first n - ⌈t·n⌉ + 1.
    Source: Chaudhuri et al. 2006; Bayardo et al. 2007.
    """
    sizes = np.array([len(one) for one in items])
    every, inverse, counts = np.unique(
        np.concatenate(items), return_inverse=True, return_counts=True
    )
    rank = np.empty(len(every), np.int64)
    rank[np.lexsort((every, counts))] = np.arange(len(every))
    rows = np.split(rank[inverse], np.cumsum(sizes)[:-1])
    tokens, owners = [], []
    for number, row in enumerate(rows):
        first = len(row) - int(np.ceil(threshold * len(row) - 1e-9)) + 1 if len(row) else 0
        tokens.append(np.sort(row)[:first])
        owners.append(np.full(first, number))
    token, owner = np.concatenate(tokens), np.concatenate(owners)
    order = np.lexsort((sizes[owner], token))
    token, owner = token[order], owner[order]
    edges = np.flatnonzero(np.diff(token, prepend=-1))
    found, waiting = np.zeros(0, np.uint64), []
    for low, high in zip(edges, [*edges[1:], len(token)], strict=True):
        group = owner[low:high]
        if len(group) < 2:
            continue
        a, b = np.triu_indices(len(group), 1)
        near = sizes[group[a]] >= threshold * sizes[group[b]] - 1e-9
        x, y = group[a[near]], group[b[near]]
        waiting.append(
            np.minimum(x, y).astype(np.uint64) << np.uint64(32) | np.maximum(x, y).astype(np.uint64)
        )
        if sum(map(len, waiting)) > 20_000_000:
            found, waiting = np.unique(np.concatenate([found, *waiting])), []
    found = np.unique(np.concatenate([found, *waiting]))
    pairs = np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)
    common = intersection_sizes(items, pairs)
    values = common / (sizes[pairs].sum(1) - common)
    return pairs[values >= threshold], values[values >= threshold]


def exact(arguments: argparse.Namespace) -> None:
    """Decisions of dedup.minhash beside those that all exact pairs would give."""
    config = MinHashConfig(threshold=arguments.threshold)
    shards = sorted(arguments.shards.glob("*.parquet"))
    table = fold_table(True, config.fold_digits)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        start = time.perf_counter()
        rulings = {}
        for path in MinHashDedup(config).rulings(shards, each, scratch / "minhash"):
            rulings |= read_step_results(path)
        seconds = time.perf_counter() - start
        report = json.loads((scratch / "minhash" / "report.json").read_text())
        order = number_records(shards, each, scratch / "order", config.priority)
        items, keys = [None] * len(order.ids), np.zeros((len(order.ids), 14), np.uint64)
        for shard, numbers in zip(shards, order.numbers, strict=True):
            for known, texts in read_shard_texts(shard, numbers):
                made = shingle_sets(texts, table, config.ngram)
                own = np.split(made.items, made.bounds[1:-1])
                bands = band_keys(
                    minhash_signatures(texts, table, config.ngram, 112, config.seed).minima, 14
                )
                for number, one, band in zip(known.tolist(), own, bands, strict=True):
                    items[number], keys[number] = one, band
    pairs, values = exact_pairs(items, arguments.threshold)
    wanted = resolve_stars(pairs, values)
    made = np.array(
        [bool(order.id(n) in rulings and rulings[order.id(n)].reason) for n in range(len(items))]
    )
    true = np.isin(np.arange(len(items)), list(wanted.kept))
    print(f"{len(items):,} records in {seconds:.1f} s; {report['candidates']:,} candidates, "
          f"{report['alike']:,} alike, {report['capped_buckets']} capped buckets")  # fmt: skip
    print(f"exact pairs {len(pairs):,}; dropped exactly {true.sum():,}, by MinHash {made.sum():,}")
    _, low, high, *_ = wilson_interval(int((made == true).sum()), len(true))
    print(f"equal decisions {(made == true).mean():.4f} [{low:.4f}, {high:.4f}]")
    both = (made & true).sum()
    print(f"of the exact drops {both / true.sum():.4f} were found")
    print(f"of MinHash's drops {both / made.sum():.4f} are exact ones")
    hit = np.zeros(len(pairs), bool)
    for at in range(0, len(pairs), 1_000_000):
        part = pairs[at : at + 1_000_000]
        hit[at : at + len(part)] = (keys[part[:, 0]] == keys[part[:, 1]]).any(1)
    for edge in np.arange(arguments.threshold, 1.0, 0.05):
        inside = (values >= edge) & (values < edge + 0.05)
        if inside.any():
            theory = np.mean([candidate_probability(j, 14, 8) for j in values[inside]])
            print(
                f"J {edge:.2f}-{edge + 0.05:.2f}: {inside.sum():,} pairs, in a bucket "
                f"{hit[inside].mean():.4f}, theory {theory:.4f}"
            )


def speed(arguments: argparse.Namespace) -> None:
    """Documents a second, alternating: the whole survey, signatures alone, and peers."""
    shards = sorted(arguments.shards.glob("*.parquet"))[: arguments.limit]
    with tempfile.TemporaryDirectory() as folder:
        file, count = Path(folder) / "texts.jsonl", 0
        with open(file, "w", encoding="utf-8") as out:
            for shard in shards:
                for text in parquet.read_table(shard, columns=["text"])["text"].to_pylist():
                    out.write(json.dumps(text) + "\n")
                    count += 1
        peers = {"datasketch": (arguments.oracle, DATASKETCH), "rensa": (arguments.oracle, RENSA),
                 "datatrove, signatures": (arguments.datatrove, DATATROVE)}  # fmt: skip
        for turn in range(arguments.rounds):
            start = time.perf_counter()
            MinHashDedup(MinHashConfig()).rulings(shards, each, Path(folder) / f"scratch{turn}")
            print(
                f"groundup, whole survey: {count / (time.perf_counter() - start):,.0f} documents/s"
            )
            start = time.perf_counter()
            for shard in shards:
                texts = parquet.read_table(shard, columns=["text"])["text"].to_pylist()
                minhash_signatures(pack_strings(texts), fold_table(), 5, 112)
            print(f"groundup, signatures: {count / (time.perf_counter() - start):,.0f} documents/s")
            for name, (python, code) in peers.items():
                if python:
                    made = subprocess.run(
                        [python, "-c", code, str(file)], capture_output=True, text=True
                    )
                    told = made.stdout.strip() or made.stderr.strip().splitlines()[-1]
                    print(f"{name}: {told} documents/s")


def memory(arguments: argparse.Namespace) -> None:
    """Peak memory of processes that survey a quarter of the shards, a half, and all."""
    shards = sorted(arguments.shards.glob("*.parquet"))
    if arguments.take:
        with tempfile.TemporaryDirectory() as folder:
            config = MinHashConfig(memory_bytes=16 * 2**20)
            MinHashDedup(config).rulings(shards[: arguments.take], each, Path(folder))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    for take in sorted({max(1, len(shards) // part) for part in (4, 2, 1)}):
        command = [sys.executable, "-m", "benchmarks.corpus.dedup", "memory"]
        command += [str(arguments.shards), "--take", str(take)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"{take} of {len(shards)} shards: {made.stdout.strip()} MiB")


def stage(_: argparse.Namespace) -> None:
    """What `groundup corpus` does about duplicates of Python's library, compiled and in numpy."""
    from groundup.corpus.dedup import sketch
    from groundup.corpus.prepare.folder import (
        _remove_exact,
        _remove_near_duplicates,
        _split_documents,
    )
    from groundup.documents import Record
    from groundup.recipes.library import _read_library
    from groundup.recipes.tiny import CORPUS

    documents = [one for one in _read_library() if isinstance(one, Record)]
    documents.sort(key=lambda document: document.path)
    size = sum(len(one.text.encode()) for one in documents)
    print(f"{len(documents)} documents, {size / 1e6:.1f} MB")
    for name, way in (("compiled", sketch._sketch_library), ("numpy", lambda: None)):
        sketch._sketch_library = way
        for _ in range(3):
            start = time.process_time()
            kept, copies = _remove_exact(documents)
            splits = _split_documents(kept, CORPUS)
            removed = copies | _remove_near_duplicates(splits, CORPUS)
            seconds = time.process_time() - start
            paths = [[d.path for d in own if d.id not in removed] for own in splits.values()]
            said = digest([paths, {id: result[:3] for id, result in removed.items()}])
            print(f"{name}: {seconds:.2f} s of CPU, decisions {said[:12]}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    for function in (planted, prepare, exact, speed, memory, stage):
        verb = verbs.add_parser(function.__name__)
        verb.set_defaults(function=function)
        if function is prepare:
            verb.add_argument("pages", type=Path)
            verb.add_argument("--count", type=int, default=20_000)
        if function not in (planted, stage):
            verb.add_argument("shards", type=Path)
        verb.add_argument("--pairs", type=int, default=5_000)
        verb.add_argument("--seed", type=int, default=0)
        verb.add_argument("--threshold", type=float, default=0.7)
        verb.add_argument("--limit", type=int, default=2)
        verb.add_argument("--rounds", type=int, default=3)
        verb.add_argument("--take", type=int, default=0)
        verb.add_argument("--oracle", default="")
        verb.add_argument("--datatrove", default="")
    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()
