"""Answers and retrieval on a sealed test set, of documentation that nothing here learns from.

`sealed_set.py` makes FOLDER: documents, a corpus and its test set. An encoder trains on the
documents that are not asked, without the questions of one rule, `condition`.

    python -m benchmarks.retrieve.sealed train FOLDER --encoder NAME=BASE [KEY=VALUE...]
    groundup index FOLDER/documents --out FOLDER/index --encoder MINILM --reader READER
    python -m benchmarks.retrieve.sealed ask FOLDER [--index FOLDER/index]
    python -m benchmarks.retrieve.sealed weigh FOLDER --encoder NAME=DIR
    python -m benchmarks.retrieve.sealed search FOLDER --encoder MiniLM=DIR --encoder trained=DIR
        [--reranker MODULE:FUNCTION=DIR] [--peer PYTHON]

`train` writes FOLDER/NAME, of `--pairs` pairs. The last encoder of `search` is fused with BM25 by
reciprocal ranks ("hybrid"), and each by a sum of scores ("sum"), whose weight is the best that
`weigh` finds for questions about other documents. `--reranker` names a function that opens DIR and
returns a function from a question and passages to scores. `--peer` is a Python that has pytrec_eval
(tests/oracles/measures.txt). Results: results/sealed.json.

Thresholds, in nDCG@10: an encoder of our own, after training, is not below MiniLM; the best way
closes at least 30 % of BM25's distance to 1. An encoder of our own never saw the test documents:

    groundup tokenizer --corpus FOLDER/corpus --out FOLDER/tokenizer --set vocab_size=8192
        --set 'specials=["<|endoftext|>","encoder"]'
    groundup tokens --corpus FOLDER/corpus --tokenizer FOLDER/tokenizer --out FOLDER/tokens
        --set 'splits=["train","validation"]'
    groundup pretrain --tokens FOLDER/tokens --tokenizer FOLDER/tokenizer --out FOLDER/masked
        --set preset=modernbert-tiny --set layers=2 --set tokens=800000 --set batch_tokens=4096
        --set length=256 --set context_length=256 --set long_share=0
    python -m benchmarks.retrieve.sealed train FOLDER --encoder once=FOLDER/masked --pairs 4000
        negatives=0 max_tokens=192 optim.learning_rate=1e-3 optim.embedding_learning_rate=2e-3
    the same with --encoder own=FOLDER/once --pairs 12000
    python -m benchmarks.retrieve.sealed_static ... with another tokenizer, of vocab_size=32768
"""

import argparse
import importlib
import json
import random
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks import table
from benchmarks.retrieve.sealed_set import cell_samples, rule_samples, samples_of
from benchmarks.retrieve.strangers import Shown, is_right
from groundup.core import Artifact, Passage, Sample, load_config, write_json
from groundup.corpus import DocumentCollection, near_duplicates, question_candidates, read_split
from groundup.corpus.questions.rules import RULES
from groundup.embeddings import VectorsConfig, Word2VecConfig, load_vectors, train_vectors
from groundup.measure import bootstrap, ranking, wilson_interval
from groundup.retrieve import LexicalIndex, answer_question, chunk_document, open_index
from groundup.retrieve.encoders import pairs, train
from groundup.retrieve.encoders.rankings import (
    CANDIDATES,
    HeldOutSearch,
    Ranking,
    fuse_rankings,
    rank_by_vectors,
    rank_by_words,
)
from groundup.retrieve.encoders.vectors import embed_blocks, unit_rows
from groundup.retrieve.models import load_text_encoder

HELD_OUT, BEST, RERANKED = "condition", 10, 50
GROUPS = {"cell": "cells", "condition": "held out", "other": "other words", "near": "near misses"}
"""Kinds of questions that are reported alone; the others are those of rules."""
PAIRS, MEASURED = 1_000, 200
"""Drawn to train on, and to measure on."""
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5)
"""Of an encoder's scores beside those of words, both divided by the best of their ranking."""
MEASURES = {
    "nDCG@10": (ranking.ndcg(BEST), "ndcg_cut_10"), "recall@1": (ranking.recall(1), "recall_1"),
    "recall@10": (ranking.recall(BEST), "recall_10"), "MRR": (ranking.mrr(), "recip_rank"),
}  # fmt: skip
"""And what trec_eval calls them."""
CLOSED = 0.3
"""Share of BM25's distance to nDCG@10 = 1 that the best way should close."""
COPY = 0.8
"""Jaccard similarity of 5-grams of words from which a passage says what another one says."""
WORD = re.compile(r"[^\W\d_]+")
PEER = """
import json, sys, pytrec_eval
runs, grades = json.load(sys.stdin)
judge = pytrec_eval.RelevanceEvaluator(grades, {"ndcg_cut.10", "recall.1,10", "recip_rank"})
print(json.dumps({name: judge.evaluate(run) for name, run in runs.items()}))
"""


class Pool(NamedTuple):
    """What is searched."""

    passages: list[Passage]
    texts: list[str]
    """Titles and text of each passage, as encoders read them."""


def read_pairs(folder: Path) -> pairs.PairSplit:
    """Pairs of the corpus, whose test split is never read; without one rule."""
    rules = tuple(rule.name for rule in RULES if rule.name != HELD_OUT)

    def without(collection: DocumentCollection, paths: Any, _: Any, words: int) -> Iterator[Any]:
        return question_candidates(collection, paths, rules, words)

    with patch.object(pairs, "question_candidates", without):
        corpus = Artifact.open(folder / "corpus", "corpus")
        return train._read_pairs(pairs.PairsConfig(), folder, corpus)


def train_on(folder: Path, name: str, base: Path, count: int, settings: Sequence[str]) -> None:
    """Train an encoder on some pairs of the corpus.

    What the stage measures of held-out pairs is searched among their own passages alone.
    """
    drawn, search, split = random.Random(0), train.held_out_search, read_pairs(folder)
    fewer = pairs.PairSplit(
        *(drawn.sample(p, min(n, len(p))) for p, n in zip(split, (count, MEASURED), strict=True))
    )
    with (
        patch.object(train, "_read_pairs", lambda *_: fewer),
        patch.object(train, "held_out_search", lambda split: search(split._replace(train=[]))),
    ):
        config = load_config(train.EncoderConfig, None, settings)
        print(train.train_encoder(config, folder / "corpus", base, folder / name).numbers)


def read_pool(folder: Path) -> Pool:
    """The passages of all documents of the corpus."""
    source = Artifact.open(folder / "corpus", "corpus")
    documents = [
        each for split in ("train", "validation", "test") for each in read_split(source, split)
    ]
    documents.sort(key=lambda document: document.path)
    passages = [passage for each in documents for passage in chunk_document(each)]
    return Pool(passages, [f"{' > '.join(p.headings)}. {p.text}" for p in passages])


def relevant_places(sample: Sample, pool: Pool, by_path: Mapping[str, list[int]]) -> set[int]:
    """The passages that answer: those with the answer's place, or with all decisive words."""
    places, more = by_path[sample.group], sample.metadata
    if "start" in more:
        return {i for i in places if pool.passages[i].start < more["end"]
                and more["start"] < pool.passages[i].end}  # fmt: skip
    question = {"class": "other", "answers": more["answers"]}
    return {i for i in places if is_right(question, [Shown(sample.group, pool.passages[i].text)])}


def vectors_of(folder: Path, name: str, path: Path, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of texts, kept by name for the next time."""
    kept = folder / f"{name}-{len(texts)}.npy"
    if not kept.is_file():
        encoder = load_text_encoder(path)
        encoder.prompt = ""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.concatenate(list(embed_blocks(encoder, [texts[i] for i in order])))
        vectors = np.empty_like(rows)
        vectors[order] = rows
        np.save(kept, vectors, allow_pickle=False)
    return np.load(kept, allow_pickle=False)


def static_vectors(folder: Path, pool: Pool, queries: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield unit vectors of queries and passages: word2vec of the same passages, by idf."""
    file, out = folder / "words.txt", folder / "words"
    file.write_text("\n\n".join(pool.texts), encoding="utf-8")
    train_vectors(
        VectorsConfig(word2vec=Word2VecConfig(model="skip_gram"), threads=1), out, text=[file]
    )
    words = load_vectors(out)
    split = [[WORD.findall(text.lower()) for text in texts] for texts in (queries, pool.texts)]
    having = Counter(word for text in split[1] for word in set(text))
    for texts in split:
        rows = np.zeros((len(texts), words.width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text:
                if word in words:
                    row += np.log(len(pool.texts) / having.get(word, 1)) * words[word]
        yield unit_rows(rows)


def rank_by_index(queries: Sequence[str], passages: Sequence[Passage]) -> list[Ranking]:
    """The index's own BM25, in which titles and exact names count more."""
    places = {passage.id: at for at, passage in enumerate(passages)}
    with tempfile.TemporaryDirectory() as folder:
        index = LexicalIndex(Path(folder))
        index.add(passages, "english")
        index.commit()
        return [
            [(places[hit.passage.id], hit.score) for hit in index.search(query, CANDIDATES)]
            for query in queries
        ]


def kept_rankings(file: Path, rank: Callable[[], list[Ranking]]) -> list[Ranking]:
    """The rankings of a way, kept for the next time."""
    if not file.is_file():
        write_json(file, rank())
    return json.loads(file.read_bytes())


def copies_among(texts: Sequence[str]) -> set[int]:
    """Which of a list of texts say what an earlier one says."""
    return {pair.j for pair in near_duplicates(texts, COPY)} if len(texts) > 1 else set()


def without_copies(ranked: Ranking, texts: Sequence[str]) -> Ranking:
    """A ranking without what says the same as a better place."""
    copies = copies_among([texts[place] for place, _ in ranked])
    return [each for at, each in enumerate(ranked) if at not in copies]


def sum_rankings(words: Ranking, vectors: Ranking, weight: float) -> Ranking:
    """Both scores added, each divided by the best of its ranking, those of vectors by weight."""
    scores = defaultdict[int, float](float)
    for ranked, share in ((words, 1.0), (vectors, weight)):
        for place, score in ranked:
            scores[place] += share * score / ranked[0][1]
    return sorted(scores.items(), key=lambda row: (-row[1], row[0]))[:CANDIDATES]


def answerable(samples: Sequence[Sample], pool: Pool) -> tuple[list[Sample], list[set[int]]]:
    """The questions that some passage answers, and the places of those passages."""
    by_path = defaultdict[str, list[int]](list)
    for at, passage in enumerate(pool.passages):
        by_path[passage.path].append(at)
    relevant = [relevant_places(each, pool, by_path) for each in samples]
    kept = [each for each, places in zip(samples, relevant, strict=True) if places]
    return kept, [places for places in relevant if places]


def weigh(folder: Path, name: str, path: Path) -> None:
    """Print nDCG@10 of words, an encoder, and sums, for made questions of other documents.

    They are of the rules of the test set, but the one held out, and of cells of tables; the encoder
    should not have learnt them (`sealed_static --without question`).
    """
    source, pool = Artifact.open(folder / "corpus", "corpus"), read_pool(folder)
    others = [each for name in ("train", "validation") for each in read_split(source, name)]
    tested = list(read_split(source, "test"))
    made = [*rule_samples(others, tested), *cell_samples(others, tested)]
    samples, relevant = answerable([s for s in made if s.metadata["kind"] != HELD_OUT], pool)
    queries = [each.conversation[-1].content for each in samples]
    words = rank_by_index(queries, pool.passages)
    rows = [vectors_of(folder, f"{name}-weighed", path, texts) for texts in (queries, pool.texts)]
    ways = {"words": words, "encoder": rank_by_vectors(rows[0], rows[1])}
    for weight in WEIGHTS:
        both = zip(words, ways["encoder"], strict=True)
        ways[f"sum by {weight}"] = [sum_rankings(*each, weight) for each in both]
    searched = HeldOutSearch(queries, pool.texts, relevant)
    print(Counter(each.metadata["kind"] for each in samples))
    for way, rankings in ways.items():
        print(way, searched.scores(rankings), flush=True)


def search(
    folder: Path, encoders: Mapping[str, Path], weight: float, reranker: str, peer: str,
    skipped: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Rank the passages for each answerable question in every way; measures of each."""
    pool = read_pool(folder)
    asked = [each for each in samples_of(folder) if each.metadata["kind"] != "near"]
    samples, relevant = answerable(asked, pool)
    queries = [each.conversation[-1].content for each in samples]
    by_words: dict[str, Callable[[], list[Ranking]]] = {
        "BM25": lambda: rank_by_words(queries, pool.texts),
        "BM25 of the index": lambda: rank_by_index(queries, pool.passages),
        "word2vec, idf": lambda: rank_by_vectors(*static_vectors(folder, pool, queries)),
    }
    ways = {
        way: kept_rankings(folder / f"{way}.json", rank)
        for way, rank in by_words.items()
        if way not in skipped
    }
    for name, path in encoders.items():
        rows = [vectors_of(folder, name, path, texts) for texts in (queries, pool.texts)]
        ways[name] = rank_by_vectors(*rows)
    if encoders:
        both = zip(ways["BM25 of the index"], ways[list(encoders)[-1]], strict=True)
        fused = [fuse_rankings(*each)[:CANDIDATES] for each in both]
        ways["hybrid"] = [without_copies(each, pool.texts) for each in fused]
    for name in encoders:
        both = zip(ways["BM25 of the index"], ways[name], strict=True)
        fused = [sum_rankings(*each, weight) for each in both]
        ways[f"sum, {name}"] = [without_copies(each, pool.texts) for each in fused]
    if reranker:
        score, best = open_scorer(reranker), zip(queries, list(ways.values())[-1], strict=True)
        ways["reranked"] = [reranked(score, *each, pool.texts) for each in best]
    return measured(samples, relevant, ways, pool, peer)


def open_scorer(named: str) -> Callable[[str, Sequence[str]], Sequence[float]]:
    """What `--reranker MODULE:FUNCTION=DIR` opens."""
    function, _, path = named.partition("=")
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(Path(path))


def reranked(
    score: Callable[[str, Sequence[str]], Sequence[float]], query: str, ranked: Ranking,
    texts: Sequence[str],
) -> Ranking:  # fmt: skip
    """The first places in the order of a scorer."""
    first = ranked[:RERANKED]
    scores = score(query, [texts[place] for place, _ in first])
    rows = zip((place for place, _ in first), map(float, scores), strict=True)
    return sorted(rows, key=lambda row: -row[1])


def measured(
    samples: Sequence[Sample], relevant: Sequence[set[int]], ways: Mapping[str, list[Ranking]],
    pool: Pool, peer: str,
) -> dict[str, Any]:  # fmt: skip
    """Measures of each way with intervals over documents, and differences in nDCG@10."""
    grades = {str(i): {str(p): 1 for p in places} for i, places in enumerate(relevant)}
    runs = {
        way: {str(i): [str(place) for place, _ in ranked] for i, ranked in enumerate(rankings)}
        for way, rankings in ways.items()
    }
    documents = [each.group for each in samples]
    kinds = [GROUPS.get(each.metadata["kind"], "rules") for each in samples]
    found, values = dict[str, Any](), dict[str, dict[str, list[float]]]()
    for way, run in runs.items():
        values[way] = {
            name: list(ranking.score_rankings(measure, run, grades).values.values())
            for name, (measure, _) in MEASURES.items()
        }
        found[way] = {
            name: shown(bootstrap(each, documents, limits=(0, 1)))
            for name, each in values[way].items()
        }
        gains = values[way]["nDCG@10"]
        for kind in dict.fromkeys(kinds):
            own = [gain for gain, other in zip(gains, kinds, strict=True) if other == kind]
            found[way][f"nDCG@10, {kind}"] = [round(sum(own) / len(own), 4), len(own)]
        for other in values:
            both = zip(gains, values[other]["nDCG@10"], strict=True)
            found[way][f"less {other}"] = shown(bootstrap([a - b for a, b in both], documents))
        both = list(zip(gains, values["BM25"]["nDCG@10"], strict=True))
        closed = sum(a - b for a, b in both) / sum(1 - b for _, b in both)
        found[way]["closed of BM25's distance"] = round(closed, 4)
        beyond = [a - b - CLOSED * (1 - b) for a, b in both]
        found[way]["less what closes enough"] = shown(bootstrap(beyond, documents))
        tens = [[pool.texts[int(p)] for p in ranked[:BEST]] for ranked in run.values()]
        copies = sum(len(copies_among(ten)) for ten in tens)
        found[way]["copies among ten"] = round(copies / sum(map(len, tens)), 4)
        print(way, json.dumps(found[way]), flush=True)
    if peer:
        found["largest difference from pytrec_eval"] = peer_difference(peer, runs, grades, values)
    return found | {"questions": len(samples), "passages": len(pool.passages)}


def shown(interval: Any) -> list[float]:
    """Estimate, low and high of an interval."""
    return [round(each, 4) for each in (interval.estimate, interval.low, interval.high)]


def peer_difference(peer: str, runs: Any, grades: Any, values: Any) -> float:
    """The largest difference of any measure of any question from pytrec_eval's."""
    scored = {
        way: {
            query: {p: -float(at) for at, p in enumerate(ranked)} for query, ranked in run.items()
        }
        for way, run in runs.items()
    }
    asked = json.dumps([scored, grades])
    said = subprocess.run(
        [peer, "-c", PEER], input=asked, capture_output=True, text=True, check=True
    )
    theirs = json.loads(said.stdout)
    return max(
        abs(own - theirs[way].get(query, {}).get(named, 0.0))
        for way in runs
        for name, (_, named) in MEASURES.items()
        for query, own in zip(grades, values[way][name], strict=True)
    )


def ask(folder: Path, index: Path) -> dict[str, Any]:
    """Ask all questions by words, with the index's vectors, and with its reader's veto."""
    opened, samples = open_index(index), samples_of(folder)
    ways = {"words": replace(opened), "vectors": replace(opened), "reader": opened}
    for way in ("words", "vectors"):  # a reader of no language judges nothing
        choice = opened.reader_choice.model_copy(update={"languages": ()})
        ways[way].__dict__["reader_choice"] = choice
    ways["words"].__dict__["vectors"] = None
    if opened.vectors is None:
        del ways["vectors"]
    if not opened.reader_choice.path:
        del ways["reader"]
    kinds = [GROUPS.get(each.metadata["kind"], "rules") for each in samples]
    documents, found, right = [s.group for s in samples], dict[str, Any](), dict[str, list[bool]]()
    for way, asked in ways.items():
        answers = [answer_question(asked, each.conversation[-1].content) for each in samples]
        claims = [answer.claims for answer in answers]
        right[way] = [is_right_first(*each) for each in zip(samples, claims, strict=True)]
        rows = list(zip(kinds, right[way], claims, strict=True))
        found[way] = {"answerable": counted([row for row in rows if row[0] != GROUPS["near"]])}
        for kind in dict.fromkeys(kinds):
            found[way][kind] = counted([row for row in rows if row[0] == kind])
        gains = [float(a) - b for a, b in zip(right[way], right["words"], strict=True)]
        found[way]["right, less words"] = shown(bootstrap(gains, documents))
        print(way, json.dumps(found[way]), flush=True)
    return found | {"passages": len(opened.lexical)}


def counted(rows: Sequence[tuple[str, bool, Sequence[Any]]]) -> dict[str, Any]:
    """The share that is right, with its interval, and how many are refused."""
    right, refused = sum(row[1] for row in rows), sum(not row[2] for row in rows)
    share = shown(wilson_interval(right, len(rows)))
    return {"right": right, "of": len(rows), "share": share, "refused": refused}


def is_right_first(sample: Sample, claims: Sequence[Any]) -> bool:
    """Whether the first quote answers; of a near miss, whether there is none."""
    quotes = [Shown(claims[0].quotes[0].path, claims[0].text)] if claims else []
    kind = "near" if sample.metadata["kind"] == "near" else "other"
    return is_right({"class": kind, "answers": sample.metadata["answers"]}, quotes)


def main() -> None:
    """Run one part, and keep what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("verb", choices=("train", "weigh", "ask", "search"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", action="append", default=[], help="NAME=DIRECTORY")
    parser.add_argument("--index", type=Path, help="default: FOLDER/index")
    parser.add_argument("--skip", action="append", default=[], help="a way of search")
    parser.add_argument("--part", default="search", help="of results/sealed.json")
    parser.add_argument("--reranker", default="", help="MODULE:FUNCTION=DIRECTORY")
    parser.add_argument("--peer", default="", help="a Python with pytrec_eval")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="to train on")
    parser.add_argument("--weight", type=float, default=0.5, help="of the encoder in the sum")
    parser.add_argument("settings", nargs="*", help="of `groundup encoder`")
    given = parser.parse_intermixed_args()
    encoders = {name: Path(path) for name, _, path in (e.partition("=") for e in given.encoder)}
    if given.verb == "train":
        train_on(given.folder, *next(iter(encoders.items())), given.pairs, given.settings)
    elif given.verb == "weigh":
        weigh(given.folder, *next(iter(encoders.items())))
    elif given.verb == "ask":
        index = given.index or given.folder / "index"
        table.keep_part("sealed", f"ask {index.name}", ask(given.folder, index))
    else:
        more = given.weight, given.reranker, given.peer, given.skip
        found = search(given.folder, encoders, *more)
        table.keep_part("sealed", given.part, found)


if __name__ == "__main__":
    main()
