"""Trains static vectors contrastively, on the pairs of documents that `sealed.py` does not ask.

    vector of a text = mean of its tokens' vectors        loss = InfoNCE over a batch's passages

The table starts random, a token's vector as long as the token is rare, so that before training a
cosine is about that of tf-idf. No model runs: a step of 512 pairs takes .1 to .4 s of a core.

    python -m benchmarks.retrieve.sealed_static FOLDER --tokenizer DIR --out OUT --width 768

Writes OUT/untrained and OUT/trained, directories of Sentence Transformers' StaticEmbedding that
`groundup index --encoder` opens, and prints what both find of held-out pairs, by which the settings
were chosen.
Source: van den Oord et al. 2018, arXiv:1807.03748; Aarsen 2025, "Train 400x faster static embedding
models with Sentence Transformers" (huggingface.co/blog/static-embeddings).
"""

import argparse
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.retrieve.sealed import read_pairs, vectors_of
from groundup.core import write_json
from groundup.retrieve.encoders.pairs import TextPair
from groundup.retrieve.encoders.rankings import collect_passages, held_out_search, rank_by_vectors
from groundup.tokenizer import load_tokenizer

BATCH, TEMPERATURE, WARM_UP, MIN_WEIGHT = 512, 0.05, 20, 0.02
Encode = Callable[[str], Sequence[int]]


def embed(table: Tensor, texts: Sequence[np.ndarray]) -> Float[Tensor, "B D"]:
    """Unit vectors of texts, given by their ids."""
    starts = np.cumsum([0, *map(len, texts[:-1])])
    ids = torch.from_numpy(np.concatenate(texts))
    return F.normalize(F.embedding_bag(ids, table, torch.from_numpy(starts)), dim=-1)


def initial_table(passages: Sequence[np.ndarray], size: int, width: int) -> Float[Tensor, "V D"]:
    """Random vectors, a token's as long as its inverse document frequency."""
    having = np.zeros(size)
    for ids in passages:
        having[np.unique(ids)] += 1
    rarity = np.log((len(passages) + 1) / (having + 1)).clip(MIN_WEIGHT)
    drawn = torch.randn(size, width, generator=torch.Generator().manual_seed(0))
    return drawn * torch.from_numpy(rarity).float()[:, None] / width**0.5


def batches(count: int, epochs: float) -> Iterator[list[int]]:
    """Yield the pairs of each step, all once an epoch in a random order."""
    drawn, order = random.Random(0), list[int]()
    for _ in range(round(epochs * count / BATCH)):
        if len(order) < BATCH:
            order = drawn.sample(range(count), count)
        yield order[:BATCH]
        order = order[BATCH:]


def train_table(
    pairs: Sequence[TextPair], encode: Encode, table: Tensor, epochs: float, rate: float
) -> None:
    """Train a table in place; a passage of a query's own document is no negative of it."""
    passages = collect_passages(pairs)
    texts = [np.array(encode(text), np.int64) for text in passages.texts]
    queries = [np.array(encode(pair.query), np.int64) for pair in pairs]
    names = {name: number for number, name in enumerate(dict.fromkeys(passages.documents))}
    documents = torch.tensor([names[pair.document] for pair in pairs])
    steps = list(batches(len(pairs), epochs))
    optimizer = torch.optim.Adam([table.requires_grad_()], betas=(0.9, 0.95))
    for step, chosen in enumerate(steps):
        left = (len(steps) - step) / len(steps)
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / WARM_UP, left)
        vectors = embed(table, [queries[i] for i in chosen])
        others = embed(table, [texts[passages.own[i]] for i in chosen])
        is_other = documents[chosen][:, None] == documents[chosen]
        is_other.fill_diagonal_(False)
        logits = (vectors @ others.mT / TEMPERATURE).masked_fill(is_other, float("-inf"))
        loss = F.cross_entropy(logits, torch.arange(len(chosen)))
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} of {len(steps)}, loss {float(loss.detach()):.3f}", flush=True)


def write_static(table: Tensor, tokenizer: Path, out: Path) -> None:
    """Write a table and its tokenizer as a directory of Sentence Transformers."""
    out.mkdir(parents=True)
    shutil.copyfile(tokenizer / "tokenizer.json", out / "tokenizer.json")
    save_file({"embedding.weight": table.detach()}, out / "model.safetensors")
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models."}
    write_json(out / "modules.json", [module | {"type": module["type"] + "StaticEmbedding"}])


def main() -> None:
    """Train, write, and print what is found of held-out pairs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.01, help="peak learning rate")
    parser.add_argument("--without", default="", help="a kind of pairs, such as question")
    given = parser.parse_args()
    split, tokenizer = read_pairs(given.folder), load_tokenizer(given.tokenizer)
    split = split._replace(train=[p for p in split.train if p.kind != given.without])
    started, encode = time.process_time(), tokenizer.encode
    texts = [np.array(encode(t), np.int64) for t in collect_passages(split.train).texts]
    table = initial_table(texts, tokenizer.vocab_size, given.width)
    write_static(table, given.tokenizer, given.out / "untrained")
    train_table(split.train, encode, table, given.epochs, given.rate)
    write_static(table, given.tokenizer, given.out / "trained")
    print(f"{time.process_time() - started:.0f} s of a core")
    searched = held_out_search(split)
    for name in ("untrained", "trained"):
        at = given.out / name
        rows = [vectors_of(at, "pairs", at, each) for each in (searched.queries, searched.texts)]
        print(name, searched.scores(rank_by_vectors(rows[0], rows[1])))


if __name__ == "__main__":
    main()
