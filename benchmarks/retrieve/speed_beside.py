"""Search of vectors beside LanceDB and llama-index, and encoding beside transformers.

Vectors are unit rows of a file (`sealed.py search` keeps those of passages), 100,000 of them beyond
the real ones, and questions are such rows, a little turned. Each side is a process with one thread,
which computes while the other waits. LanceDB's candidates are the fewest with which its recall@10
is not below ours by more than .005.

    python -m venv .oracles/search && .oracles/search/bin/pip install -r tests/oracles/search.txt
    python -m benchmarks.retrieve.speed_beside VECTORS.npy ENCODER --peer .oracles/search/bin/python

Results: results/speed_beside.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import torch

from benchmarks import table
from benchmarks.retrieve.vectors import exact_rows, keys_of, open_on, perturbed, places, share
from groundup.model import TextEncoder
from groundup.retrieve.encoders.quantized import QuantizedVectors, quantize_vectors
from groundup.retrieve.encoders.vectors import KEY_BYTES, RunVectors, int8_codes
from groundup.retrieve.models import load_text_encoder
from groundup.train import resolve_precision

ONE_THREAD = {"OMP_NUM_THREADS": "1", "LANCE_CPU_THREADS": "1", "RAYON_NUM_THREADS": "1",
              "TOKIO_WORKER_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
MANY, QUESTIONS, TIMED, SLOW, BEST, TURN = 100_000, 100, 40, 2, 10, 0.02
CANDIDATES, SLACK = (20, 50, 100, 200, 400, 800), 0.005
TEXTS, MILLION, WIDE = 96, 10**6, 256
PEER = """
import json, shutil, sys, tempfile, time
import numpy as np
folder, kinds = tempfile.mkdtemp(), {}

def lance(rows, graph):
    import lancedb, pyarrow as pa
    names = pa.array(range(len(rows)))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    name = f"rows{len(rows)}{graph}"
    table = lancedb.connect(folder).create_table(
        name, pa.table({"id": names, "vector": flat}), mode="overwrite")
    if graph:
        table.create_index(metric="cosine", vector_column_name="vector", num_partitions=1,
                           index_type="IVF_HNSW_SQ", m=16, ef_construction=128)
    def ask(vector, candidates):
        search = table.search(vector).distance_type("cosine").limit(10).select(["id"])
        if graph:
            search = search.nprobes(1).ef(candidates).refine_factor(max(1, candidates // 20))
        return search.to_arrow()["id"].to_pylist()
    return ask

def llama(rows, graph):
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery
    store = SimpleVectorStore()
    store.add([TextNode(id_=str(i), text="", embedding=row.tolist()) for i, row in enumerate(rows)])
    def ask(vector, candidates):
        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=10)
        return [int(i) for i in store.query(query).ids]
    return ask

def encoder(path, dtype):
    import torch
    from transformers import AutoModel, AutoTokenizer
    torch.set_num_threads(1)
    tokens = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    def embed(texts):
        low = torch.autocast("cpu", torch.bfloat16, dtype != "float32")
        with torch.inference_mode(), low:
            for at in range(0, len(texts), 32):
                batch = tokens(texts[at:at + 32], padding=True, truncation=True, max_length=256,
                               return_tensors="pt")
                states = model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1)
                mean = (states * mask).sum(1) / mask.sum(1)
                torch.nn.functional.normalize(mean.float(), dim=1).numpy()
    return embed

for line in sys.stdin:
    work = json.loads(line)
    started = time.perf_counter()
    if work["do"] == "build":
        rows, asked = np.load(work["rows"]), np.load(work["asked"])
        started = time.perf_counter()
        kinds[work["kind"]] = {"lance": lance, "llama": llama}[work["maker"]](rows, work["graph"])
    elif work["do"] == "ask":
        found = [kinds[work["kind"]](v, work["candidates"]) for v in asked[:work["count"]]]
        print(json.dumps([time.perf_counter() - started, found]), flush=True)
        continue
    elif work["do"] == "open":
        kinds["encoder"] = encoder(work["path"], work["dtype"])
    elif work["do"] == "embed":
        kinds["encoder"](work["texts"])
    print(json.dumps([time.perf_counter() - started, None]), flush=True)
shutil.rmtree(folder)
"""


class PeerProcess:
    """A process of the peers' environment, which answers one line at a time."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **ONE_THREAD},
        )  # fmt: skip

    def __call__(self, **work: Any) -> tuple[float, Any]:
        """Seconds, and what was found."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps(work), file=self.process.stdin, flush=True)
        seconds, found = json.loads(self.process.stdout.readline())
        return seconds, found


def main() -> None:
    """Measure both, and keep the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("vectors", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--peer", required=True)
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execvpe(sys.executable, [sys.executable, "-m", "benchmarks.retrieve.speed_beside",
                   *sys.argv[1:]], {**os.environ, **ONE_THREAD})  # fmt: skip
    peer, notes = PeerProcess(given.peer), dict[str, Any]()
    real = np.load(given.vectors).astype(np.float32)
    rows = encoding(peer, given.encoder)
    for wide in (real, perturbed(real, MANY)):
        rows += searching(peer, wide, notes)
    table.report("speed_beside", rows, notes)


def searching(peer: PeerProcess, wide: np.ndarray, notes: dict[str, Any]) -> list[table.Row]:
    """Questions a second and seconds to build, of some vectors and of many."""
    drawn, is_large = np.random.default_rng(1), len(wide) >= MANY
    asked = wide[drawn.choice(len(wide), QUESTIONS, replace=False)]
    asked = asked + TURN * drawn.standard_normal(asked.shape).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    matrix, keys = wide.astype(np.float16), keys_of(wide.astype(np.float16))

    opened: list[RunVectors] = []

    def build() -> float:
        started = time.perf_counter()
        rows = np.fromiter(keys.values(), int)
        quantized = quantize_vectors(matrix, rows) if is_large else None
        codes, steps = (None, None) if is_large else int8_codes(matrix)
        seconds = time.perf_counter() - started
        opened[:] = [open_on(matrix, codes, steps, quantized)]
        return seconds

    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder) / f"{name}.npy") for name in ("rows", "asked")}
        np.save(files["rows"], wide)
        np.save(files["asked"], asked.astype(np.float32))
        work = {"do": "build", "maker": "lance", "graph": is_large, "kind": "lance", **files}
        builds = {"ours": build, "LanceDB": lambda: peer(**work)[0]}
        built = table.alternate(builds, rounds=2, warm_up=0)
        if not is_large:
            peer(**work | {"maker": "llama", "kind": "llama"})
    index, exact = opened[0], exact_rows(wide, asked)
    ours = share(np.array([places(index, each) for each in asked]), exact)
    for candidates in CANDIDATES:
        found = peer(do="ask", kind="lance", candidates=candidates, count=QUESTIONS)[1]
        theirs = share(np.array(found), exact)
        if theirs >= ours - SLACK:
            break
    notes[f"{len(wide):,}"] = {"recall@10": ours, "LanceDB's": theirs, "candidates": candidates}
    if index.quantized:
        notes[f"bytes for {MILLION:,} vectors {WIDE} wide"] = bytes_for_a_million(index.quantized)

    def rate_of(kind: str, count: int) -> Callable[[], float]:
        return lambda: count / peer(do="ask", kind=kind, candidates=candidates, count=count)[0]

    def own() -> float:
        return TIMED / seconds_of(lambda: [places(index, each) for each in asked[:TIMED]])[1]

    sides, versions = {"ours": own, "LanceDB": rate_of("lance", TIMED)}, {"LanceDB": "0.40"}
    if not is_large:  # it has none, and a list of Python for each vector
        sides["llama-index"] = rate_of("llama", SLOW)
        versions["llama-index"] = "0.14, SimpleVectorStore"
    speeds, name = table.alternate(sides, rounds=5), f"{len(wide):,} vectors of {wide.shape[1]}"
    return [
        *(table.compare(f"search, {name}", "questions/s", speeds["ours"], speeds[each],
                        table.Peer(each, versions[each])) for each in versions),
        table.compare(f"building, {name}", "s", built["ours"], built["LanceDB"],
                      table.Peer("LanceDB", versions["LanceDB"]), less_is_better=True),
    ]  # fmt: skip


def seconds_of(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and its seconds."""
    started = time.perf_counter()
    return make(), time.perf_counter() - started


def encoding(peer: PeerProcess, path: Path) -> list[table.Row]:
    """Texts a second in float32 and in bfloat16, of lengths like those of passages."""
    drawn, rows = np.random.default_rng(0), []
    words = (Path(__file__).read_text() + (__doc__ or "")).split()
    texts = [" ".join(drawn.choice(words, size)) for size in sorted(drawn.integers(5, 60, TEXTS))]
    ours = load_text_encoder(path, torch.float32)
    ours.prompt, ours.max_tokens = "", 254
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    for dtype in dtypes:
        peer(do="open", path=str(path), dtype=dtype)
        own = partial(embed, ours, texts, dtype)
        speeds = table.alternate({
            "ours": partial(rate, lambda own=own: seconds_of(own)[1]),
            "transformers": partial(rate, lambda: peer(do="embed", texts=texts)[0]),
        })  # fmt: skip
        peers, named = speeds["transformers"], table.Peer("transformers", "5")
        work = f"encoding, MiniLM, {dtype}"
        rows.append(table.compare(work, "texts/s", speeds["ours"], peers, named))
    return rows


def rate(seconds: Callable[[], float]) -> float:
    """Texts a second."""
    return TEXTS / seconds()


def embed(
    encoder: TextEncoder, texts: list[str], dtype: Literal["float32", "bfloat16"]
) -> np.ndarray:
    """Vectors of texts, as `groundup index` computes them, in one precision."""
    precision = resolve_precision(dtype, torch.device("cpu"))
    with precision.autocast("cpu"):
        return encoder.embed(texts)


def bytes_for_a_million(quantized: QuantizedVectors) -> dict[str, int]:
    """Of what a snapshot keeps of vectors: float16 and hashes; with int8; with 4 bits instead."""
    index, plain = quantized.index, 2 * WIDE + KEY_BYTES
    codes = faiss.serialize_index(index).nbytes / index.ntotal * WIDE / index.d
    sizes = {"float16": plain, "and int8": plain + WIDE, "and 4 bits": plain + codes}
    return {name: round(size * MILLION) for name, size in sizes.items()}


if __name__ == "__main__":
    main()
