"""Model directories, in the format of Transformers.

    config.json              in a Hugging Face family's format if one can express the model
    model.safetensors        tensors; or model.safetensors.index.json and shards
    generation_config.json   special token ids
    tokenizer.json, …        copied from the tokenizer, with the chat template

`load` opens groundup's model artifacts, whose manifest it checks, and Hugging Face directories.
Every tensor must be known, present and of the right shape. Pickles are never opened.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    atomic_replace,
    record,
    require_regular_file,
    write_json,
)
from groundup.kernels import QuantizedLinear

from ..configuration.config import ModelConfig
from ..families.classifiers import DISCRIMINATOR, has_head
from ..families.registry import choose_family, get_family, read_config
from ..transformer import Transformer, has_adapters
from .packed import install_packed_weights, is_packed, quantization_config, to_packed_state

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "spm.model", "tokenizer.model.v1", "tokenizer.model.v2",
    "tokenizer.model.v3", "tokenizer.model.v7", "tekken.json", "pieces.json", "chat_template.json",
)  # fmt: skip
SHARD = re.compile(r"[^\0\n]{1,1000}\.safetensors")
"""File names that an index may contain."""
ROLES = ("bos", "eos", "pad")
SPECIAL_ID_KEYS = tuple(f"{role}_token_id" for role in ROLES)
START_ID_KEY = "decoder_start_token_id"
"""Key of the start token of an encoder–decoder."""
TARGET_ID_KEYS = (START_ID_KEY, "forced_bos_token_id")
"""Keys of what the decoder of an encoder–decoder reads first, such as the language it writes."""
DTYPES = {
    "float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # fmt: skip
MAX_LISTED_TENSORS = 8
MAX_HEADER_BYTES = 100_000_000
"""Bytes that safetensors allows."""
MAX_WEIGHTS_PER_VALUE, MIN_CHECKED_WEIGHTS = 8, 2**20
"""Maximum weights per stored number; and a number of weights that is always allocated."""


def load(path: Path | str, dtype: torch.dtype | None = None) -> Transformer:
    """Open a model directory, ready for inference.

    dtype  of the weights in memory; default: config.json's. Int8 stays int8.

    Raises ArtifactError naming the file, or the missing, unexpected and misshapen tensors.
    """
    path = Path(path)
    values = read_config_values(path)
    if has_head(values) and DISCRIMINATOR not in (values.get("architectures") or ()):
        raise ArtifactError(
            f"{path} is a classifier, which has no token logits; expected a language model or an "
            "encoder without a head (from Python, load_with_head opens this one)."
        )
    config = read_config(values, str(path / CONFIG))
    return build_from_tensors(path, values, config, read_tensors(path), dtype)


def load_to_train(path: Path | str) -> Transformer:
    """Open a model directory with float32 weights; integers are dequantized."""
    model = load(path, dtype=torch.float32)
    quantized = [name for name, part in model.named_modules() if isinstance(part, QuantizedLinear)]
    for name in quantized:
        model.set_submodule(name, model.get_submodule(name).to_linear())  # type: ignore[operator]
    if quantized:
        record.log(f"{path} is quantized; its weights are dequantized.")
    return model


def open_config(path: Path | str) -> ModelConfig:
    """The configuration of a model directory; raises ArtifactError as `load` does."""
    path = Path(path)
    return read_config(read_config_values(path), str(path / CONFIG))


def build_from_tensors(
    path: Path, values: dict[str, Any], config: ModelConfig, tensors: dict[str, Tensor],
    dtype: torch.dtype | None,
) -> Transformer:  # fmt: skip
    """Build a model from a directory's tensors, which still have Hugging Face names."""
    _check_size(path, config, tensors)
    model = Transformer(config, seed=None).to(dtype or _parse_dtype(values, path))
    family = get_family(values, str(path / CONFIG))
    model.family, state = family.name, family.from_hf_state_dict(tensors, config)
    if is_packed(values):
        state = install_packed_weights(model, state)
    load_model_state(model, state, path)
    return model.eval()


def _check_size(path: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise ArtifactError if a configuration has far more weights than its files."""
    needed, stored = _min_weights(config), sum(tensor.numel() for tensor in tensors.values())
    if needed > MAX_WEIGHTS_PER_VALUE * stored + MIN_CHECKED_WEIGHTS:
        what = f"{path / CONFIG} describes a model of at least {needed:,} weights"
        raise ArtifactError(f"{what}, but the files hold {stored:,}; copy or make the model again.")


def _min_weights(config: ModelConfig) -> int:
    """A lower bound of a model's weights: embeddings, and two projections of each sublayer.

    >>> _min_weights(ModelConfig(vocab_size=10, width=4, layers=1)) == 10 * 4 + 8 * (4 * 64 + 768)
    True
    """
    part, feed, experts = config.attention, config.feedforward, config.feedforward.experts
    rows = config.vocab_size + config.context_length * config.position.has_table
    inner, layers = feed.width, config.layers + config.encoder_layers
    if experts is not None:
        sparse = sum(map(config.has_experts, range(layers)))
        inner = feed.expert_width * experts.count * sparse // layers
    buckets = config.position.buckets * part.heads * (config.position.kind == "buckets")
    features = part.head_dim if part.latent is None else part.latent.value_dim // 2
    blocks = 2 * layers * config.width * (part.heads * features + inner)
    return buckets + rows * config.embedding_width + blocks


def read_config_values(path: Path) -> dict[str, Any]:
    """The config.json of a directory; an artifact's manifest is checked."""
    if (path / "manifest.json").is_file():
        Artifact.open(path, kind="model")
    return read_json_object(path / CONFIG)


def _parse_dtype(values: Mapping[str, Any], path: Path) -> torch.dtype:
    name = values.get("dtype") or values.get("torch_dtype") or "float32"
    if not isinstance(name, str) or name not in DTYPES:
        raise ArtifactError(f"{path / CONFIG} has dtype {name!r}; expected {', '.join(DTYPES)}.")
    return DTYPES[name]


def save(
    model: Transformer, path: Path | str, tokenizer: Path | str | None = None, *,
    chat: bool | None = None,
) -> None:  # fmt: skip
    """Write a model directory; each file is replaced atomically.

    tokenizer  directory of a tokenizer or a model, whose tokenizer files are copied
    chat       whether the end of a turn is an end-of-text id too, as in a chat model; None: as in
               the model that the tokenizer is copied from, otherwise not

    A model that no Hugging Face family can express is written in groundup's own format
    (families/registry.py). Raises ConfigError for a model with adapters.
    """
    if has_adapters(model):
        raise ConfigError(
            "The model has adapters, which save_adapter writes; remove or merge them."
        )
    family = choose_family(model.config, packed=is_quantized(model))
    tensors = family.to_hf_state_dict(packed_state_dict(model), model.config)
    values = family.to_hf_config(model.config) | weight_config(model)
    write_directory(Path(path), values, tensors, tokenizer, chat)


def write_directory(
    path: Path, values: dict[str, Any], tensors: dict[str, Tensor], tokenizer: Path | str | None,
    chat: bool | None,
) -> None:  # fmt: skip
    """Write a model directory; config.json comes last, so it implies complete weights."""
    path.mkdir(parents=True, exist_ok=True)
    special_ids = _special_token_ids(tokenizer, chat)
    if values.get("is_encoder_decoder") and special_ids["pad_token_id"] is not None:
        special_ids.setdefault(START_ID_KEY, special_ids["pad_token_id"])  # as in T5
    values = values | {key: id for key, id in special_ids.items() if key not in values}
    with atomic_replace(path / WEIGHTS) as temporary:
        save_tensors(tensors, temporary)
    if tokenizer is not None:
        _copy_tokenizer(Path(tokenizer), path)
    ids = {key: values[key] for key in (*SPECIAL_ID_KEYS, *TARGET_ID_KEYS) if key in values}
    write_json(path / GENERATION, ids)
    write_json(path / CONFIG, values)


def weight_config(model: Transformer) -> dict[str, Any]:
    """The config.json keys of the weights: dtype and quantization."""
    dtype = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
    quantization = quantization_config(model)
    packing = {"quantization_config": quantization} if quantization else {}
    return {"dtype": dtype, "torch_dtype": dtype} | packing


def is_quantized(model: Transformer) -> bool:
    """Whether any of the model's linear layers has integer weights."""
    return any(isinstance(module, QuantizedLinear) for module in model.modules())


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; raises OSError if the disk is full."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:  # the library has the errno in its message only
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def packed_state_dict(model: Transformer) -> dict[str, Tensor]:
    """The model's state, with integer weights packed."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            del state[f"{name}.weight"], state[f"{name}.scale"]
            state |= to_packed_state(name, module)
    return state


def _special_token_ids(tokenizer: Path | str | None, chat: bool | None) -> dict[str, Any]:
    specials: Mapping[str, int] = {}
    if tokenizer is not None:
        files = [Path(tokenizer) / name for name in (CONFIG, GENERATION)]
        said = [read_json_object(file) if file.is_file() else {} for file in files]
        start = {key: id for values in said for key, id in values.items()
                 if key in TARGET_ID_KEYS and id is not None}  # fmt: skip
        if chat is None and said[1]:
            return {key: said[1].get(key) for key in SPECIAL_ID_KEYS} | start
        from groundup.tokenizer import ImportedTokenizer, load_tokenizer  # lazy: only needed here

        loaded = load_tokenizer(tokenizer)
        if isinstance(loaded, ImportedTokenizer):
            return {f"{role}_token_id": loaded.role_ids.get(role) for role in ROLES} | start
        specials = loaded.specials
    end, turn = specials.get("<|endoftext|>"), specials.get("<|im_end|>")
    ends = [turn, end] if chat and turn is not None else end
    return {"bos_token_id": None, "eos_token_id": ends, "pad_token_id": end}


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != target.resolve():
            with atomic_replace(target / name) as temporary:
                shutil.copyfile(source / name, temporary)


def load_model_state(model: Transformer, state: dict[str, Tensor], path: Path) -> None:
    """Copy tensors into the model; a tied head may repeat the embedding."""
    if model.lm_head is None and "lm_head.weight" in state:
        if not torch.equal(state.pop("lm_head.weight"), state.get("embed_tokens.weight", Tensor())):
            raise ArtifactError(
                f"{path} has tie_word_embeddings=true, but lm_head.weight is not the embedding."
            )
    load_module_state(model, state, path)


def load_module_state(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module; each must be known, present, and of the right shape and dtype.

    Weights may have any supported float dtype and are converted to the module's.
    """
    expected = module.state_dict()
    both = expected.keys() & state.keys()
    wrong = [
        ("lacks", expected.keys() - state.keys()),
        ("has unexpected", state.keys() - expected.keys()),
        ("has misshapen", {
            f"{name} {tuple(state[name].shape)} for {tuple(expected[name].shape)}"
            for name in both if state[name].shape != expected[name].shape
        }),
        ("has, with an unexpected dtype,", {
            f"{name} of {str(state[name].dtype).removeprefix('torch.')}" for name in both
            if not _is_compatible_dtype(state[name].dtype, expected[name].dtype)
        }),
    ]  # fmt: skip
    faults = [f"{verb} {_format_tensor_names(names)}" for verb, names in wrong if names]
    if faults:
        raise ArtifactError(f"{path} {'; '.join(faults)}: the weights do not match config.json.")
    module.load_state_dict(state)


def _is_compatible_dtype(dtype: torch.dtype, expected: torch.dtype) -> bool:
    """Whether weights of a dtype can be loaded as another: any supported float as any float.

    >>> [_is_compatible_dtype(each, torch.float32) for each in (torch.bfloat16, torch.int32)]
    [True, False]
    """
    return dtype == expected or (expected.is_floating_point and dtype in DTYPES.values())


def _format_tensor_names(names: Iterable[str]) -> str:
    """The first names in order, and the number of the others.

    >>> _format_tensor_names({"b", "a"})
    'a, b'
    """
    ordered = sorted(names)
    more = len(ordered) - MAX_LISTED_TENSORS
    return ", ".join(ordered[:MAX_LISTED_TENSORS]) + (f" and {more} more" if more > 0 else "")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of model.safetensors, or of the shards in the index."""
    state: dict[str, Tensor] = {}
    for file in weight_files(path):
        shard = read_safetensors(file)
        if twice := state.keys() & shard.keys():
            what = f"{file} has {_format_tensor_names(twice)}, which another shard of {path} has"
            raise ArtifactError(f"{what} too; copy the model again.")
        state |= shard
    if has_shards(path) and state.keys() != _read_index(path).keys():
        different = _format_tensor_names(state.keys() ^ _read_index(path).keys())
        raise ArtifactError(f"{path / INDEX} and its shards differ in {different}.")
    return state


def weight_files(path: Path) -> list[Path]:
    """model.safetensors, or the shards in the index."""
    if not has_shards(path):
        return [path / WEIGHTS]
    return [path / name for name in sorted({Path(n).name for n in _read_index(path).values()})]


def has_shards(path: Path) -> bool:
    """Whether a directory's weights are sharded."""
    return (path / INDEX).is_file() and not (path / WEIGHTS).is_file()


def _read_index(path: Path) -> dict[str, str]:
    weight_map = read_json_object(path / INDEX).get("weight_map")
    shards = weight_map if isinstance(weight_map, dict) else {}
    is_map = all(isinstance(name, str) for name in shards.values())
    wrong = [name for name in shards.values() if not SHARD.fullmatch(name)] if is_map else []
    if wrong:
        what = f"{path / INDEX} names the file {wrong[0][:80]!r}"
        raise ArtifactError(f"{what}; expected names ending in .safetensors.")
    if not is_map or not shards:
        raise ArtifactError(
            f"{path / INDEX} has no weight_map from tensors to files; copy or make the model again."
        )
    return shards


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file; ArtifactError if it is unreadable or lists a tensor twice."""
    try:
        _check_unique_names(require_regular_file(path))
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        why = "its header is no text" if isinstance(error, UnicodeDecodeError) else error
        what = f"{path} cannot be read ({why}): it is missing, truncated or not safetensors"
        raise ArtifactError(f"{what}; copy or make the model again.") from None


def _check_unique_names(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(min(size, MAX_HEADER_BYTES))
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        twice.extend(name for name, count in counts.items() if count > 1)
        return dict(pairs)

    json.loads(header, object_pairs_hook=once)
    if twice:
        raise ArtifactError(f"{path} has {_format_tensor_names(twice)} twice; copy it again.")


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file of a model directory that holds an object."""
    content = read_model_json(path)
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is not a JSON object; copy or make the model again.")
    return content


def read_model_json(path: Path) -> Any:
    """A JSON file of a model directory."""
    try:
        return json.loads(require_regular_file(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); expected a model directory."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); copy or make the model again.") from None
