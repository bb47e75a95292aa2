"""Directories of Transformers: measured right or refused with the reason.

The first tests need nothing; the others run where Transformers is installed.
"""

import ast
import importlib.util
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from groundup.core import (
    ArtifactError,
    ConfigError,
    LoglikelihoodRequest,
    Message,
    MissingExtra,
    Sampling,
)
from groundup.evaluate.harness.hf import _is_close, _read_context_length, open_hf
from groundup.evaluate.harness.local import ScoringOptions, open_native
from tests.core.contracts.text_model import TextModelContract

FIXTURE = Path(__file__).parents[2] / "fixtures" / "tokenizer"
PAIRS = [
    LoglikelihoodRequest(f"A question of {n} words, and?", f" {o} answer")
    for n in range(3)
    for o in "abc"
]
PROMPTS = ["the quick", "brown fox jumps over the lazy dog"]
SHORT = Sampling(max_tokens=8)
SMALL = {
    "vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "bos_token_id": None, "eos_token_id": 397, "pad_token_id": 397,
}  # fmt: skip

needs_peer = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs groundup[transformers]"
)


def test_without_transformers_the_command_to_install_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'groundup\[transformers\]'"):
        open_hf(tmp_path)


def test_numbers_agree_as_far_as_their_format_allows():
    one = torch.tensor([1.0, 100.0])
    assert _is_close(one, one + 0.05) and not _is_close(one, one + 0.5)
    assert _is_close(one.bfloat16(), one.bfloat16() + 2) and not _is_close(
        one.bfloat16(), -one.bfloat16()
    )


def test_the_context_is_where_lm_eval_finds_it():
    class Found:
        n_ctx, model_max_length = 77, 10**30

    assert _read_context_length(Found(), Found()) == 77
    del Found.n_ctx
    assert _read_context_length(Found(), Found()) == 2048


def test_transformers_is_never_called_without_saying_that_no_code_runs(root):
    calls = [
        (file.name, node.lineno, {each.arg: ast.unparse(each.value) for each in node.keywords})
        for file in (root / "groundup").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("from_pretrained", "from_config", "pipeline")
    ]
    assert len(calls) >= 3
    for name, line, said in calls:
        assert said.get("trust_remote_code") == "False", f"{name}:{line}"


def directory(out: Path, kind: str, extra: dict | None = None) -> Path:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **(extra or {})})
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn_like(weight) * 0.15)
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(FIXTURE / name, out)
    return out


@needs_peer
class TestContract(TextModelContract):
    @pytest.fixture
    def model(self, tmp_path):
        return open_hf(directory(tmp_path, "Llama"))


@needs_peer
@pytest.mark.parametrize("auto", ["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"])
def test_a_directory_s_own_code_does_not_run_though_somebody_says_yes(tmp_path, auto, monkeypatch):
    path, mark = directory(tmp_path / "model", "Llama"), tmp_path / "mark"
    (path / "own.py").write_text(f"open({str(mark)!r}, 'w').write('ran')\n")
    file = path / ("tokenizer_config.json" if auto == "AutoTokenizer" else "config.json")
    values = json.loads(file.read_text())
    named = ["own.Own", None] if auto == "AutoTokenizer" else "own.Own"
    if auto == "AutoConfig":
        values["model_type"] = "own"
    file.write_text(json.dumps(values | {"auto_map": {auto: named}}))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with suppress(ArtifactError):
        open_hf(path)
    assert not mark.exists()


@needs_peer
@pytest.mark.parametrize("kind", ["Llama", "GPTNeoX", "Phi", "Qwen3"])
def test_scores_and_texts_are_transformers_own(tmp_path, kind):
    model = open_hf(directory(tmp_path, kind), dtype=torch.float32)
    peer, encode = model.network.model, model.tokenizer.encode
    for place, found in model.loglikelihood(PAIRS):
        before, whole = encode(PAIRS[place].context), encode("".join(PAIRS[place]))
        with torch.no_grad():
            logprobs = peer(torch.tensor([whole])).logits[0].log_softmax(-1)
        expected = sum(float(logprobs[t - 1, whole[t]]) for t in range(len(before), len(whole)))
        assert found.logprob == pytest.approx(expected, abs=1e-4)
    for place, found in model.complete(PROMPTS, SHORT):
        ids = torch.tensor([encode(PROMPTS[place])])
        said = peer.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False
        )
        assert found.text == model.tokenizer.decode(said[0, ids.shape[1] :].tolist())


@needs_peer
def test_what_ours_computes_too_has_the_same_scores(tmp_path):
    place = directory(tmp_path, "Qwen3", {"head_dim": 8})
    theirs, ours = open_hf(place), open_native(place)
    found, expected = (dict(model.loglikelihood(PAIRS)) for model in (ours, theirs))
    for at in expected:
        assert found[at].logprob == pytest.approx(expected[at].logprob, abs=1e-4)
    assert dict(ours.complete(PROMPTS, SHORT)) == dict(theirs.complete(PROMPTS, SHORT))
    assert ours.digest == theirs.digest and theirs.name == f"hf:{place}"


@needs_peer
def test_models_that_cannot_be_measured_right_are_refused(tmp_path):
    capped = directory(tmp_path / "capped", "Gemma2", {"head_dim": 8})
    with pytest.raises(ArtifactError, match="are not its hidden states times its head"):
        open_hf(capped)
    sliding = directory(tmp_path / "sliding", "Mistral", {"sliding_window": 32})
    with pytest.raises(ArtifactError, match="sliding window of 32; set invariant=true"):
        open_hf(sliding)
    assert open_hf(sliding, options=ScoringOptions(invariant=True)).network.context_length == 256
    state = directory(tmp_path / "state", "Mamba", {"state_size": 8})
    with pytest.raises(
        ArtifactError, match="Padded sequences .* do not compute what each computes alone"
    ):
        open_hf(state)
    (tmp_path / "none").mkdir()
    with pytest.raises(ArtifactError, match="Transformers cannot open"):
        open_hf(tmp_path / "none")


@needs_peer
def test_a_directory_without_a_chat_template_says_so(tmp_path):
    place = directory(tmp_path, "Llama")
    (place / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        open_hf(place).render((Message("user", "Hello?"),))
