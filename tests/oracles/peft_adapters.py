"""Adapters as PEFT computes them on a small LLaMA, and ours as PEFT opens them.

Run by `make oracles`. Writes tests/fixtures/adapters/model, a directory of ours that Transformers
opens, and for each kind a PEFT directory with `expected.safetensors`: logits, merged logits where
there are any, and gradients of `(logits * weights).sum()`. `written.json` has the largest
difference of logits between us and PEFT for directories that we wrote, `families.json` that for
families whose files fuse modules or have experts, and how many modules PEFT adapted. `phi3` and
`fused`, `fused_dora` are a Phi 3 and PEFT's adapters of it.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import groundup.adapt as adapt
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
    load,
    preset,
    save,
)
from tests.adapt.models import compare_logits, shake, shake_adapter

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "adapters"
VOCAB, TASK = 61, {"task_type": "CAUSAL_LM"}
CONFIG = ModelConfig(
    vocab_size=VOCAB, width=32, layers=2, context_length=64, tied_embeddings=False,
    attention=AttentionConfig(heads=4, kv_heads=2, head_dim=8, qk_norm="none", bias="all"),
    feedforward=FeedForwardConfig(width=40),
)  # fmt: skip
PEERS = {
    "lora": LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", **TASK),
    "rslora": LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True,
                         rank_pattern={"layers.1.self_attn.q_proj": 2},
                         alpha_pattern={"v_proj": 3}, **TASK),
    "dora": LoraConfig(r=3, target_modules="all-linear", use_dora=True, **TASK),
    "embedding": LoraConfig(r=2, target_modules=["embed_tokens", "down_proj"], **TASK),
    "prefix": PrefixTuningConfig(num_virtual_tokens=5, **TASK),
    "projected": PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True,
                                    encoder_hidden_size=12, **TASK),
}  # fmt: skip
OURS = {
    "lora": adapt.LoraConfig(rank=4, alpha=6.0),
    "rslora": adapt.LoraConfig(rank=3, targets=("q_proj", "down_proj"), rank_stabilised=True),
    "dora": adapt.LoraConfig(rank=3, dora=True),
    "embedding": adapt.LoraConfig(rank=2, targets=("embed_tokens", "layers.1.attention.q_proj")),
    "prefix": adapt.PrefixConfig(length=5),
    "projected": adapt.PrefixConfig(length=3, projection=True, projection_width=12),
}

LORA_A, PEFT_WEIGHTS = re.compile(r"\.lora_(embedding_)?A"), "adapter_model.safetensors"
FUSED = {
    "fused": LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", **TASK),
    "fused_dora": LoraConfig(r=3, use_dora=True, target_modules=["qkv_proj", "down_proj"], **TASK),
}
FUSED_OURS = {
    "lora": OURS["lora"],
    "rslora": adapt.LoraConfig(rank=3, targets=("q_proj", "up_proj"), rank_stabilised=True),
    "dora": adapt.LoraConfig(rank=3, dora=True, targets=("k_proj", "v_proj", "o_proj")),
}
FAMILIES = {
    "phi-4-mini-tiny": ("lora", "rslora", "dora"), "pythia-tiny": ("lora", "rslora", "dora"),
    "falcon-tiny": ("lora", "dora"), "bloom-tiny": ("lora", "dora"), "glm-4-tiny": ("lora", "dora"),
    "deepseek-v2-tiny": ("lora",), "deepseek-v3-tiny": ("lora",), "qwen-3-moe-tiny": ("lora",),
}  # fmt: skip


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    for name in ("model", "phi3", *PEERS, *FUSED):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    model = Transformer(CONFIG, seed=3)
    shake(model.parameters())
    save(model, ROOT / "model")
    inputs = {"ids": torch.randint(VOCAB, (2, 11)), "weights": torch.randn(2, 11, VOCAB)}
    save_file(inputs, ROOT / "model" / "inputs.safetensors")
    for name, config in PEERS.items():
        write_peer(name, config, inputs["ids"], inputs["weights"])
    bases = {name: ROOT / "model" for name in OURS}
    differences = {n: write_ours(config, inputs["ids"], bases[n]) for n, config in OURS.items()}
    (ROOT / "written.json").write_text(json.dumps(differences, indent=1) + "\n")
    write_families(inputs["ids"], inputs["weights"])


def write_families(ids: torch.Tensor, weights: torch.Tensor) -> None:
    """PEFT's adapters of a Phi 3, and ours of every family beside PEFT."""
    phi = preset("phi-4-mini-tiny").config.model_dump() | {"vocab_size": VOCAB, "layers": 2}
    phi = ModelConfig(
        **phi
        | {
            "width": 32,
            "feedforward": CONFIG.feedforward,
            "context_length": 64,
            "attention": CONFIG.attention.model_copy(update={"bias": "none"}),
        }
    )
    model = Transformer(phi, seed=3)
    shake(model.parameters())
    save(model, ROOT / "phi3")
    for name, config in FUSED.items():
        write_peer(name, config, ids, weights, "phi3")
    found = {}
    for name, kinds in FAMILIES.items():
        config = preset(name).config.model_copy(update={"vocab_size": VOCAB})
        with tempfile.TemporaryDirectory() as folder:
            model = Transformer(config, seed=3)
            shake(model.parameters(), 0.02)
            save(model, folder)
            found[name] = {kind: write_ours(FUSED_OURS[kind], ids, Path(folder)) for kind in kinds}
    (ROOT / "families.json").write_text(json.dumps(found, indent=1) + "\n")


def peer(base: Path = ROOT / "model") -> AutoModelForCausalLM:
    """The base as Transformers opens it."""
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def write_peer(
    name: str, config: LoraConfig | PrefixTuningConfig, ids: torch.Tensor, weights: torch.Tensor,
    base: str = "model",
) -> None:  # fmt: skip
    """Compute logits and gradients of a random adapter, and save it."""
    model = get_peft_model(peer(ROOT / base), config)
    trained = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    shake(trained.values())
    logits = model(input_ids=ids).logits
    (logits * weights).sum().backward()
    expected = {f"gradient.{key}": weight.grad for key, weight in trained.items()}
    expected["logits"] = logits.detach()
    model.save_pretrained(ROOT / name)
    (ROOT / name / "README.md").unlink()
    file = ROOT / name / "adapter_config.json"
    values = json.loads(file.read_text()) | {"base_model_name_or_path": base}
    if values.get("target_modules"):  # a set, whose order differs from run to run
        values["target_modules"] = sorted(values["target_modules"])
    file.write_text(json.dumps(values, indent=2) + "\n")
    if isinstance(config, LoraConfig):
        with torch.no_grad():
            expected["merged"] = model.merge_and_unload()(ids).logits
    save_file(
        {k: t.contiguous() for k, t in expected.items()}, ROOT / name / "expected.safetensors"
    )


@torch.no_grad()
def write_ours(config: adapt.AdapterConfig, ids: torch.Tensor, base: Path) -> dict[str, float]:
    """The largest difference of logits for an adapter of ours that PEFT opens, and its effect.

    Also the modules that the file has, less those that PEFT adapted.
    """
    model = load(base)
    adapt.attach_adapter(model, config)
    shake_adapter(model)
    with tempfile.TemporaryDirectory() as folder:
        adapt.save_adapter(model, "default", folder)
        opened = PeftModel.from_pretrained(peer(base), folder).eval()
        theirs = opened(input_ids=ids).logits
        written = [key for key in load_file(Path(folder) / PEFT_WEIGHTS) if LORA_A.search(key)]
    layers = [layer for layer in opened.modules() if isinstance(layer, LoraLayer)]
    own = sum(len(layer.lora_A) + len(layer.lora_embedding_A) for layer in layers)
    return compare_logits(model, theirs, ids) | {"left_out": len(written) - own}


if __name__ == "__main__":
    main()
