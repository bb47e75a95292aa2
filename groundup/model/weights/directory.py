"""Weights on disk: a directory that Transformers opens too.

    config.json              under a peer's names where it has such a model (see families/)
    model.safetensors        tensors; or model.safetensors.index.json and shards
    generation_config.json   which ids end a text
    tokenizer.json, …        copied from the tokenizer, with the chat template

`load` takes our model artifacts, whose manifest it checks, and directories of Transformers. Every
tensor must be known, present and of the right shape. Never pickle.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.core import Artifact, ArtifactError, replacing, write_json
from groundup.kernels import Int8Linear

from ..families.registry import Family, family_for, family_of
from ..transformer import Transformer
from .packed import QUANTIZATION_CONFIG, is_packed, packed_state, unpack_all

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt",
)  # fmt: skip
ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
DTYPES = {
    "float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # fmt: skip
NAMED_AT_MOST = 8


def load(path: Path | str, dtype: torch.dtype | None = None) -> Transformer:
    """Open a model directory, ready for inference.

    dtype  of the weights in memory; default: the one that config.json names. Int8 stays int8.

    Raises ArtifactError naming the file, or the tensors that are missing, unexpected or misshapen.
    """
    path = Path(path)
    if (path / "manifest.json").is_file():
        Artifact.open(path, kind="model")
    config = read_json(path / CONFIG)
    family = family_of(config, str(path / CONFIG))
    model = Transformer(family.read(config), seed=None)
    named = config.get("dtype") or config.get("torch_dtype") or "float32"
    if dtype is None and named not in DTYPES:
        raise ArtifactError(f"{path / CONFIG} has dtype {named!r}; expected {', '.join(DTYPES)}.")
    model = model.to(dtype or DTYPES[named])
    state = family.ours(read_tensors(path), model.config)
    if is_packed(config):
        state = unpack_all(model, state)
    fill(model, state, path)
    return model.eval()


def save(
    model: Transformer,
    path: Path | str,
    tokenizer: Path | str | None = None,
    *,
    chat: bool | None = None,
) -> None:
    """Write a model directory; files are replaced whole or not at all.

    tokenizer  directory of a tokenizer or a model, whose tokenizer files are copied
    chat       whether a turn's end ends a text too, as in a model tuned on conversations;
               None: as the model that the tokenizer is copied from, else not

    A model that no peer's files can say is written as our own (families/own.py).
    """
    path, family = Path(path), family_for(model.config)
    path.mkdir(parents=True, exist_ok=True)
    config = family.write(model.config) | ends_of_text(tokenizer, chat)
    dtype = str(model.head.dtype).removeprefix("torch.")
    config |= {"dtype": dtype, "torch_dtype": dtype}
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        config["quantization_config"] = QUANTIZATION_CONFIG
    with replacing(path / WEIGHTS) as temporary:
        save_tensors(file_state(model, family), temporary)
    if tokenizer is not None:
        copy_tokenizer(Path(tokenizer), path)
    write_json(path / GENERATION, {key: config[key] for key in ENDS})
    write_json(path / CONFIG, config)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; OSError where the disk does not take it."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:  # the library hides the system's number in its text
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def file_state(model: Transformer, family: Family) -> dict[str, Tensor]:
    """The model's tensors under the family's names, int8 weights packed."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, Int8Linear):
            del state[f"{name}.weight"], state[f"{name}.scale"]
            state |= packed_state(name, module)
    return family.theirs(state, model.config)


def ends_of_text(tokenizer: Path | str | None, chat: bool | None) -> dict[str, Any]:
    """The ids that begin, end and pad a text; None each without a tokenizer."""
    specials: Mapping[str, int] = {}
    if tokenizer is not None:
        generation = Path(tokenizer) / GENERATION
        if chat is None and generation.is_file():
            found = read_json(generation)
            return {key: found.get(key) for key in ENDS}
        from groundup.tokenizer import load_tokenizer  # here: opening weights needs no tokenizer

        specials = load_tokenizer(tokenizer).specials
    end, turn = specials.get("<|endoftext|>"), specials.get("<|im_end|>")
    ends = [turn, end] if chat and turn is not None else end
    return {"bos_token_id": None, "eos_token_id": ends, "pad_token_id": end}


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer files that are there."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != target.resolve():
            with replacing(target / name) as temporary:
                shutil.copyfile(source / name, temporary)


def fill(model: Transformer, state: dict[str, Tensor], path: Path) -> None:
    """Copy tensors into the model; every one must be known, present and of the right shape."""
    expected = model.state_dict()
    if model.lm_head is None and "lm_head.weight" in state:
        if not torch.equal(state.pop("lm_head.weight"), state.get("embed_tokens.weight", Tensor())):
            raise ArtifactError(
                f"{path} says tie_word_embeddings, and its lm_head.weight is not the embedding."
            )
    wrong = [
        ("lacks", expected.keys() - state.keys()),
        ("has unexpected", state.keys() - expected.keys()),
        ("has misshapen", {
            f"{name} {tuple(state[name].shape)} for {tuple(expected[name].shape)}"
            for name in expected.keys() & state.keys()
            if state[name].shape != expected[name].shape
        }),
    ]  # fmt: skip
    faults = [f"{verb} {listed(names)}" for verb, names in wrong if names]
    if faults:
        raise ArtifactError(
            f"{path} {'; '.join(faults)}: the weights do not belong to its config.json."
        )
    model.load_state_dict(state)


def listed(names: Iterable[str]) -> str:
    """The first names in order, and how many there are more.

    >>> listed({"b", "a"})
    'a, b'
    """
    ordered = sorted(names)
    more = len(ordered) - NAMED_AT_MOST
    return ", ".join(ordered[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of model.safetensors, or of the shards that its index names."""
    if (path / WEIGHTS).is_file() or not (path / INDEX).is_file():
        return read_safetensors(path / WEIGHTS)
    places = read_json(path / INDEX).get("weight_map", {})
    shards = {name: read_safetensors(path / Path(name).name) for name in set(places.values())}
    state = {name: tensor for shard in shards.values() for name, tensor in shard.items()}
    if state.keys() != places.keys():
        different = listed(state.keys() ^ places.keys())
        raise ArtifactError(f"{path / INDEX} and its shards differ in {different}.")
    return state


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({error}): it is missing, truncated or no safetensors file; "
            "copy or make the model again."
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model directory."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); expected a model directory."
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}); copy or make the model again.") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} holds no JSON object; copy or make the model again.")
    return content
