"""Import of third-party models as model artifacts: `groundup import`.

Everything is checked before anything is copied: config.json must be supported, and every tensor
known, present, of the right shape and finite. The files are copied byte for byte, so their hashes
in the manifest are the publisher's; a GGUF file is converted to such a directory. `source.json`
records the source files and the licence. Pickles execute arbitrary code, so none is ever opened.
"""

import re
import shutil
from collections.abc import Collection, Iterable
from os.path import lexists
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from groundup.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Draft,
    digest,
    hash_file,
    is_within,
    produce,
    record,
    write_json,
)

from ..families.classifiers import has_head
from ..families.registry import read_config
from ..heads import ModelWithHead
from ..transformer import Transformer
from .directory import (
    CONFIG,
    DTYPES,
    GENERATION,
    INDEX,
    SPECIAL_ID_KEYS,
    TARGET_ID_KEYS,
    TOKENIZER_FILES,
    has_shards,
    load,
    read_json_object,
    save,
    weight_files,
)
from .gguf.format import GgufFile, open_gguf
from .gguf.reading import load_gguf, read_gguf_config, write_unpacked
from .heads import LENGTH_CONFIG, MODULES, POOLING_FOLDER, load_with_head, save_with_head
from .licence import CARD, UNKNOWN, ModelLicence, licence_to_json, read_model_licence

SOURCE, GGUF = "source.json", ".gguf"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
UNSUPPORTED_SUFFIXES = (".h5", ".msgpack", ".onnx", ".tflite", ".ot")
TOKENIZER_MODEL_FILES = (
    "tokenizer.json", "tekken.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
    "vocab.txt", "merges.txt",
)  # fmt: skip
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
HUB_CACHE_FOLDER = re.compile(r"models--(.+)")

FileHashes = dict[str, dict[str, Any]]
"""sha256 and bytes of each file by its name within the directory."""


class ImportConfig(Config):
    """How to import a model."""

    dtype: Literal["as_is", "float32", "bfloat16", "float16"] = "as_is"
    """Of the weights; `as_is` copies the files byte for byte (a GGUF file: float32), other values
    convert them."""
    licence: str = ""
    """The model's licence, if its directory does not name it."""
    source_digest: str = ""
    """Hash of the source's files; set by the stage."""


def import_model(config: ImportConfig, source: Path, out: Path) -> Artifact:
    """Import a Hugging Face directory or a GGUF file, with tokenizer and licence.

    source  a directory with config.json and safetensors, and tokenizer files if it has any; or a
            .gguf file, whose weights are written as float32 safetensors by default

    Raises ArtifactError if the model is unsupported, or its files are damaged, incomplete or
    pickles; ConfigError if `out` is inside the source.
    """
    source, out = Path(source), Path(out)
    if out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{out} is inside the source {source}; choose an --out outside it.")
    file = open_gguf(source) if source.suffix == GGUF and source.is_file() else None
    if file is not None:
        read_gguf_config(file)  # fails early, before anything large is read
        files = _hash_files(source.parent, [source.name])
    else:
        _check_source(source)
        values = read_json_object(source / CONFIG)
        read_config(values, str(source / CONFIG))
        if "auto_map" in values:
            what = f"{source / CONFIG} names code of its own (auto_map), which is never run"
            record.log(f"{what}: the model is read as a plain {values.get('model_type')}.")
        files = _hash_files(source, _list_files_to_copy(source))
    config = config.model_copy(update={"source_digest": digest(files)})

    def write(draft: Draft) -> None:
        if file is None:
            _write_hf_model(draft, source, files, config)
        else:
            _write_gguf_model(draft, file, files, config)

    return produce(
        out, kind="model", stage="import", version=1, config=config, parents={}, write=write
    )


def _check_source(source: Path) -> None:
    if source.is_file():
        _check_pickles(source.parent, [source.name])
        raise ArtifactError(f"{source} is not a {GGUF} file; give its directory, with {CONFIG}.")
    if not source.is_dir():
        hint = ""
        if HUB_NAME.fullmatch(str(source)):
            hint = f" (groundup downloads nothing: first `hf download {source} --local-dir DIR`)"
        raise ArtifactError(
            f"There is no directory {source}; give a model's directory or .gguf file{hint}."
        )
    if (source / "manifest.json").is_file():
        raise ArtifactError(f"{source} is already a groundup artifact; use it directly.")
    if not (source / CONFIG).is_file():
        raise ArtifactError(f"{source} has no {CONFIG}; expected a Hugging Face directory.")
    if not any(source.glob("*.safetensors")):
        _check_pickles(source, sorted(path.name for path in source.iterdir()))


def _check_pickles(source: Path, names: Iterable[str]) -> None:
    for name in names:
        if name.endswith(PICKLE_SUFFIXES) and name != "training_args.bin":
            raise ArtifactError(
                f"{source / name} is a pickle, which can execute code when opened; use the model's "
                "safetensors, or convert a trusted file with Transformers' save_pretrained."
            )
        if name.endswith(UNSUPPORTED_SUFFIXES):
            what = f"{source / name} has an unsupported format; use the model's safetensors"
            raise ArtifactError(f"{what}, or convert it with Transformers' save_pretrained.")


def _list_files_to_copy(source: Path) -> list[str]:
    weights = [file.name for file in weight_files(source)] + [INDEX] * has_shards(source)
    vectors = (MODULES, LENGTH_CONFIG, f"{POOLING_FOLDER}/{CONFIG}")
    licences = read_model_licence(source).files
    others = (CONFIG, GENERATION, *TOKENIZER_FILES, *vectors, CARD, *licences)
    present = [name for name in others if lexists(source / name) and not (source / name).is_dir()]
    for name in present:
        if not is_within(source / name, source):
            what = f"{source / name} links to {(source / name).resolve()}, outside the model"
            raise ArtifactError(f"{what}; replace the link by the file, or remove it.")
    return weights + present


def _hash_files(source: Path, names: Collection[str]) -> FileHashes:
    try:
        sizes = {name: (source / name).stat().st_size for name in names}
        with record.progress("read", sum(sizes.values()), "bytes") as bar:
            files = {}
            for name, size in sizes.items():
                files[name] = {"sha256": hash_file(source / name), "bytes": size}
                bar.advance(size)
    except OSError as error:
        raise ArtifactError(
            f"{error.filename} cannot be read ({error.strerror}); copy {source} again."
        ) from None
    return dict(sorted(files.items()))


def _write_hf_model(draft: Draft, source: Path, files: FileHashes, config: ImportConfig) -> None:
    as_is = config.dtype == "as_is"
    model = _load_with_any_head(source, None if as_is else DTYPES[config.dtype])
    _check_finite(model, source)
    _check_tokenizer(source, model)
    if not as_is:
        _rewrite_model(model, draft.path, source)
    for name in files:
        if as_is or not _is_rewritten(name):
            shutil.copyfile(source / name, draft.file(name))
    licence = read_model_licence(source, config.licence)
    _record_source(draft, model, _model_name(source), files, licence)


def _write_gguf_model(
    draft: Draft, file: GgufFile, files: FileHashes, config: ImportConfig
) -> None:
    as_is = config.dtype == "as_is"
    model = load_gguf(file, torch.float32 if as_is else DTYPES[config.dtype])
    _check_finite(model, file.path)
    write_unpacked(file, model, draft.path)
    _check_tokenizer(draft.path, model)
    name, licence = (str(file.metadata.get(f"general.{key}", "")) for key in ("name", "license"))
    licence = ModelLicence(licence or config.licence or UNKNOWN)
    _record_source(draft, model, name or file.path.stem, files, licence)


def _record_source(
    draft: Draft, model: Transformer | ModelWithHead, source: str, files: FileHashes,
    licence: ModelLicence,
) -> None:  # fmt: skip
    write_json(draft.file(SOURCE), {"files": files, "licence": licence_to_json(licence)})
    draft.numbers |= {
        "source": source,
        "model_type": read_json_object(draft.path / CONFIG)["model_type"],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "licence": licence.name,
    }
    if licence.name == UNKNOWN:
        what = f"{source} names no licence, and without one a model may not be used or distributed"
        record.log(f"{what}; if you know it, import again with --set licence=NAME.")


def _check_tokenizer(path: Path, model: Transformer | ModelWithHead) -> None:
    if not any((path / name).is_file() for name in TOKENIZER_MODEL_FILES):
        return
    from groundup.tokenizer import load_tokenizer, required_vocab_size  # lazy: only needed here

    base = model.model if isinstance(model, ModelWithHead) else model
    assert isinstance(base, Transformer), "an imported head is on a Transformer"
    needed, embeddings = required_vocab_size(load_tokenizer(path)), base.config.vocab_size
    if needed > embeddings:
        raise ArtifactError(
            f"The tokenizer of {path} gives ids up to {needed - 1:,}, and the model has "
            f"{embeddings:,} embeddings: they do not belong together; copy both from one source."
        )


def _load_with_any_head(source: Path, dtype: torch.dtype | None) -> Transformer | ModelWithHead:
    if (source / MODULES).is_file() or has_head(read_json_object(source / CONFIG)):
        return load_with_head(source, dtype)
    return load(source, dtype)


def _rewrite_model(model: Transformer | ModelWithHead, path: Path, source: Path) -> None:
    """Write a model with its head, and the special token ids of its source."""
    if isinstance(model, ModelWithHead):
        save_with_head(model, path)
    else:
        save(model, path)
    values = read_json_object(source / CONFIG)
    told = read_json_object(source / GENERATION) if (source / GENERATION).is_file() else {}
    special_ids = {key: values[key] for key in SPECIAL_ID_KEYS if key in values}
    targets = {key: told.get(key, values.get(key)) for key in TARGET_ID_KEYS}
    special_ids |= {key: id for key, id in targets.items() if id is not None}
    for name in (CONFIG, GENERATION):
        write_json(path / name, read_json_object(path / name) | special_ids)


def _is_rewritten(name: str) -> bool:
    return name == CONFIG or name.endswith((".safetensors", ".safetensors.index.json"))


def _check_finite(model: nn.Module, source: Path) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArtifactError(
                f"{source}: {name} has infinite or NaN values in "
                f"{str(tensor.dtype).removeprefix('torch.')}; copy the model again, or choose "
                "another dtype."
            )


def _model_name(source: Path) -> str:
    """The model's name: repository and commit in a Hub cache, otherwise the folder's name.

    >>> _model_name(Path("hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de2"))
    'Qwen/Qwen3-0.6B@c1899de2'
    """
    path = source.absolute()
    cached = HUB_CACHE_FOLDER.fullmatch(path.parent.parent.name)
    if cached and path.parent.name == "snapshots":
        return f"{cached[1].replace('--', '/', 1)}@{path.name}"
    return path.name
