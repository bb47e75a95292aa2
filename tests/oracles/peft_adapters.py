"""Adapters as PEFT computes them on a small LLaMA, and ours as PEFT opens them.

Run by `make oracles`. Writes tests/fixtures/adapters/model, a directory of ours that Transformers
opens, and for each kind a PEFT directory with `expected.safetensors`: logits, merged logits where
there are any, and gradients of `(logits * weights).sum()`. `written.json` has the largest
difference of logits between us and PEFT for directories that we wrote.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import groundup.adapt as adapt
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer, load, save
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


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    for name in ("model", *PEERS):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    model = Transformer(CONFIG, seed=3)
    shake(model.parameters())
    save(model, ROOT / "model")
    inputs = {"ids": torch.randint(VOCAB, (2, 11)), "weights": torch.randn(2, 11, VOCAB)}
    save_file(inputs, ROOT / "model" / "inputs.safetensors")
    for name, config in PEERS.items():
        write_peer(name, config, inputs["ids"], inputs["weights"])
    differences = {name: write_ours(config, inputs["ids"]) for name, config in OURS.items()}
    (ROOT / "written.json").write_text(json.dumps(differences, indent=1) + "\n")


def peer() -> AutoModelForCausalLM:
    """The base as Transformers opens it."""
    return AutoModelForCausalLM.from_pretrained(ROOT / "model")


def write_peer(
    name: str, config: LoraConfig | PrefixTuningConfig, ids: torch.Tensor, weights: torch.Tensor
) -> None:
    """Compute logits and gradients of a random adapter, and save it."""
    model = get_peft_model(peer(), config)
    trained = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    shake(trained.values())
    logits = model(input_ids=ids).logits
    (logits * weights).sum().backward()
    expected = {f"gradient.{key}": weight.grad for key, weight in trained.items()}
    expected["logits"] = logits.detach()
    model.save_pretrained(ROOT / name)
    (ROOT / name / "README.md").unlink()
    file = ROOT / name / "adapter_config.json"
    values = json.loads(file.read_text()) | {"base_model_name_or_path": "model"}
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
def write_ours(config: adapt.AdapterConfig, ids: torch.Tensor) -> dict[str, float]:
    """The largest difference of logits for an adapter of ours that PEFT opens, and its effect."""
    model = load(ROOT / "model")
    adapt.attach_adapter(model, config)
    shake_adapter(model)
    with tempfile.TemporaryDirectory() as folder:
        adapt.save_adapter(model, "default", folder)
        theirs = PeftModel.from_pretrained(peer(), folder).eval()(input_ids=ids).logits
    return compare_logits(model, theirs, ids)


if __name__ == "__main__":
    main()
