"""Text vectors as sentence-transformers keeps them: an encoder, and how its states become one.

    modules.json               the steps in their order: Transformer, Pooling, perhaps Normalize
    1_Pooling/config.json      which states: of the first or last token, or the mean of all
    sentence_bert_config.json  most tokens of a text; what is longer is cut

So pooling is read, never guessed. Steps with weights of their own are refused by name.
Source: sentence-transformers 6.2; Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import ArtifactError, write_json

from ..config import ModelConfig
from ..heads import HeadConfig, Pooling
from .directory import read_any_json, read_json

MODULES, LIMITS, POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling"
STEPS = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean", "lasttoken": "last"}
"""Their names of poolings, and ours."""
FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Where a pooling's config.json says so by a flag."""


class Sentences(NamedTuple):
    """What makes a vector of a text."""

    encoder: Path
    """Directory of the encoder."""
    head: HeadConfig
    limit: int | None = None
    """Most tokens of a text, [CLS] and [SEP] included; None: the encoder's context."""
    prompt: str = ""
    """What every text begins with."""


def read_sentences(path: Path) -> Sentences:
    """The steps of a directory of sentence-transformers.

    Raises ArtifactError for steps, poolings and prompts that we do not compute.
    """
    steps = read_any_json(path / MODULES)
    try:
        kinds = tuple(str(step["type"]).rpartition(".")[2] for step in steps)
        places = [path / Path(str(step["path"])).name for step in steps]  # never outside of it
    except (TypeError, KeyError):
        raise ArtifactError(
            f"{path / MODULES} is no list of modules with a type and a path each."
        ) from None
    if kinds not in STEPS:
        raise ArtifactError(
            f"{path / MODULES} has the steps {', '.join(kinds) or 'none'}; groundup computes "
            "Transformer, Pooling and perhaps Normalize."
        )
    pooling = read_pooling(places[1] / "config.json")
    head = HeadConfig(kind="embedding", pooling=pooling, unit=len(kinds) == 3)
    return Sentences(places[0], head, read_limit(places[0] / LIMITS), read_prompt(path))


def read_pooling(file: Path) -> Pooling:
    """Which states a pooling takes; newer files say a word, older ones set a flag.

    Raises ArtifactError for one that we do not compute, and several at once.
    """
    values = read_json(file)
    by_flag = {flag: name for name, flag in FLAGS.items()}
    flags = [key for key, is_set in values.items() if key.startswith("pooling_mode_") and is_set]
    said = values.get("pooling_mode")
    found = [str(said)] if said else [by_flag.get(flag, flag) for flag in flags]
    if len(found) != 1 or found[0] not in POOLINGS:
        raise ArtifactError(
            f"{file} has the pooling {', '.join(found) or 'none'}; groundup computes one of "
            f"{', '.join(POOLINGS)}."
        )
    if values.get("include_prompt", True) is not True:
        raise ArtifactError(f"{file} has include_prompt=false, which groundup does not compute.")
    return POOLINGS[found[0]]


def read_limit(file: Path) -> int | None:
    """Most tokens of a text; None where nothing is said."""
    limit = read_json(file).get("max_seq_length") if file.is_file() else None
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ArtifactError(f"{file} has max_seq_length={limit!r}; expected a number of tokens.")
    return limit


def read_prompt(path: Path) -> str:
    """What every text begins with unless its user says otherwise."""
    file = path / "config_sentence_transformers.json"
    values: dict[str, Any] = read_json(file) if file.is_file() else {}
    name, prompts = values.get("default_prompt_name"), values.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise ArtifactError(f"{file} has default_prompt_name={name!r} and no such prompt.")
    return prompts[name]


def write_sentences(path: Path, head: HeadConfig, config: ModelConfig) -> None:
    """Write beside a saved encoder how its states become one vector."""
    kinds = STEPS[head.unit]
    folders = ("", POOLING, "2_Normalize")
    steps = [
        {
            "idx": i,
            "name": str(i),
            "path": folders[i],
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    chosen = {ours: name for name, ours in POOLINGS.items()}[head.pooling]
    flags = {flag: name == chosen for name, flag in FLAGS.items()}
    others = dict.fromkeys(("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"), False)
    (path / POOLING).mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": config.width} | flags | others
    write_json(path / POOLING / "config.json", pooling)
    write_json(path / LIMITS, {"max_seq_length": config.context_length, "do_lower_case": False})
    write_json(path / MODULES, steps)
