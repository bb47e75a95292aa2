"""Somebody else's model becomes a model artifact: `groundup import`.

Everything is checked before anything is kept: that we compute what config.json asks for, that every
tensor is known, present, of the right shape and finite. The files are then copied byte for byte, so
their hashes in the manifest are the publisher's; a GGUF file becomes such a directory.
`source.json` says what the files were and under which licence they stand. A pickle runs any code
that its writer wanted when it is opened: none ever is.
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
from ..heads import WithHead
from ..transformer import Transformer
from .directory import (
    CONFIG,
    DTYPES,
    ENDS,
    GENERATION,
    INDEX,
    START,
    TOKENIZER_FILES,
    has_shards,
    load,
    read_json,
    save,
    weight_files,
)
from .gguf.format import GgufFile, open_gguf
from .gguf.importing import open_all, write_unpacked
from .gguf.reading import model_config
from .heads import load_with_head, save_with_head
from .licence import CARD, UNKNOWN, Licence, licence_of, to_json
from .sentences import LIMITS, MODULES, POOLING

SOURCE, GGUF = "source.json", ".gguf"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
OTHERS = (".h5", ".msgpack", ".onnx", ".tflite", ".ot")
VOCABULARIES = (
    "tokenizer.json", "tekken.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
    "vocab.txt", "merges.txt",
)  # fmt: skip
HUB = re.compile(r"[\w.-]+/[\w.-]+")
CACHED = re.compile(r"models--(.+)")

Files = dict[str, dict[str, Any]]
"""sha256 and bytes of each file by its name within the directory."""


class ImportConfig(Config):
    """How a model of others is taken in."""

    dtype: Literal["as_is", "float32", "bfloat16", "float16"] = "as_is"
    """Of the weights; `as_is` copies the files byte for byte (a GGUF file: float32), all else
    writes them anew."""
    licence: str = ""
    """The model's licence, where its directory does not name it."""
    source_digest: str = ""
    """Hash of the source's files; filled in by the stage."""


def import_model(config: ImportConfig, source: Path, out: Path) -> Artifact:
    """Make a model artifact of a Hugging Face directory or a GGUF file, with tokenizer and licence.

    source  a directory with config.json and safetensors, and tokenizer files where it has them;
            or a .gguf file, whose weights are written as safetensors of float32 unless told

    Raises ArtifactError if we do not compute such a model, or its files are damaged, incomplete or
    pickles; ConfigError if `out` lies inside the source.
    """
    source, out = Path(source), Path(out)
    if out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{out} lies inside the source {source}; choose an --out outside of it.")
    file = open_gguf(source) if source.suffix == GGUF and source.is_file() else None
    if file is not None:
        model_config(file)  # before anything large is read
        files = hashed(source.parent, [source.name])
    else:
        check_source(source)
        read_config(read_json(source / CONFIG), str(source / CONFIG))
        files = hashed(source, kept_files(source))
    config = config.model_copy(update={"source_digest": digest(files)})
    return produce(
        out,
        kind="model",
        stage="import",
        version=1,
        config=config,
        parents={},
        write=lambda draft: (
            write_model(draft, source, files, config)
            if file is None
            else write_gguf(draft, file, files, config)
        ),
    )


def check_source(source: Path) -> None:
    """Refuse what is no directory of Transformers with weights in safetensors.

    Raises ArtifactError that says what to do.
    """
    if source.is_file():
        check_file(source)
    if not source.is_dir():
        fetch = ""
        if HUB.fullmatch(str(source)):
            fetch = f" (groundup downloads nothing: first `hf download {source} --local-dir DIR`)"
        raise ArtifactError(
            f"There is no directory {source}; give a model's directory or .gguf file{fetch}."
        )
    if (source / "manifest.json").is_file():
        raise ArtifactError(f"{source} is an artifact of groundup already; use it as it is.")
    if not (source / CONFIG).is_file():
        raise ArtifactError(f"{source} has no {CONFIG}; expected a directory of Transformers.")
    if not any(source.glob("*.safetensors")):
        check_pickles(source, sorted(path.name for path in source.iterdir()))


def check_file(source: Path) -> None:
    """Refuse a single file: a pickle with the reason, any other with what to give instead."""
    check_pickles(source.parent, [source.name])
    raise ArtifactError(
        f"{source} is no {GGUF} file; give the directory that has it and its {CONFIG}."
    )


def check_pickles(source: Path, names: Iterable[str]) -> None:
    """Say why weights that are not in safetensors are not opened.

    Raises ArtifactError if there are such files.
    """
    for name in names:
        if name.endswith(PICKLES) and name != "training_args.bin":
            raise ArtifactError(
                f"{source / name} is a pickle, which runs any code of its writer's when it is "
                "opened, so groundup opens none; take the model's safetensors, or write them with "
                "Transformers' save_pretrained where you trust the file."
            )
        if name.endswith(OTHERS):
            raise ArtifactError(
                f"{source / name} is of another library; take the model's safetensors, or write "
                "them with Transformers' save_pretrained."
            )


def kept_files(source: Path) -> list[str]:
    """Names of the files of a directory that a model needs, those of its weights first."""
    weights = [file.name for file in weight_files(source)] + [INDEX] * has_shards(source)
    vectors = (MODULES, LIMITS, f"{POOLING}/{CONFIG}")
    others = (CONFIG, GENERATION, *TOKENIZER_FILES, *vectors, CARD, *licence_of(source).files)
    kept = [name for name in others if lexists(source / name) and not (source / name).is_dir()]
    for name in kept:
        if not is_within(source / name, source):
            raise ArtifactError(
                f"{source / name} is a link to {(source / name).resolve()}, which is not of the "
                "model; put the file itself there, or remove the link."
            )
    return weights + kept


def hashed(source: Path, names: Collection[str]) -> Files:
    """Hash and size of each file.

    Raises ArtifactError if one cannot be read, or is a pipe or a device.
    """
    try:
        sizes = {name: (source / name).stat().st_size for name in names}
        with record.progress("read", sum(sizes.values()), "bytes") as bar:
            found = {}
            for name, size in sizes.items():
                found[name] = {"sha256": hash_file(source / name), "bytes": size}
                bar.advance(size)
    except OSError as error:
        raise ArtifactError(
            f"{error.filename} cannot be read ({error.strerror}); copy {source} again."
        ) from None
    return dict(sorted(found.items()))


def write_model(draft: Draft, source: Path, files: Files, config: ImportConfig) -> None:
    """Check the weights, then copy or convert; the body of the stage."""
    as_is = config.dtype == "as_is"
    model = opened(source, None if as_is else DTYPES[config.dtype])
    check_finite(model, source)
    check_tokenizer(source, model)
    if not as_is:
        write_anew(model, draft.path, source)
    for name in files:
        if as_is or not is_rewritten(name):
            shutil.copyfile(source / name, draft.file(name))
    note(draft, model, name_of(source), files, licence_of(source, config.licence))


def write_gguf(draft: Draft, file: GgufFile, files: Files, config: ImportConfig) -> None:
    """Make the weights of a GGUF file whole and check them; the body of the stage."""
    as_is = config.dtype == "as_is"
    found = open_all(file, torch.float32 if as_is else DTYPES[config.dtype])
    check_finite(found.model, file.path)
    write_unpacked(file, found.model, draft.path)
    check_tokenizer(draft.path, found.model)
    licence = Licence(found.licence or config.licence or UNKNOWN)
    note(draft, found.model, found.name or file.path.stem, files, licence)


def note(
    draft: Draft, model: Transformer | WithHead, source: str, files: Files, licence: Licence
) -> None:
    """Write down what the model was made of and under which licence it stands."""
    write_json(draft.file(SOURCE), {"files": files, "licence": to_json(licence)})
    draft.numbers |= {
        "source": source,
        "model_type": read_json(draft.path / CONFIG)["model_type"],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "licence": licence.name,
    }
    if licence.name == UNKNOWN:
        record.say(
            f"{source} names no licence, and without one nobody may use or pass on a model; if you "
            "know it, import again with --set licence=NAME."
        )


def check_tokenizer(path: Path, model: Transformer | WithHead) -> None:
    """Refuse a tokenizer that cannot be opened, or has more ids than the model has embeddings.

    Raises ArtifactError; there are models without a tokenizer.
    """
    if not any((path / name).is_file() for name in VOCABULARIES):
        return
    from groundup.tokenizer import ids_needed, load_tokenizer  # here: weights need no tokenizer

    body = model.model if isinstance(model, WithHead) else model
    assert isinstance(body, Transformer), "a head that is imported stands on a Transformer"
    needed, known = ids_needed(load_tokenizer(path)), body.config.vocab_size
    if needed > known:
        raise ArtifactError(
            f"The tokenizer of {path} gives ids up to {needed - 1:,}, and the model has "
            f"{known:,} embeddings: they were not made for each other; copy both again from one "
            "place."
        )


def opened(source: Path, dtype: torch.dtype | None) -> Transformer | WithHead:
    """The model of a directory, with the head that it has."""
    if (source / MODULES).is_file() or has_head(read_json(source / CONFIG)):
        return load_with_head(source, dtype)
    return load(source, dtype)


def write_anew(model: Transformer | WithHead, path: Path, source: Path) -> None:
    """Write a model, with the head that it has and the ends of texts that its source names."""
    if isinstance(model, WithHead):
        save_with_head(model, path)
    else:
        save(model, path)
    said = read_json(source / CONFIG)
    ends = {key: said[key] for key in (*ENDS, START) if key in said}
    for name in (CONFIG, GENERATION):
        write_json(path / name, read_json(path / name) | ends)


def is_rewritten(name: str) -> bool:
    """Whether a file is written anew with weights of another dtype."""
    return name == CONFIG or name.endswith((".safetensors", ".safetensors.index.json"))


def check_finite(model: nn.Module, source: Path) -> None:
    """Refuse weights that are no numbers.

    Raises ArtifactError naming the tensor.
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArtifactError(
                f"{source}: {name} has values that are infinite or no numbers in "
                f"{str(tensor.dtype).removeprefix('torch.')}; copy the model again, or choose "
                "another dtype."
            )


def name_of(source: Path) -> str:
    """What the model is called: of a cache of the Hub its repository and commit, else the folder.

    >>> name_of(Path("hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de2"))
    'Qwen/Qwen3-0.6B@c1899de2'
    """
    place = source.absolute()
    cached = CACHED.fullmatch(place.parent.parent.name)
    if cached and place.parent.name == "snapshots":
        return f"{cached[1].replace('--', '/', 1)}@{place.name}"
    return place.name
