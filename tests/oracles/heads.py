"""Heads as Transformers computes them: a class of a text, of each token, numbers, and spans.

Run by `make oracles`. Writes tests/fixtures/heads/<name>/ with a model directory in float16,
`expected.safetensors` (ids, mask, logits in float32) and `ours.json`, which is the config.json and
the tensors' names of the same model as groundup saved it, when Transformers opened that and gave
equal logits.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from groundup.model import load_with_head, save_with_head

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "heads"
VOCAB, PADDING = 23, 3
ENCODER = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 10}
SMALL = {"vocab_size": VOCAB, "num_hidden_layers": 1, "max_position_embeddings": 16}
GPT = {"vocab_size": VOCAB, "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 16}
DISTIL = {"vocab_size": VOCAB, "dim": 8, "n_heads": 2, "hidden_dim": 10, "n_layers": 1,
          "max_position_embeddings": 16}  # fmt: skip
DEBERTA = ENCODER | SMALL | {
    "relative_attention": True, "share_att_key": True, "norm_rel_ebd": "layer_norm",
    "pos_att_type": "p2c|c2p", "position_buckets": 4, "position_biased_input": False,
}  # fmt: skip
MPNET = ENCODER | SMALL
NOTHING = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
MOODS = {0: "calm", 1: "glad", 2: "cross"}

MODELS = {
    "bert_moods": ("BertForSequenceClassification", ENCODER | SMALL | {"id2label": MOODS}),
    "bert_number": ("BertForSequenceClassification", ENCODER | SMALL | {"num_labels": 1}),
    "bert_tokens": ("BertForTokenClassification", ENCODER | SMALL | {"num_labels": 5}),
    "roberta_moods": ("RobertaForSequenceClassification", ENCODER | SMALL | {"id2label": MOODS}),
    "roberta_tokens": ("RobertaForTokenClassification", ENCODER | SMALL | {"num_labels": 4}),
    "modernbert_mean": (
        "ModernBertForSequenceClassification",
        ENCODER | SMALL | NOTHING
        | {"num_labels": 3, "classifier_pooling": "mean", "classifier_bias": True},
    ),
    "modernbert_tokens": (
        "ModernBertForTokenClassification", ENCODER | SMALL | NOTHING | {"num_labels": 2}
    ),
    "gpt2_moods": ("GPT2ForSequenceClassification", GPT | NOTHING | {"id2label": MOODS}),
    "gpt2_tokens": ("GPT2ForTokenClassification", GPT | NOTHING | {"num_labels": 2}),
    "gpt1_number": ("OpenAIGPTForSequenceClassification", GPT | {"num_labels": 1}),
    "qwen3_number": (
        "Qwen3ForSequenceClassification",
        ENCODER | SMALL | {"num_labels": 1, "num_key_value_heads": 1, "head_dim": 4},
    ),
    "llama_tokens": ("LlamaForTokenClassification", ENCODER | SMALL | {"num_labels": 3}),
    "bert_spans": ("BertForQuestionAnswering", ENCODER | SMALL),
    "roberta_spans": ("RobertaForQuestionAnswering", ENCODER | SMALL),
    "xlm_roberta_moods": (
        "XLMRobertaForSequenceClassification", ENCODER | SMALL | {"id2label": MOODS}
    ),
    "xlm_roberta_spans": ("XLMRobertaForQuestionAnswering", ENCODER | SMALL),
    "distilbert_moods": ("DistilBertForSequenceClassification", DISTIL | {"id2label": MOODS}),
    "distilbert_spans": ("DistilBertForQuestionAnswering", DISTIL),
    "electra_replaced": ("ElectraForPreTraining", ENCODER | SMALL | {"embedding_size": 5}),
    "electra_base_replaced": ("ElectraForPreTraining", ENCODER | SMALL | {"embedding_size": 8}),
    "electra_base_moods": (
        "ElectraForSequenceClassification",
        ENCODER | SMALL | {"embedding_size": 8, "id2label": MOODS},
    ),
    "electra_tokens": (
        "ElectraForTokenClassification", ENCODER | SMALL | {"embedding_size": 5, "num_labels": 3}
    ),
    "albert_number": (
        "AlbertForSequenceClassification",
        ENCODER | SMALL | {"embedding_size": 5, "num_labels": 1},
    ),
    "albert_spans": ("AlbertForQuestionAnswering", ENCODER | SMALL | {"embedding_size": 5}),
    "mpnet_moods": ("MPNetForSequenceClassification", MPNET | {"id2label": MOODS}),
    "mpnet_tokens": ("MPNetForTokenClassification", MPNET | {"num_labels": 4}),
    "deberta_moods": ("DebertaV2ForSequenceClassification", DEBERTA | {"id2label": MOODS}),
    "deberta_tokens": ("DebertaV2ForTokenClassification", DEBERTA | {"num_labels": 4}),
    "deberta_spans": ("DebertaV2ForQuestionAnswering", DEBERTA),
}  # fmt: skip


def batch() -> dict[str, torch.Tensor]:
    """Two rows, the second padded on the right as classifiers are trained."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {"ids": torch.randint(PADDING + 1, VOCAB, (2, 7)) * mask + PADDING * (1 - mask),
            "mask": mask}  # fmt: skip


def places(mask: torch.Tensor) -> torch.Tensor:
    """MPNet's positions, which start after 1 whatever the padding's id is."""
    return mask.cumsum(1) * mask + 1


@torch.no_grad()
def logits(directory: Path, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What Transformers computes of a directory; nothing may be missing from it or left over."""
    name = json.loads((directory / "config.json").read_text())["architectures"][0]
    opener = getattr(transformers, name)
    model, info = opener.from_pretrained(
        directory, dtype=torch.float32, pad_token_id=PADDING, output_loading_info=True
    )
    assert not any(info.values()), (directory, info)
    given = {"position_ids": places(inputs["mask"])} if name.startswith("MPNet") else {}
    found = model.eval()(input_ids=inputs["ids"], attention_mask=inputs["mask"], **given)
    if "QuestionAnswering" in name:
        return torch.stack([found.start_logits, found.end_logits], dim=-1)
    return found.logits[..., None] if name == "ElectraForPreTraining" else found.logits


def main() -> None:
    """Write every fixture anew."""
    shutil.rmtree(ROOT, ignore_errors=True)
    for seed, (name, (kind, sizes)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        made = getattr(transformers, kind)
        model = made(made.config_class(**sizes, pad_token_id=PADDING))
        for parameter in model.parameters():
            parameter.data = parameter.data * 4 + 0.1 * torch.randn_like(parameter)
        model.half().save_pretrained(ROOT / name)
        inputs = batch()
        expected = logits(ROOT / name, inputs)
        save_file(inputs | {"logits": expected}, ROOT / name / "expected.safetensors")
        with tempfile.TemporaryDirectory() as written:
            save_with_head(load_with_head(ROOT / name, torch.float32), written)
            found = logits(Path(written), inputs)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
            config = json.loads((Path(written) / "config.json").read_text())
            tensors = sorted(load_file(Path(written) / "model.safetensors"))
        kept = json.dumps({"config": config, "tensors": tensors})
        (ROOT / name / "ours.json").write_text(kept + "\n")


if __name__ == "__main__":
    main()
