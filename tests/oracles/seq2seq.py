"""T5, BART, Switch and their kin as Transformers computes them: odd shapes, and one that we wrote.

Run by `make oracles`. Writes tests/fixtures/<family>/<name>/ with a model directory each and
`expected.safetensors`: sources and targets with padding, states of both stacks, logits,
continuations by greedy and beam search, and of one shape a family every gradient.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from groundup.model import Transformer, save
from tests.model.families.encoder_decoders import OURS

ROOT = Path(__file__).resolve().parents[1] / "fixtures"
VOCAB, PAD, END, START = 31, 0, 1, 2
ENDS = [1, 7, 13, 19, 25]
"""Ids that end a continuation: so many that random models end some early."""

T5 = {"d_model": 7, "d_kv": 3, "d_ff": 9, "num_layers": 2, "num_heads": 3, "n_positions": 96,
      "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20}  # fmt: skip
BART = {"d_model": 9, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 3,
        "decoder_attention_heads": 3, "encoder_ffn_dim": 10, "decoder_ffn_dim": 10,
        "max_position_embeddings": 30, "forced_eos_token_id": None}  # fmt: skip
SWITCH = T5 | {"num_decoder_layers": 2, "num_experts": 3, "num_sparse_encoder_layers": 1,
               "num_sparse_decoder_layers": 1, "d_ff": 6}  # fmt: skip
PEERS = {
    "t5": (T5Config, T5ForConditionalGeneration, {
        "narrow_heads": T5,
        "gates_free": T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
                            "num_decoder_layers": 1},
        "one_head_wide_deep": T5 | {"num_heads": 1, "d_kv": 11, "num_decoder_layers": 2,
                                    "num_layers": 1, "feed_forward_proj": "gelu_new",
                                    "relative_attention_num_buckets": 32,
                                    "layer_norm_epsilon": 1e-3},
    }),
    "bart": (BartConfig, BartForConditionalGeneration, {
        "shallow_decoder": BART,
        "scaled_free": BART | {"scale_embedding": True, "tie_word_embeddings": False,
                               "encoder_layers": 1},
        "relu_one_head": BART | {"activation_function": "relu", "encoder_attention_heads": 1,
                                 "decoder_attention_heads": 1, "d_model": 9, "encoder_layers": 1},
    }),
    "switch_transformers": (
        SwitchTransformersConfig, SwitchTransformersForConditionalGeneration, {
        "every_second": SWITCH,
        "all_free": SWITCH | {"num_layers": 1, "num_decoder_layers": 2, "num_experts": 4,
                              "num_sparse_decoder_layers": 2, "tie_word_embeddings": False},
        "odd_depths": SWITCH | {"num_layers": 3, "num_decoder_layers": 2, "num_experts": 2},
    }),
    "mt5": (MT5Config, MT5ForConditionalGeneration, {
        "gated": T5 | {"num_decoder_layers": 1, "tie_word_embeddings": False},
        "relu_wide_heads": T5 | {"d_kv": 5, "num_heads": 2, "feed_forward_proj": "relu",
                                 "tie_word_embeddings": False},
    }),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration, {
        "a_bias_per_layer": T5 | {"num_decoder_layers": 2, "tie_word_embeddings": False},
        "scaled_silu": T5 | {"num_layers": 1, "num_decoder_layers": 2,
                             "feed_forward_proj": "gated-silu"},
    }),
    "mbart": (MBartConfig, MBartForConditionalGeneration, {
        "pre_norms": BART,
        "pre_norms_free": BART | {"scale_embedding": True, "tie_word_embeddings": False,
                                  "encoder_layers": 1, "activation_function": "relu"},
    }),
}  # fmt: skip
BEAMS = (("estimate", 1.0, False), ("full", 2.0, True), ("bound", 0.5, "never"))
WITH_GRADIENTS = ("narrow_heads", "scaled_free", "every_second", "gated", "a_bias_per_layer",
                  "pre_norms")  # fmt: skip
STRUCTURE = {"vocab_size": VOCAB, "pad_token_id": PAD, "eos_token_id": END, "bos_token_id": None,
             "decoder_start_token_id": START}  # fmt: skip


def peer(kind: str, values: dict[str, Any]) -> torch.nn.Module:
    """A random model in which every weight counts; its stacks share their embedding."""
    config_class, model_class, _ = PEERS[kind]
    model = model_class(config_class(**STRUCTURE, **values)).eval()
    for name, parameter in model.named_parameters():
        scale = 0.3 if parameter.ndim == 1 else 0.4
        start = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data = start + scale * torch.randn_like(parameter)
    if kind in ("bart", "mbart"):
        model.final_logits_bias = torch.randn_like(model.final_logits_bias)
    if values.get("tie_word_embeddings") is False:
        inner = model.model if "bart" in kind else model
        for stack in (inner.encoder, inner.decoder):
            stack.embed_tokens.weight.data = inner.shared.weight.data.clone()
        head = torch.nn.Linear(inner.shared.weight.shape[1], VOCAB, bias=False)
        head.weight.data = 0.4 * torch.randn_like(head.weight)
        model.lm_head = head
    return model


def padded(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids of these lengths, padded on the right, and which are real."""
    ids = torch.full((len(lengths), max(lengths)), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, VOCAB, (length,))
    return ids, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def expect(directory: Path, *, with_gradients: bool = False) -> None:
    """Open the directory with Transformers and write down what it computes."""
    model = AutoModelForSeq2SeqLM.from_pretrained(directory).eval()
    source, source_mask = padded([25, 6])
    target, target_mask = padded([5, 19])
    out = model(
        input_ids=source, attention_mask=source_mask, decoder_input_ids=target,
        decoder_attention_mask=target_mask, output_hidden_states=True,
    )  # fmt: skip
    found = {
        "source": source, "source_mask": source_mask, "target": target, "target_mask": target_mask,
        "encoder": out.encoder_last_hidden_state, "decoder": out.decoder_hidden_states[-1],
        "logits": out.logits,
    }  # fmt: skip
    if with_gradients:
        losses = torch.nn.functional.cross_entropy(
            out.logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), reduction="none"
        )
        (losses * target_mask[:, 1:].flatten()).sum().backward()
        found |= {f"gradient.{n}": p.grad for n, p in model.named_parameters()
                  if p.grad is not None}  # fmt: skip
    found |= continuations(model, source, source_mask)
    found = {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}
    save_file(found, directory / "expected.safetensors")


def continuations(model: Any, source: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """What greedy search and three beam searches write after the source."""
    # Their cache has the encoder's number of layers, so a deeper decoder runs without one.
    settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": ENDS, "pad_token_id": PAD,
                "decoder_start_token_id": START, "use_cache": False}  # fmt: skip
    beams = settings | {"num_beams": 4, "num_return_sequences": 4, "return_dict_in_generate": True,
                        "output_scores": True}  # fmt: skip
    inputs = {"inputs": source, "attention_mask": mask}
    found = {"greedy": model.generate(**inputs, generation_config=GenerationConfig(**settings))}
    for name, length_penalty, early in BEAMS:
        config = GenerationConfig(**beams, length_penalty=length_penalty, early_stopping=early)
        out = model.generate(**inputs, generation_config=config)
        found |= {f"{name}.ids": out.sequences, f"{name}.scores": out.sequences_scores}
    return found


def ours(config: Any) -> Transformer:
    """A random model of this repository in which every weight counts."""
    model = Transformer(config, seed=3).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(0)
    for kind, (_, _, shapes) in PEERS.items():
        shutil.rmtree(ROOT / kind, ignore_errors=True)
        for name, values in shapes.items():
            peer(kind, values).save_pretrained(ROOT / kind / name)
            expect(ROOT / kind / name, with_gradients=name in WITH_GRADIENTS)
        for name, config in OURS[kind].items():
            save(ours(config), ROOT / kind / name)
            expect(ROOT / kind / name)


if __name__ == "__main__":
    main()
