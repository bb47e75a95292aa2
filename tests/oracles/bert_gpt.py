"""BERT, RoBERTa, ModernBERT, GPT-1 and GPT-2 as Transformers computes them: three odd shapes each.

Run by `make oracles`. Writes tests/fixtures/<family>/<name>/ with a model directory in float16 and

    expected.safetensors  ids, mask, positions and types; logits and hidden states in float32, of a
                          batch padded on both sides and of a row as long as the model bears; and
                          for one shape of three families the gradient of mean(logits^2) by every
                          tensor
    ours.json             config.json and the tensors' names of the same model as groundup saved
                          it, when Transformers opened that with equal logits
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    ModernBertConfig,
    OpenAIGPTConfig,
    RobertaConfig,
)

from groundup.model import load, save

ROOT = Path(__file__).resolve().parents[1] / "fixtures"
VOCAB, CONTEXT = 37, 18


def bert(name: str) -> BertConfig:
    """BERT's; the free one has a bias of its own beside its decoder."""
    width, heads, inner, layers, act, types, eps, tied = {
        "three_heads": (12, 3, 20, 2, "gelu", 2, 1e-12, True),
        "five_types": (8, 1, 5, 3, "relu", 5, 1e-3, True),
        "free": (10, 5, 12, 1, "gelu_new", 1, 1e-12, False),
    }[name]
    return BertConfig(
        vocab_size=VOCAB, hidden_size=width, num_attention_heads=heads, intermediate_size=inner,
        num_hidden_layers=layers, hidden_act=act, type_vocab_size=types, layer_norm_eps=eps,
        max_position_embeddings=CONTEXT, tie_word_embeddings=tied, pad_token_id=None,
    )  # fmt: skip


def roberta(name: str) -> RobertaConfig:
    """RoBERTa's; places begin after the padding's id."""
    width, heads, inner, layers, act, types, padding, tied = {
        "published": (12, 2, 20, 2, "gelu", 1, 1, True),
        "zero_padding": (6, 3, 9, 1, "silu", 2, 0, True),
        "late_padding_free": (8, 4, 10, 2, "gelu", 1, 5, False),
    }[name]
    return RobertaConfig(
        vocab_size=VOCAB, hidden_size=width, num_attention_heads=heads, intermediate_size=inner,
        num_hidden_layers=layers, hidden_act=act, type_vocab_size=types, pad_token_id=padding,
        layer_norm_eps=1e-5, max_position_embeddings=CONTEXT + padding + 1,
        tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def modernbert(name: str) -> ModernBertConfig:
    """ModernBERT's: windows narrower than the text, of both parities, in all kinds of layers."""
    full, near = "full_attention", "sliding_attention"
    width, heads, inner, types, local, biases, tied, scaling = {
        "published": (12, 3, 10, [full, near, near, full], 6, False, True, {}),
        "biased_free": (8, 2, 12, [near, full, full], 7, True, False, {}),
        "stretched": (16, 2, 6, [full, full], 4, False, True,
                      {"rope_type": "linear", "factor": 4.0}),
    }[name]  # fmt: skip
    rope = {"rope_type": "default"} | scaling | {"rope_theta": 500.0}
    return ModernBertConfig(
        vocab_size=VOCAB, hidden_size=width, num_attention_heads=heads, intermediate_size=inner,
        num_hidden_layers=len(types), layer_types=types, local_attention=local,
        attention_bias=biases, mlp_bias=biases, norm_bias=biases, classifier_bias=biases,
        decoder_bias=not biases, max_position_embeddings=CONTEXT, tie_word_embeddings=tied,
        rope_parameters={full: rope, near: {"rope_type": "default", "rope_theta": 70.0}},
        pad_token_id=None, bos_token_id=None, eos_token_id=None, cls_token_id=None,
        sep_token_id=None,
    )  # fmt: skip


def gpt2(name: str) -> GPT2Config:
    """GPT-2's."""
    width, heads, inner, layers, act, scaled, tied = {
        "published": (12, 3, None, 2, "gelu_new", True, True),
        "narrow_free": (10, 1, 7, 1, "relu", True, False),
        "unscaled": (8, 4, 20, 3, "gelu", False, True),
    }[name]
    return GPT2Config(
        vocab_size=VOCAB, n_embd=width, n_head=heads, n_inner=inner, n_layer=layers,
        activation_function=act, scale_attn_weights=scaled, n_positions=CONTEXT,
        tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def gpt1(name: str) -> OpenAIGPTConfig:
    """GPT-1's."""
    width, heads, layers, act, eps, tied = {
        "published": (12, 3, 2, "gelu", 1e-5, True),
        "relu_free": (6, 1, 1, "relu", 1e-5, False),
        "large_eps": (8, 4, 3, "silu", 1e-2, True),
    }[name]
    return OpenAIGPTConfig(
        vocab_size=VOCAB, n_embd=width, n_head=heads, n_layer=layers, afn=act,
        layer_norm_epsilon=eps, n_positions=CONTEXT, tie_word_embeddings=tied,
    )  # fmt: skip


FAMILIES = {
    "bert": (bert, AutoModelForMaskedLM, ("three_heads", "five_types", "free")),
    "roberta": (
        roberta, AutoModelForMaskedLM, ("published", "zero_padding", "late_padding_free")
    ),
    "modernbert": (modernbert, AutoModelForMaskedLM, ("published", "biased_free", "stretched")),
    "gpt2": (gpt2, AutoModelForCausalLM, ("published", "narrow_free", "unscaled")),
    "openai-gpt": (gpt1, AutoModelForCausalLM, ("published", "relu_free", "large_eps")),
}  # fmt: skip
GRADIENTS = {("bert", "three_heads"), ("modernbert", "biased_free"), ("gpt2", "published")}


def stirred(model: torch.nn.Module) -> torch.nn.Module:
    """The model with every weight random, norms and biases too."""
    for parameter in model.parameters():
        parameter.data = parameter.data * 4 + 0.1 * torch.randn_like(parameter)
    return model.eval()


def batch(config) -> dict[str, torch.Tensor]:
    """Two rows of 9 tokens, one padded on the left and one on the right."""
    padding = config.pad_token_id or 0
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = mask[1, 6:] = 0
    ids = torch.randint(padding + 1, VOCAB, (2, 9)) * mask + padding * (1 - mask)
    types = torch.randint(getattr(config, "type_vocab_size", 1) or 1, (2, 9))
    return {"ids": ids, "mask": mask, "positions": (mask.cumsum(1) - 1) * mask, "types": types}


def results(model, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Logits and the states of all layers, (L + 1, B, T, D)."""
    config = model.config
    is_late = config.model_type in ("roberta", "xlm-roberta", "mpnet")
    offset = config.pad_token_id + 1 if is_late else 0
    given = {
        "input_ids": inputs["ids"], "attention_mask": inputs["mask"], "output_hidden_states": True,
        "position_ids": inputs["positions"] + offset,
    }  # fmt: skip
    if hasattr(config, "type_vocab_size"):
        given["token_type_ids"] = inputs["types"]
    out = model(**given)
    return {"logits": out.logits, "states": torch.stack(out.hidden_states)}


def expect(directory: Path, opener, *, has_gradients: bool) -> None:
    """Open the directory with Transformers and write down what it computes."""
    model = opener.from_pretrained(directory, dtype=torch.float32).eval()
    inputs = batch(model.config)
    out = results(model, inputs)
    found = inputs | {name: tensor.detach().contiguous() for name, tensor in out.items()}
    low, places = (model.config.pad_token_id or 0) + 1, torch.arange(CONTEXT)[None]
    long = {"ids": torch.randint(low, VOCAB, (1, CONTEXT)), "positions": places,
            "mask": torch.ones_like(places), "types": torch.zeros_like(places)}  # fmt: skip
    found["long_ids"] = long["ids"]
    found["long_logits"] = results(model, long)["logits"].detach().contiguous()
    if has_gradients:
        out["logits"][inputs["mask"].bool()].square().mean().backward()
        named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found |= {f"gradient.{name}": grad.contiguous() for name, grad in named.items()}
    save_file(found, directory / "expected.safetensors")


def reopen(directory: Path, opener) -> None:
    """Save with groundup what it opened, open that with Transformers, and keep what was saved."""
    with tempfile.TemporaryDirectory() as written:
        save(load(directory, torch.float32), written)
        model, info = opener.from_pretrained(written, output_loading_info=True)
        assert not any(info.values()), (directory, info)
        expected = load_file(directory / "expected.safetensors")
        logits = results(model.eval(), expected)["logits"]
        torch.testing.assert_close(logits, expected["logits"], atol=1e-6, rtol=1e-6)
        config = json.loads((Path(written) / "config.json").read_text())
        tensors = sorted(load_file(Path(written) / "model.safetensors"))
    kept = json.dumps({"config": config, "tensors": tensors})
    (directory / "ours.json").write_text(kept + "\n")


def main() -> None:
    """Write every fixture anew."""
    for family, (configured, opener, names) in FAMILIES.items():
        shutil.rmtree(ROOT / family, ignore_errors=True)
        for i, name in enumerate(names):
            torch.manual_seed(i)
            directory = ROOT / family / name
            stirred(opener.from_config(configured(name))).half().save_pretrained(directory)
            expect(directory, opener, has_gradients=(family, name) in GRADIENTS)
            reopen(directory, opener)


if __name__ == "__main__":
    main()
