"""Decoders of LLaMA's kind as Transformers computes them: odd shapes of every family.

Run by `make oracles`. Writes tests/fixtures/decoders/<family>/<name>/ with a model directory each
and `expected.safetensors`: ids with padding on the left, on the right and not at all, all hidden
states, logits, logits far from the first position, and for the first of a family the gradient of
every tensor. `reopened.json` says what Transformers computes from directories that we saved: of
these models and of every tiny preset of the families.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    PreTrainedModel,
)

from groundup.model import Transformer, load, presets, save

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "decoders"
VOCAB, LENGTH, CONTEXT, FAR = 17, 12, 64, 40
FAMILIES = ("LLaMA", "Llama 3", "Mistral", "Mixtral", "Qwen 2", "Qwen 3", "Gemma 3", "OLMo 2")


def rope(kind: str = "default", **more: Any) -> dict[str, Any]:
    """Rotary positions with a base that turns far within a few tokens."""
    return {"rope_type": kind, "rope_theta": 100.0, **more}


LLAMA3 = rope(
    "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=8,
)  # fmt: skip
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=8)
YARN_SAID = YARN | {"beta_fast": 4.0, "beta_slow": 0.5, "attention_factor": 1.3, "truncate": False}
LINEAR = rope("linear", factor=3.0)
NEAR, FAR_TYPE = "sliding_attention", "full_attention"


def size(width: int, heads: int, kv: int, inner: int, layers: int = 2, **more: Any) -> dict:
    """The keys that all families share."""
    return {
        "hidden_size": width, "num_attention_heads": heads, "num_key_value_heads": kv,
        "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT, "initializer_range": 0.3, "eos_token_id": None,
        "bos_token_id": None, "pad_token_id": None, "tie_word_embeddings": False, **more,
    }  # fmt: skip


def gemma(*args: int, full: dict, **more: Any) -> dict:
    """Gemma's keys, with short positions in layers with a window."""
    ropes = {FAR_TYPE: full, NEAR: rope() | {"rope_theta": 20.0}}
    return size(*args, rope_parameters=ropes, **more)


SHAPES: dict[str, dict[str, dict]] = {
    "llama": {
        "grouped_llama3": size(12, 6, 2, 10, head_dim=4, rope_parameters=LLAMA3),
        "one_kv_linear": size(10, 5, 1, 12, rope_parameters=LINEAR, tie_word_embeddings=True,
                              rms_norm_eps=1e-5),
        "biased_yarn": size(8, 2, 2, 6, head_dim=6, rope_parameters=YARN, attention_bias=True,
                            mlp_bias=True),
    },
    "mistral": {
        "window": size(10, 3, 1, 12, head_dim=4, sliding_window=5, rope_parameters=rope()),
        "full_yarn": size(8, 2, 1, 10, sliding_window=None, rope_parameters=YARN_SAID,
                          tie_word_embeddings=True),
        "window_llama3": size(12, 2, 2, 10, sliding_window=7, rope_parameters=LLAMA3),
    },
    "mixtral": {
        "two_of_four": size(10, 2, 1, 6, head_dim=6, num_local_experts=4, sliding_window=None,
                            rope_parameters=rope()),
        "one_of_three": size(8, 2, 2, 6, num_local_experts=3, num_experts_per_tok=1,
                             sliding_window=4, rope_parameters=LINEAR, tie_word_embeddings=True),
        "all_of_two": size(8, 4, 2, 8, num_local_experts=2, num_experts_per_tok=2,
                           sliding_window=None, rope_parameters=LLAMA3),
    },
    "qwen2": {
        "grouped": size(12, 6, 2, 8, rope_parameters=rope()),
        "upper_windows": size(8, 2, 1, 10, 3, use_sliding_window=True, sliding_window=5,
                              max_window_layers=1, rope_parameters=LINEAR,
                              tie_word_embeddings=True),
        "yarn": size(10, 3, 3, 12, head_dim=6, rope_parameters=YARN),
    },
    "qwen3": {
        "mixed_windows": size(8, 2, 1, 10, 3, head_dim=6, use_sliding_window=True,
                              sliding_window=4, layer_types=[NEAR, FAR_TYPE, NEAR],
                              attention_bias=True, rope_parameters=YARN),
    },
    "gemma3_text": {
        "windows_linear": gemma(8, 4, 2, 10, 3, full=LINEAR, head_dim=6, sliding_window=5,
                                layer_types=[NEAR, NEAR, FAR_TYPE], query_pre_attn_scalar=3,
                                final_logit_softcapping=4.0, tie_word_embeddings=True),
        "one_kv_free": gemma(8, 2, 1, 10, full=rope(), head_dim=4, sliding_window=4,
                             layer_types=[NEAR, FAR_TYPE], query_pre_attn_scalar=4),
        "all_full": gemma(10, 5, 5, 8, full=LLAMA3, head_dim=2, sliding_window=4,
                          layer_types=[FAR_TYPE] * 2, query_pre_attn_scalar=2,
                          tie_word_embeddings=True),
    },
    "olmo2": {
        "grouped": size(12, 6, 2, 8, rope_parameters=rope()),
        "one_kv_yarn": size(8, 2, 1, 10, rope_parameters=YARN, tie_word_embeddings=True),
        "biased_linear": size(10, 3, 3, 8, head_dim=4, rope_parameters=LINEAR,
                              attention_bias=True),
    },
}  # fmt: skip
UNTRAINED = ("qwen3", "gemma3")
"""Families whose gradients say nothing that others' do not."""
MIXTURES = ("mixtral", "qwen3_moe", "granitemoe", "gpt_oss", "deepseek_v2", "deepseek_v3")
VISION = {
    "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
    "image_size": 8, "patch_size": 4, "model_type": "siglip_vision_model",
}  # fmt: skip


def peer(family: str, shape: dict[str, Any]) -> PreTrainedModel:
    """A random model whose norms are not ones, in numbers that bfloat16 holds."""
    config = AutoConfig.for_model(family, **shape)
    return shaken(AutoModelForCausalLM.from_config(config))


def seer() -> PreTrainedModel:
    """A Gemma 3 with a tower for pictures."""
    said = {"model_type": "gemma3_text", "final_logit_softcapping": None}
    text = SHAPES["gemma3_text"]["windows_linear"] | said
    config = Gemma3Config(
        text_config=text, vision_config=VISION, mm_tokens_per_image=4, boi_token_index=14,
        eoi_token_index=15, image_token_index=16,
    )  # fmt: skip
    return shaken(Gemma3ForConditionalGeneration(config))


def shaken(model: PreTrainedModel) -> PreTrainedModel:
    """The model with vectors that are not all ones or zeros, rounded to bfloat16."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    model = model.eval().to(torch.bfloat16)
    for module in model.modules():  # of experts: a buffer that stays float32
        if hasattr(module, "e_score_correction_bias"):
            drawn = torch.randn_like(module.e_score_correction_bias)
            module.e_score_correction_bias = (0.3 * drawn).float()
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows without padding, with it on the left, and on the right; and their masks."""
    ids = torch.randint(VOCAB - 3, (3, LENGTH))
    mask = torch.ones_like(ids)
    mask[1, :3], mask[2, -4:] = 0, 0
    return ids, mask


def opened(directory: Path) -> PreTrainedModel:
    """The directory in float32, with attention and experts written out."""
    kind = json.loads((directory / "config.json").read_text())["model_type"]
    cls = Gemma3ForConditionalGeneration if kind == "gemma3" else AutoModelForCausalLM
    plain = {"experts_implementation": "eager"} if kind in MIXTURES else {}
    # Written out, Falcon's attention adds ALiBi twice.
    plain["attn_implementation"] = "sdpa" if kind == "falcon" else "eager"
    return cls.from_pretrained(directory, dtype=torch.float32, **plain).eval()


class Outputs(NamedTuple):
    """Of every token."""

    logits: torch.Tensor
    hidden_states: tuple[torch.Tensor, ...]


def run(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> Outputs:
    """What the model computes; Llama 4 without the padding, which its temperatures would count."""
    if model.config.model_type != "llama4_text":
        out = model(ids, attention_mask=mask, output_hidden_states=True)
        return Outputs(out.logits, out.hidden_states)
    rows = []
    for row, own in zip(ids, mask, strict=True):
        out = model(row[own == 1][None], output_hidden_states=True)
        first = int(own.argmax())
        gaps = (0, 0, first, len(row) - first - int(own.sum()))
        rows.append([torch.nn.functional.pad(x, gaps) for x in (out.logits, *out.hidden_states)])
    logits, *hidden = (torch.cat(each) for each in zip(*rows, strict=True))
    return Outputs(logits, tuple(hidden))


def far_logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the last token far from the first position; Llama 4 counts padding before it."""
    if model.config.model_type != "llama4_text":
        far = torch.arange(FAR, FAR + LENGTH)[None]
        return model(ids, position_ids=far).logits[:, -1]
    padding = torch.zeros(1, FAR, dtype=torch.long)
    mask = torch.cat([padding, torch.ones_like(ids)], dim=1)
    positions = torch.arange(FAR + LENGTH)[None]
    whole = torch.cat([padding, ids], dim=1)
    return model(whole, attention_mask=mask, position_ids=positions).logits[:, -1]


def expect(directory: Path, has_gradients: bool) -> dict[str, torch.Tensor]:
    """What Transformers computes from the directory; also written beside it."""
    model, (ids, mask) = opened(directory), batch()
    out = run(model, ids, mask)
    found = {"ids": ids, "mask": mask, "logits": out.logits}
    found |= {f"hidden.{i}": hidden for i, hidden in enumerate(out.hidden_states)}
    found["far"] = far_logits(model, ids[:1])
    if has_gradients:
        is_read = mask[:, :-1] * mask[:, 1:]  # a token and the one before it are real
        labels = ids[:, 1:].masked_fill(is_read == 0, -100)
        loss = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels.flatten())
        loss.backward()
        parameters = dict(model.named_parameters())
        found |= {f"grad.{name}": p.grad for name, p in parameters.items() if p.grad is not None}
    found = {name: tensor.detach().contiguous() for name, tensor in found.items()}
    save_file(found, directory / "expected.safetensors")
    return found


@torch.no_grad()
def reopen(model: Transformer, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Save a model of ours, open it with Transformers, and compare logits of real tokens."""
    with tempfile.TemporaryDirectory() as place:
        save(model, place)
        values = json.loads((Path(place) / "config.json").read_text())
        model, again = model.float(), opened(Path(place))
        expected = run(again, ids, mask).logits
    ours = model.logits(ids, documents=mask - 1)
    worst = (ours - expected)[mask == 1].abs().max()
    return {"model_type": values["model_type"], "largest_difference": float(worst)}


def write(shapes: dict[str, dict[str, dict]]) -> dict[str, Any]:
    """Write the fixtures of these shapes; say what Transformers computes from ours."""
    reopened = {}
    for family, names in shapes.items():
        for number, (name, shape) in enumerate(names.items()):
            has_gradients = number == 0 and family not in UNTRAINED
            reopened |= write_one(family, name, peer(family, shape), has_gradients=has_gradients)
    return reopened


def write_one(
    family: str, name: str, model: PreTrainedModel, *, has_gradients: bool
) -> dict[str, Any]:
    """Write one fixture."""
    directory = ROOT / family / name
    shard = "1KB" if name in ("full_yarn", "one_of_three") else "1GB"
    model.save_pretrained(directory, max_shard_size=shard)
    (directory / "generation_config.json").unlink(missing_ok=True)
    found = expect(directory, has_gradients)
    again = load(directory, dtype=torch.float32)
    return {f"{family}/{name}": reopen(again, found["ids"], found["mask"])}


def reopen_tiny(families: tuple[str, ...]) -> dict[str, Any]:
    """What Transformers computes from the tiny presets of these families."""
    reopened = {}
    for name, preset in presets().items():
        if name.endswith("-tiny") and preset.family in families:
            config = preset.config.model_copy(update={"vocab_size": 64})
            ids = torch.randint(64, (2, 48))
            model = Transformer(config, seed=1).eval()
            for parameter in model.parameters():
                parameter.data += 0.02 * torch.randn_like(parameter)
            reopened[name] = reopen(model, ids, torch.ones_like(ids))
    return reopened


def write_anew(shapes: dict[str, dict[str, dict]], presets: tuple[str, ...], name: str) -> None:
    """Write every fixture of some families anew, and what their tiny presets give."""
    for family in shapes:
        shutil.rmtree(ROOT / family, ignore_errors=True)
    text = json.dumps(write(shapes) | reopen_tiny(presets), indent=1) + "\n"
    (ROOT / name).write_text(text, encoding="utf-8")


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    for family in (*SHAPES, "gemma3"):
        shutil.rmtree(ROOT / family, ignore_errors=True)
    reopened = write(SHAPES)
    reopened |= write_one("gemma3", "with_pictures", seer(), has_gradients=False)
    reopened |= reopen_tiny(FAMILIES)
    text = json.dumps(reopened, indent=1) + "\n"
    (ROOT / "reopened.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
