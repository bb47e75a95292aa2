"""Trains an encoder for search from documents alone: pairs, hard negatives, contrastive loss.

The result is a Sentence Transformers directory with query and passage prefixes as its prompts. What
it finds of held-out documents is measured before and after, beside BM25 and fused with it. For a
second round with the encoder's own negatives, train again with the result as base and mining=base.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from groundup.core import Artifact, ConfigError, Draft, device, record, write_json
from groundup.corpus import read_split
from groundup.documents import Record, read_folder
from groundup.model import ModelConfig, TextEncoder, Transformer, save_with_head
from groundup.train import MicroBatch, RunIdentity, TrainingData, TrainingTask, shuffled_indices

from ..models import (
    PROMPTS,
    RerankerChoice,
    load_text_encoder,
    model_folder,
    prefixes_of,
    with_model_digest,
)
from ..readers.scoring import PairScorer
from .contrast import ContrastiveLoss, EncodedText, contrastive_batch, two_pass_gradients
from .fine_tuning import FineTuningConfig, produce_from_base, train_head
from .pairs import PairsConfig, PairSplit, TextPair, split_pairs
from .rankings import (
    HeldOutSearch,
    PassageTable,
    Ranking,
    choose_negatives,
    collect_passages,
    fuse_rankings,
    held_out_search,
    rank_by_vectors,
    rank_by_words,
    scores_table,
)
from .vectors import embed_blocks

LENGTHS = "sentence_bert_config.json"
VALIDATION_BATCHES = 4


class EncoderConfig(FineTuningConfig):
    """How to train an encoder for search."""

    pairs: PairsConfig = PairsConfig()
    """Which pairs are made, and which documents are held out."""
    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Number of passes over the pairs."""
    batch_pairs: int = Field(default=64, ge=2)
    """Pairs per optimizer step; with `micro_batches` gradients are computed in two passes."""
    negatives: int = Field(default=1, ge=0)
    """Hard negatives of each pair."""
    mining: Literal["words", "base"] = "words"
    """What ranks hard negatives: BM25, or the base, for a second round."""
    margin: float = Field(default=0.95, gt=0)
    """Share of the own passage's score above which a candidate is no negative."""
    temperature: float = Field(default=0.05, gt=0)
    """Divides the cosines."""
    teacher: str = ""
    """Directory of a cross-encoder (`groundup reranker`) whose order of a query's own passage and
    its hard negatives is learnt too; empty: none."""
    teacher_weight: float = Field(default=1.0, gt=0)
    """Of that part of the loss."""
    query_prefix: str | None = None
    """Prefix of every query; None: the base's."""
    passage_prefix: str | None = None
    """Prefix of every passage; None: the base's."""
    max_tokens: int = Field(default=256, ge=8)
    """Maximum tokens of a text; longer ones are truncated, also by the finished encoder."""


def train_encoder(config: EncoderConfig, source: Path, base: Path, out: Path) -> Artifact:
    """Train an encoder for search on pairs made of documents; a stopped run resumes.

    source  folder of documents, or a corpus, whose test documents are never read
    base    an encoder: a model of `groundup pretrain` or `import`, or a directory of Transformers
            or Sentence Transformers
    out     directory of the encoder, which Sentence Transformers opens too

    Raises DataError if the documents give no pairs, ConfigError if the base is no encoder, and
    ArtifactError if a directory is not what it should be.
    """
    if config.teacher and not config.negatives:
        raise ConfigError("teacher needs negatives, which are 0; leave one of both out.")
    try:
        teacher = with_model_digest(RerankerChoice(path=config.teacher), "reranker").path
    except ConfigError as error:
        raise ConfigError(f"teacher: {error}") from None
    files = sorted(Path(teacher).rglob("*.safetensors")) if teacher else ()
    return produce_from_base(
        config, Path(source), Path(base), out, stage="encoder", objective="contrastive",
        read=config.pairs.read, write=_train_and_save, files=files,
    )  # fmt: skip


def _train_and_save(
    config: EncoderConfig, source: Path, base: Path, identity: RunIdentity, draft: Draft
) -> None:
    towers = open_towers(config, base)
    pairs = _read_pairs(config.pairs, source, identity.parents.get("corpus"))
    search = held_out_search(pairs)
    prepared = _prepare(config, draft, pairs, search, towers)
    model = towers.passages.model
    body = model.model
    assert isinstance(body, Transformer), "a directory's model is a Transformer"
    loss = ContrastiveLoss(config.temperature, config.teacher_weight)
    two_pass = partial(two_pass_gradients, loss) if config.micro_batches > 1 else None
    data = _training_data(config, pairs, prepared, towers)
    task = TrainingTask(body, model, loss, data, "encoder", is_compiled=False, gradients=two_pass)
    train_head(config, draft, model, task, identity)
    _save(towers, draft.path, base)
    after = rank_by_encoder(towers, search.queries, search.texts)
    words = ([(index, score) for index, score in ranked] for ranked in prepared["words"])
    fused = [fuse_rankings(*both) for both in zip(after, words, strict=True)]
    scores = prepared["scores"] | {"trained": search.scores(after)}
    scores["trained+bm25"] = search.scores(fused)
    draft.numbers |= {"train_pairs": len(pairs.train), "held_out_pairs": len(pairs.held_out)}
    draft.numbers |= {"searched": len(search.texts), "held_out": scores}
    record.log(f"{len(search.queries)} held-out queries, {len(search.texts)} passages:")
    record.log(scores_table(scores))


def _read_pairs(config: PairsConfig, source: Path, corpus: Artifact | None) -> PairSplit:
    """Pairs of a folder, or of a corpus without its test documents."""
    if corpus is not None:
        train, held_out = (list(read_split(corpus, name)) for name in ("train", "validation"))
        return split_pairs(train, config, held_out)
    read = read_folder(source, config.read)
    return split_pairs([item for item in read if isinstance(item, Record)], config)


class TwoTowers(NamedTuple):
    """One model as an encoder of queries and as one of passages."""

    queries: TextEncoder
    passages: TextEncoder
    limit: int  # ids of a text, special tokens included


def open_towers(config: EncoderConfig, base: Path) -> TwoTowers:
    """Open a base with the prefixes and limits of a run; ConfigError unless it is an encoder."""
    opened, own_prefixes = load_text_encoder(base, torch.float32), prefixes_of(base)
    own = opened.model.model.config if isinstance(opened, TextEncoder) else None
    is_encoder = isinstance(own, ModelConfig) and own.kind == "encoder"
    if not (isinstance(opened, TextEncoder) and is_encoder):
        raise ConfigError(f"{base} is of another kind; expected an encoder, such as BERT.")
    model = opened.model.to(device.default_device())
    frame = {"before": opened.before, "after": opened.after}
    limit = min(config.max_tokens, opened.max_tokens + len(opened.before) + len(opened.after))
    given, towers = (config.query_prefix, config.passage_prefix), []
    for prefix, stored in zip(given, own_prefixes, strict=True):
        prompt = stored if prefix is None else prefix
        towers.append(TextEncoder(model, opened.encode, limit, prompt=prompt, **frame))
    return TwoTowers(towers[0], towers[1], limit)


def _save(towers: TwoTowers, path: Path, base: Path) -> None:
    """Write the directory, with the prefixes and the limit of passages."""
    save_with_head(towers.passages.model, path, model_folder(base))
    write_json(path / LENGTHS, {"max_seq_length": towers.limit, "do_lower_case": False})
    prompts = {"query": towers.queries.prompt, "document": towers.passages.prompt}
    write_json(path / PROMPTS, {"prompts": prompts, "default_prompt_name": None})


def _prepare(
    config: EncoderConfig, draft: Draft, pairs: PairSplit, search: HeldOutSearch, towers: TwoTowers
) -> dict[str, Any]:
    """Negatives, BM25's rankings and the scores before training, or what a stopped run computed."""
    file = draft.scratch / "prepared.json"
    if file.is_file():
        return json.loads(file.read_bytes())
    table, rankings = collect_passages(pairs.train), [()] * len(pairs.train)
    if config.negatives:
        rank = rank_by_words if config.mining == "words" else partial(rank_by_encoder, towers)
        rankings = rank([pair.query for pair in pairs.train], table.texts)
    negatives = choose_negatives(table, rankings, config.negatives, config.margin, config.seed)
    words = rank_by_words(search.queries, search.texts)
    base = search.scores(rank_by_encoder(towers, search.queries, search.texts))
    scores = {"base": base, "bm25": search.scores(words)}
    taught = _teach(config.teacher, pairs.train, table, negatives) if config.teacher else []
    write_json(file, {"negatives": negatives, "words": words, "scores": scores, "taught": taught})
    return json.loads(file.read_bytes())


def _teach(
    teacher: str, pairs: Sequence[TextPair], table: PassageTable,
    negatives: Sequence[Sequence[int]],
) -> list[list[float | None]]:  # fmt: skip
    """A cross-encoder's log-odds of each query's own passage, and of its hard negatives."""
    scorer = PairScorer.open(Path(teacher))
    rows = [[own, *rest] for own, rest in zip(table.own, negatives, strict=True)]
    texts = [
        (pair.query, table.texts[n]) for pair, row in zip(pairs, rows, strict=True) for n in row
    ]
    record.log(f"the teacher reads {len(texts)} passages")
    found = iter(scorer.score(texts))
    return [[next(found) for _ in row] for row in rows]


def rank_by_encoder(
    towers: TwoTowers, queries: Sequence[str], texts: Sequence[str]
) -> list[Ranking]:
    """The best texts for each query by the encoder's vectors, best first."""
    return rank_by_vectors(_embed(towers.queries, queries), _embed(towers.passages, texts))


def _embed(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    return np.concatenate(list(embed_blocks(encoder, texts)))


def _batches(
    pairs: Sequence[TextPair], negatives: Sequence[Sequence[int]], towers: TwoTowers,
    taught: Sequence[Sequence[float]] = (),
) -> Callable[[Sequence[int]], MicroBatch]:  # fmt: skip
    """A function that makes the batch of some pairs, by their indices."""
    table = collect_passages(pairs)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(table.documents))}
    passages = [
        EncodedText(towers.passages.input_ids(text), numbers[document])
        for text, document in zip(table.texts, table.documents, strict=True)
    ]
    queries = [EncodedText(towers.queries.input_ids(p.query), numbers[p.document]) for p in pairs]

    def batch(chosen: Sequence[int]) -> MicroBatch:
        columns = [table.own[i] for i in chosen] + [n for i in chosen for n in negatives[i]]
        rows = list(enumerate(taught[i] for i in chosen)) if taught else []
        scores = [(at, row[0]) for at, row in rows]
        scores += [(at, score) for at, row in rows for score in row[1:]]
        return contrastive_batch(
            [queries[i] for i in chosen], [passages[i] for i in columns], towers.limit, scores
        )

    return batch


def _training_data(
    config: EncoderConfig, pairs: PairSplit, prepared: dict[str, Any], towers: TwoTowers
) -> TrainingData:
    """Batches of the pairs, in another order each epoch, and held-out batches."""
    train = _batches(pairs.train, prepared["negatives"], towers, prepared["taught"])
    held_out = _batches(pairs.held_out, [()] * len(pairs.held_out), towers)
    count, size = len(pairs.train), min(config.batch_pairs, len(pairs.train))
    tokens = size * (1 + config.negatives) * towers.limit

    measured = shuffled_indices(0, len(pairs.held_out), len(pairs.held_out), config.seed)
    starts = range(0, len(measured), size)[:VALIDATION_BATCHES]
    return TrainingData(
        lambda step: train(shuffled_indices(step, size, count, config.seed)),
        max(1, round(config.epochs * count / size)),
        lambda step: step * tokens,
        lambda step: towers.limit,
        {"": [held_out(measured[start : start + size]) for start in starts]},
    )
