"""Trains an encoder for search from documents alone: pairs, hard negatives, contrastive loss.

The result is a Sentence Transformers directory with query and passage prefixes as its prompts. What
it finds of held-out documents is measured before and after, beside BM25 and fused with it. For a
second round with the encoder's own negatives, train again with the result as base and mining=base.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from groundup.core import (
    MANIFEST,
    Artifact,
    ConfigError,
    Draft,
    device,
    digest,
    hash_file,
    record,
    write_json,
)
from groundup.corpus import read_split
from groundup.documents import Record, artifact_kind, fingerprint_folder, read_folder
from groundup.model import (
    ModelConfig,
    TextEncoder,
    Transformer,
    save_with_head,
)
from groundup.train import (
    DEFAULT_OPTIONS,
    Mesh,
    MicroBatch,
    OptimConfig,
    RunIdentity,
    TrainingConfig,
    TrainingData,
    TrainingRun,
    TrainingTask,
    is_imported,
    merge_optim,
    produce_model,
)

from .config import PROMPTS, load_text_encoder, prefixes_of
from .contrast import ContrastiveLoss, EncodedText, contrastive_batch, two_pass_gradients
from .pairs import PairsConfig, PairSplit, TextPair, split_pairs
from .rankings import (
    HeldOutSearch,
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
IMPORTED_OPTIM, NATIVE_OPTIM = (
    OptimConfig(matrix_optimizer="adamw", learning_rate=rate, embedding_learning_rate=rate,
                epsilon=1e-8)
    for rate in (2e-5, 2e-4)
)  # fmt: skip
"""For a base that was trained elsewhere, and for one that was trained here."""
VALIDATION_BATCHES = 4


class EncoderConfig(TrainingConfig):
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
    symmetric: bool = False
    """Whether half of the loss finds the query of a passage."""
    query_prefix: str | None = None
    """Prefix of every query; None: the base's."""
    passage_prefix: str | None = None
    """Prefix of every passage; None: the base's."""
    max_tokens: int = Field(default=256, ge=8)
    """Maximum tokens of a text; longer ones are truncated, also by the finished encoder."""
    optim: OptimConfig = NATIVE_OPTIM
    """Optimizer and schedule; of a base that was trained elsewhere, learning_rate=2e-5."""
    source_digest: str = ""
    """Hash of the documents and of a base that is no artifact; set by the stage."""


def train_encoder(config: EncoderConfig, source: Path, base: Path, out: Path) -> Artifact:
    """Train an encoder for search on pairs made of documents; a stopped run resumes.

    source  folder of documents, or a corpus, whose test documents are never read
    base    an encoder: a model of `groundup pretrain` or `import`, or a directory of Transformers
            or Sentence Transformers
    out     directory of the encoder, which Sentence Transformers opens too

    Raises DataError if the documents give no pairs, ConfigError if the base is no encoder, and
    ArtifactError if a directory is not what it should be.
    """
    return produce_from_base(config, source, base, out, stage="encoder", write=_train_and_save)


def produce_from_base(
    config: Any, source: Path, base: Path, out: Path, *, stage: str, write: Callable[..., None],
    files: Sequence[Path] = (), imported: OptimConfig = IMPORTED_OPTIM,
) -> Artifact:  # fmt: skip
    """Train something of `stage` on a base and documents, as the artifact `out`.

    config  has `optim` and `source_digest`
    write   takes the configuration, source, base, the run's identity, the draft and the mesh
    files     what else is read
    imported  optimizer for a base that was trained elsewhere
    """
    if config.label_smoothing or config.z_loss:
        raise ConfigError("label_smoothing and z_loss are of losses of tokens; omit them.")
    source, base, parents, own = Path(source), Path(base), dict[str, Artifact](), list[Any]()
    if kind := artifact_kind(source):
        parents[kind] = Artifact.open(source, ("corpus", "documents"))
    if (base / MANIFEST).is_file():
        parents["base"] = Artifact.open(base, "model")
    else:
        paths = sorted(path for path in base.rglob("*") if path.is_file())
        own = [[str(path.relative_to(base)), hash_file(path)] for path in paths]
    own += [[path.name, hash_file(path)] for path in files]
    read = config.pairs.read if isinstance(config, EncoderConfig) else config.read
    found = [] if kind == "corpus" else sorted(fingerprint_folder(source, read))
    native = "base" in parents and not is_imported(parents["base"])
    usual = NATIVE_OPTIM if native else imported
    optim = merge_optim(config.optim, "optim" in config.model_fields_set, usual)
    config = config.model_copy(update={"optim": optim, "source_digest": digest([own, found])})
    objective = "contrastive" if stage == "encoder" else "spans"
    identity = RunIdentity(objective=objective, settings=config.hashed_values(), parents=parents)
    return produce_model(
        config, out, partial(write, config, source, base, identity), stage=stage, version=1,
        identity=identity, run_options=DEFAULT_OPTIONS,
    )  # fmt: skip


def _train_and_save(
    config: EncoderConfig,
    source: Path,
    base: Path,
    identity: RunIdentity,
    draft: Draft,
    mesh: Mesh,
) -> None:
    if mesh.device_mesh is not None:
        raise ConfigError("An encoder is trained in one process; start it without torchrun.")
    towers = open_towers(config, base)
    pairs = _read_pairs(config.pairs, source, identity.parents.get("corpus"))
    search = held_out_search(pairs)
    prepared = _prepare(config, draft, pairs, search, towers)
    model = towers.passages.model
    body = model.model
    assert isinstance(body, Transformer), "a directory's model is a Transformer"
    loss = ContrastiveLoss(config.temperature, config.symmetric)
    two_pass = partial(two_pass_gradients, loss) if config.micro_batches > 1 else None
    data = _training_data(config, pairs, prepared["negatives"], towers)
    task = TrainingTask(body, model, loss, data, "encoder", is_compiled=False, gradients=two_pass)
    identity = identity._replace(model=body.config.to_dict())
    run = TrainingRun(draft, config, task, identity, mesh=mesh)
    run.train_to_end()
    model.model = run.final_model()
    model.eval()
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
    model, own = opened.model.to(device.default_device()), opened.model.model.config
    if not isinstance(own, ModelConfig) or own.kind != "encoder":
        raise ConfigError(f"{base} is of another kind; expected an encoder, such as BERT.")
    frame = {"before": opened.before, "after": opened.after}
    limit = min(config.max_tokens, opened.max_tokens + len(opened.before) + len(opened.after))
    given, towers = (config.query_prefix, config.passage_prefix), []
    for prefix, stored in zip(given, own_prefixes, strict=True):
        prompt = stored if prefix is None else prefix
        towers.append(TextEncoder(model, opened.encode, limit, prompt=prompt, **frame))
    return TwoTowers(towers[0], towers[1], limit)


def _save(towers: TwoTowers, path: Path, base: Path) -> None:
    """Write the directory, with the prefixes and the limit of passages."""
    folder = base if (base / "config.json").is_file() else base / "0_Transformer"
    save_with_head(towers.passages.model, path, folder)
    write_json(path / LENGTHS, {"max_seq_length": towers.limit, "do_lower_case": False})
    prompts = {"query": towers.queries.prompt, "document": towers.passages.prompt}
    write_json(path / PROMPTS, {"prompts": prompts, "default_prompt_name": None})


def _prepare(
    config: EncoderConfig,
    draft: Draft,
    pairs: PairSplit,
    search: HeldOutSearch,
    towers: TwoTowers,
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
    write_json(file, {"negatives": negatives, "words": words, "scores": scores})
    return json.loads(file.read_bytes())


def rank_by_encoder(
    towers: TwoTowers, queries: Sequence[str], texts: Sequence[str]
) -> list[Ranking]:
    """The best texts for each query by the encoder's vectors, best first."""
    return rank_by_vectors(_embed(towers.queries, queries), _embed(towers.passages, texts))


def _embed(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    return np.concatenate(list(embed_blocks(encoder, texts)))


def _batches(
    pairs: Sequence[TextPair], negatives: Sequence[Sequence[int]], towers: TwoTowers
) -> Callable[[Sequence[int]], MicroBatch]:
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
        return contrastive_batch(
            [queries[i] for i in chosen], [passages[i] for i in columns], towers.limit
        )

    return batch


def _training_data(
    config: EncoderConfig,
    pairs: PairSplit,
    negatives: Sequence[Sequence[int]],
    towers: TwoTowers,
) -> TrainingData:
    """Batches of the pairs, in another order each epoch, and held-out batches."""
    train = _batches(pairs.train, negatives, towers)
    held_out = _batches(pairs.held_out, [()] * len(pairs.held_out), towers)
    count, size = len(pairs.train), min(config.batch_pairs, len(pairs.train))
    tokens = size * (1 + config.negatives) * towers.limit

    @cache
    def order(epoch: int, number: int) -> list[int]:
        return np.random.default_rng([config.seed, epoch]).permutation(number).tolist()

    def batch(step: int) -> MicroBatch:
        places = range(step * size, (step + 1) * size)
        return train([order(place // count, count)[place % count] for place in places])

    measured = order(0, len(pairs.held_out))
    starts = range(0, len(measured), size)[:VALIDATION_BATCHES]
    return TrainingData(
        batch,
        max(1, round(config.epochs * count / size)),
        lambda step: step * tokens,
        lambda step: towers.limit,
        {"": [held_out(measured[start : start + size]) for start in starts]},
    )
