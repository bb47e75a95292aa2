"""What Transformers says by the same weights, for some of the prompts of llama_gemma.py.

Run by `make oracles` after it, where GROUNDUP_GEMMA names the file. Adds to
tests/fixtures/gguf/gemma.json the 20 most likely next ids and their log-probabilities, of 19
prompts and of one longer than the window. The mapping of names is written out here once more,
apart from groundup's.
"""

import json
import os
from pathlib import Path

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from groundup.model.weights.gguf.format import GgufFile, open_gguf

PLACE = Path(__file__).resolve().parents[1] / "fixtures" / "gguf" / "gemma.json"
EVERY, TOP = 11, 20
PARTS = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def name_of(name: str) -> str:
    """Transformers' name of a tensor."""
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm."}
    if not name.startswith("blk."):
        return whole[name] + ("weight" if whole[name].endswith(".") else "")
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{PARTS[part]}.weight"


def peer(file: GgufFile) -> Gemma3ForCausalLM:
    """The model with the file's weights in single precision."""
    layers = 18
    config = Gemma3TextConfig(
        vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256,
        max_position_embeddings=32_768, sliding_window=512, tie_word_embeddings=True,
        layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention"
                     for i in range(layers)],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    state = {name_of(name): torch.from_numpy(file.values(name)) for name in file.tensors}
    state = {name: each - 1 if "norm" in name else each for name, each in state.items()}
    lacking = model.load_state_dict(state, strict=False)
    assert lacking.missing_keys == ["lm_head.weight"] and not lacking.unexpected_keys
    model.tie_weights()
    return model


@torch.no_grad()
def main() -> None:
    """Add to the fixture."""
    path = os.environ.get("GROUNDUP_GEMMA")
    if not path:
        print("GROUNDUP_GEMMA names no file; Gemma's fixture stays as it is")
        return
    found, model = json.loads(PLACE.read_text())["prompts"], peer(open_gguf(path))
    chosen = found[: EVERY * 19 : EVERY] + found[-1:]
    for prompt in chosen:
        hidden = model.model(torch.tensor([prompt["ids"]])).last_hidden_state[:, -1]
        top = model.lm_head(hidden)[0].log_softmax(-1).topk(TOP)
        rounded = [round(value, 5) for value in top.values.tolist()]
        prompt["transformers"] = list(zip(top.indices.tolist(), rounded, strict=True))
    PLACE.write_text('{"prompts": [\n' + ",\n".join(map(json.dumps, found)) + "\n]}\n")


if __name__ == "__main__":
    main()
