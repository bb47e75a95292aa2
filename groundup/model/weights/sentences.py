"""The directory format of sentence-transformers: an encoder and its pooling.

    modules.json               the modules: Transformer, Pooling, optionally Normalize
    1_Pooling/config.json      the pooling: first token, last token, or mean
    sentence_bert_config.json  maximum tokens of a text; longer ones are truncated

Pooling is read, never guessed. Modules with weights of their own are unsupported.
Source: sentence-transformers 6.2; Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ArtifactError, write_json

from ..config import ModelConfig
from ..heads import HeadConfig, Pooling
from .directory import read_json_object, read_model_json

MODULES, LENGTH_CONFIG, POOLING_FOLDER = "modules.json", "sentence_bert_config.json", "1_Pooling"
MODULE_TYPES = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean", "lasttoken": "last"}
"""sentence-transformers' names of poolings, and groundup's."""
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""The flags that older config.json files of poolings set."""


class SentenceEncoderSpec(NamedTuple):
    """The parts of an embedding model."""

    encoder: Path
    """Directory of the encoder."""
    head: HeadConfig
    limit: int | None = None
    """Maximum tokens of a text, [CLS] and [SEP] included; None: the encoder's context."""
    prompt: str = ""
    """Prefix of every text."""


def read_sentence_encoder(path: Path) -> SentenceEncoderSpec:
    """Read a sentence-transformers directory.

    Raises ArtifactError for unsupported modules, poolings and prompts.
    """
    steps = read_model_json(path / MODULES)
    try:
        kinds = tuple(str(step["type"]).rpartition(".")[2] for step in steps)
        folders = [path / Path(str(step["path"])).name for step in steps]  # never outside `path`
    except (TypeError, KeyError):
        raise ArtifactError(
            f"{path / MODULES} is not a list of modules with a type and a path each."
        ) from None
    if kinds not in MODULE_TYPES:
        raise ArtifactError(
            f"{path / MODULES} has the modules {', '.join(kinds) or 'none'}; groundup supports "
            "Transformer, Pooling and optionally Normalize."
        )
    pooling = _read_pooling(folders[1] / "config.json")
    head = HeadConfig(kind="embedding", pooling=pooling, unit=len(kinds) == 3)
    return SentenceEncoderSpec(
        folders[0], head, _read_limit(folders[0] / LENGTH_CONFIG), _read_prompt(path)
    )


def _read_pooling(file: Path) -> Pooling:
    """The pooling of a config.json: a name in newer files, a flag in older ones.

    Raises ArtifactError for an unsupported pooling, and for several at once.
    """
    values = read_json_object(file)
    by_flag = {flag: name for name, flag in POOLING_FLAGS.items()}
    flags = [key for key, is_set in values.items() if key.startswith("pooling_mode_") and is_set]
    mode = values.get("pooling_mode")
    names = [str(mode)] if mode else [by_flag.get(flag, flag) for flag in flags]
    if len(names) != 1 or names[0] not in POOLINGS:
        raise ArtifactError(
            f"{file} has the pooling {', '.join(names) or 'none'}; groundup supports one of "
            f"{', '.join(POOLINGS)}."
        )
    if values.get("include_prompt", True) is not True:
        raise ArtifactError(f"{file} has include_prompt=false, which groundup does not support.")
    return POOLINGS[names[0]]


def _read_limit(file: Path) -> int | None:
    """Maximum tokens of a text; None if the file is missing or sets none."""
    limit = read_json_object(file).get("max_seq_length") if file.is_file() else None
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ArtifactError(f"{file} has max_seq_length={limit!r}; expected a number of tokens.")
    return limit


def _read_prompt(path: Path) -> str:
    """The default prompt of a directory."""
    file = path / "config_sentence_transformers.json"
    values: dict[str, Any] = read_json_object(file) if file.is_file() else {}
    name, prompts = values.get("default_prompt_name"), values.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise ArtifactError(f"{file} has default_prompt_name={name!r} and no such prompt.")
    return prompts[name]


def write_sentence_encoder(path: Path, head: HeadConfig, config: ModelConfig) -> None:
    """Write the modules and pooling of a saved encoder."""
    kinds = MODULE_TYPES[head.unit]
    folders = ("", POOLING_FOLDER, "2_Normalize")
    steps = [
        {
            "idx": i,
            "name": str(i),
            "path": folders[i],
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    pooling_name = {pooling: name for name, pooling in POOLINGS.items()}[head.pooling]
    flags = {flag: name == pooling_name for name, flag in POOLING_FLAGS.items()}
    others = dict.fromkeys(("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"), False)
    (path / POOLING_FOLDER).mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": config.width} | flags | others
    write_json(path / POOLING_FOLDER / "config.json", pooling)
    write_json(
        path / LENGTH_CONFIG, {"max_seq_length": config.context_length, "do_lower_case": False}
    )
    write_json(path / MODULES, steps)
