"""Adapter directories: what they hold, and every way in which one does not fit a model."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.adapt import (
    LoraConfig,
    MergeConfig,
    activate_adapter,
    attach_adapter,
    load_adapter,
    merge,
    save_adapter,
)
from groundup.core import Artifact, ArtifactError, Config, ConfigError, produce, write_json
from groundup.model import (
    AttentionConfig,
    PositionConfig,
    choose_family,
    has_adapters,
    load,
    preset,
    presets,
    save,
)
from groundup.tokenizer import FastTokenizer, save_tokenizer
from tests.adapt.models import CONFIG, KINDS, VOCAB, random_ids, shake_adapter, small_model
from tests.adapt.test_peers import ROOT


def saved(path, kind="lora", model=None):
    """A directory of a random adapter, and the model that has it."""
    model = model or small_model()
    attach_adapter(model, KINDS[kind], "own")
    save_adapter(shake_adapter(model), "own", path, base="acme/base")
    return model


def edited(path, **values):
    """Change values of a directory's adapter_config.json."""
    file = path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_read_as_it_was_written(kind, tmp_path):
    model, ids = saved(tmp_path, kind), random_ids(2, 6)
    expected = model.logits(ids)
    size = load_adapter(model, tmp_path, "again")
    assert torch.equal(model.logits(ids), expected)
    assert not [n for n, p in model.named_parameters() if ".again." in n and p.requires_grad]
    activate_adapter(model, "own")
    assert size.parameters == sum(p.numel() for n, p in model.named_parameters() if ".own." in n)


def test_ranks_of_single_modules_are_kept(tmp_path):
    saved(tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    key = "base_model.model.model.layers.1.self_attn.q_proj"
    tensors[f"{key}.lora_A.weight"] = torch.randn(5, 32)
    tensors[f"{key}.lora_B.weight"] = torch.randn(32, 5)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    edited(tmp_path, alpha_pattern={"layers.1.*q_proj": 30})
    with pytest.raises(ArtifactError, match=r"layers.1.self_attn.q_proj has rank 5, and .* says"):
        load_adapter(small_model(), tmp_path)
    edited(tmp_path, rank_pattern={"layers.1.*q_proj": 5})
    model = small_model()
    load_adapter(model, tmp_path)
    assert model.get_submodule("layers.1.attention.q_proj").adapters["default"].scale == 6
    save_adapter(model, "default", tmp_path / "again")
    values = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert values["rank_pattern"] == {"model.layers.1.self_attn.q_proj": 5}
    assert values["alpha_pattern"] == {"model.layers.1.self_attn.q_proj": 30}


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_another_model_is_an_error_that_names_both(kind, tmp_path):
    saved(tmp_path, kind)
    wide = small_model(CONFIG.model_copy(update={"width": 48}))
    heads = AttentionConfig(heads=4, kv_heads=4, head_dim=8)
    other = (
        small_model(CONFIG.model_copy(update={"attention": heads})) if kind == "prefix" else wide
    )
    with pytest.raises(ArtifactError, match=r"acme/base.*does not fit this model.*needs \("):
        load_adapter(other, tmp_path)
    assert not has_adapters(other)
    other.logits(random_ids(1, 3))


def test_an_adapter_of_another_architecture_is_an_error(tmp_path):
    saved(tmp_path)
    own = CONFIG.model_copy(update={"position": PositionConfig(kind="transformer_xl")})
    with pytest.raises(ArtifactError, match="no module model.layers.0.*that LoRA adapts"):
        load_adapter(small_model(own), tmp_path)
    shallow = small_model(CONFIG.model_copy(update={"layers": 1}))
    with pytest.raises(ArtifactError, match="no module model.layers.1"):
        load_adapter(shallow, tmp_path)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"peft_type": "IA3"}, "type IA3; groundup reads LORA"),
        ({"bias": "all"}, "bias=all; groundup supports bias='none'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa"),
        ({"lora_alpha": "high"}, "LoraConfig.alpha.*high"),
        ({"use_dora": True}, "no tensor .*lora_magnitude_vector"),
    ],
)
def test_what_would_compute_something_else_is_refused(values, why, tmp_path):
    model, plain = saved(tmp_path), small_model()
    edited(tmp_path, **values)
    for each in (model, plain):
        with pytest.raises(ArtifactError, match=why):
            load_adapter(each, tmp_path)
    assert not has_adapters(plain)


def test_unknown_keys_are_ignored(tmp_path):
    saved(tmp_path)
    edited(tmp_path, revision="main", brand_new_key=1)
    load_adapter(small_model(), tmp_path)


def test_bottlenecks_of_other_places_are_refused(tmp_path):
    saved(tmp_path, "bottleneck")
    values = json.loads((tmp_path / "adapter_config.json").read_text())["config"]
    for change, why in (
        ({"original_ln_before": True}, "places of no style"),
        ({"use_gating": True}, "use_gating=True"),
        ({"architecture": "lora"}, "neither a PEFT adapter nor an AdapterHub bottleneck"),
    ):
        edited(tmp_path, config=values | change)
        with pytest.raises(ArtifactError, match=why):
            load_adapter(small_model(), tmp_path)


def test_damaged_tensors_and_pickles_are_errors(tmp_path):
    saved(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    first = next(key for key in tensors if "lora_A" in key)
    for changed, why in (
        (tensors | {"extra": torch.ones(1)}, "no module for extra"),
        (tensors | {first: tensors[first] * torch.nan}, "not finite"),
        ({k: t for k, t in tensors.items() if k != first.replace("_A", "_B")}, "no tensor"),
    ):
        save_file(changed, file)
        with pytest.raises(ArtifactError, match=why):
            load_adapter(small_model(), tmp_path)
    file.rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ArtifactError, match="adapter_model.bin is a pickle"):
        load_adapter(small_model(), tmp_path)
    with pytest.raises(ArtifactError, match="adapter_config.json"):
        load_adapter(small_model(), tmp_path / "none")


FUSED = ("phi-4-mini-tiny", "pythia-tiny", "falcon-tiny", "bloom-tiny", "glm-4-tiny")


def of_preset(name):
    return small_model(preset(name).config.model_copy(update={"vocab_size": VOCAB}))


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(rank=3),
        LoraConfig(rank=3, targets=("v_proj", "up_proj"), rank_stabilised=True),
        LoraConfig(rank=2, targets=("k_proj", "up_proj"), dora=True),
    ],
)
@pytest.mark.parametrize("name", [*FUSED, "modernbert-tiny"])
def test_an_adapter_of_fused_modules_is_read_as_it_was_written(name, config, tmp_path):
    model, again = of_preset(name), of_preset(name)
    again.load_state_dict(model.state_dict())
    attach_adapter(model, config)
    save_adapter(shake_adapter(model), "default", tmp_path)
    load_adapter(again, tmp_path)
    ids = random_ids(2, 6)
    assert_close(again(ids), model(ids), rtol=0, atol=1e-5)
    if not config.dora:  # the norms of rows without an update are read as if they were learnt
        found = {n: p.shape for n, p in again.named_parameters() if ".adapters." in n}
        assert found == {n: p.shape for n, p in model.named_parameters() if ".adapters." in n}


def test_an_adapter_has_the_names_of_its_base_s_files_where_other_families_are_the_same(tmp_path):
    """A Phi 3 whose heads are rotated whole is a Llama but for the names in its files."""
    base = shutil.copytree(ROOT / "phi3", tmp_path / "phi3")
    values = json.loads((base / "config.json").read_text())
    rope = values["rope_parameters"] | {"partial_rotary_factor": 1.0}
    whole = {"partial_rotary_factor": 1.0, "rope_parameters": rope}
    write_json(base / "config.json", values | whole)
    model, again = load(base), load(base)
    attach_adapter(model, LoraConfig(rank=2))
    save_adapter(shake_adapter(model), "default", tmp_path / "a")
    names = json.loads((tmp_path / "a" / "adapter_config.json").read_text())["target_modules"]
    assert names == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    load_adapter(again, tmp_path / "a")
    ids = random_ids(2, 6)
    assert_close(again(ids), model(ids), rtol=0, atol=1e-5)


def test_queries_keys_and_values_are_one_update_of_three_ranks_and_the_same_scale(tmp_path):
    model = of_preset("phi-4-mini-tiny")
    attach_adapter(model, LoraConfig(rank=4, alpha=6.0, targets=("q_proj", "k_proj", "v_proj")))
    save_adapter(shake_adapter(model), "default", tmp_path)
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    assert values["target_modules"] == ["qkv_proj"] and values["r"] == 4
    assert {*values["rank_pattern"].values()} == {12} and {*values["alpha_pattern"].values()} == {
        18
    }


@pytest.mark.parametrize("name", sorted(name for name in presets() if name.endswith("-tiny")))
def test_no_adapter_is_written_of_modules_that_the_model_s_files_lack(name, tmp_path):
    model = of_preset(name)
    stored = choose_family(model.config).to_hf_state_dict(dict(model.state_dict()), model.config)
    attach_adapter(model, LoraConfig(rank=2))
    if choose_family(model.config).name in NAMELESS:
        with pytest.raises(ConfigError, match="so that an adapter of it has no name there"):
            save_adapter(model, "default", tmp_path)
        return
    save_adapter(model, "default", tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    names = {key.removeprefix("base_model.model.").split(".lora_")[0] for key in tensors}
    assert names
    for each in names:
        A, B = (tensors[f"base_model.model.{each}.lora_{side}.weight"] for side in "AB")
        assert stored[f"{each}.weight"].shape == (len(B), A.shape[1]), each


@pytest.mark.parametrize("name", ["t5-tiny", "bart-tiny"])
def test_embeddings_that_peft_would_not_call_are_refused(name, tmp_path):
    attach_adapter(model := of_preset(name), LoraConfig(rank=2, targets=("embed_tokens",)))
    with pytest.raises(ConfigError, match="repeat embed_tokens, so that an adapter of it has no"):
        save_adapter(model, "default", tmp_path)


def test_dora_of_what_peft_takes_for_experts_is_refused(tmp_path):
    model = of_preset("deepseek-v3-tiny")
    attach_adapter(model, LoraConfig(rank=2, dora=True))
    with pytest.raises(ConfigError, match="takes model.layers.0.*deepseek_v3.*no DoRA; choose"):
        save_adapter(model, "default", tmp_path)


def test_an_adapter_of_experts_is_refused(tmp_path):
    saved(tmp_path)
    edited(tmp_path, target_parameters=["experts.gate_up_proj"])
    with pytest.raises(ArtifactError, match="it adapts experts.gate_up_proj"):
        load_adapter(small_model(), tmp_path)


NAMELESS = ("gpt2", "openai-gpt", "switch_transformers")


def test_families_that_transpose_matrices_have_no_names_for_an_adapter(tmp_path):
    attention = AttentionConfig(heads=4, kv_heads=4, head_dim=8, qk_norm="none", bias="all")
    norm = CONFIG.norm.model_copy(update={"kind": "layer", "eps": 1e-5, "bias": True})
    feedforward = CONFIG.feedforward.model_copy(
        update={"gated": False, "activation": "gelu_tanh", "bias": True, "width": 128}
    )
    changes = {"attention": attention, "norm": norm, "feedforward": feedforward,
               "position": PositionConfig(kind="learned"), "tied_embeddings": True}  # fmt: skip
    model = small_model(CONFIG.model_copy(update=changes))
    attach_adapter(model, LoraConfig())
    with pytest.raises(ConfigError, match="gpt2 files transpose or repeat layers.0"):
        save_adapter(model, "default", tmp_path)


class Made(Config):
    """The configuration of the artifacts that tests make."""

    seed: int = 0


@pytest.fixture
def base(tmp_path):
    """A model artifact with a tokenizer."""
    tokenizer = FastTokenizer([(b"a", b"b")])

    def write(draft):
        save_tokenizer(tokenizer, draft.path)
        config = CONFIG.model_copy(update={"vocab_size": max(VOCAB, tokenizer.vocab_size)})
        save(small_model(config), draft.path, draft.path)

    return produce(tmp_path / "base", kind="model", stage="made", version=1, config=Made(),
                   parents={}, write=write)  # fmt: skip


def adapter_artifact(path, base, kind="lora"):
    """An adapter of a model, as an artifact."""
    return produce(
        path, kind="adapter", stage="made", version=1, config=Made(), parents={"model": base},
        write=lambda draft: saved(draft.path, kind, load(base.path)) and None,
    )  # fmt: skip


def test_merge_writes_a_model_with_the_adapter_s_logits(base, tmp_path):
    adapter = adapter_artifact(tmp_path / "adapter", base)
    merged = merge(MergeConfig(), base, adapter.path, tmp_path / "merged")
    assert [parent.name for parent in merged.parents] == ["model", "adapter"]
    assert merged.numbers["adapter_parameters"] > 0 and "tokenizer.json" in merged.files
    model, ids = load(base.path), random_ids(2, 7)
    load_adapter(model, adapter.path, base=base.path)
    torch.testing.assert_close(load(merged.path).logits(ids), model.logits(ids), rtol=0, atol=1e-5)
    assert merge(MergeConfig(), base, adapter.path, tmp_path / "merged").id == merged.id


def test_merge_takes_a_plain_directory_and_refuses_another_model_s(base, tmp_path):
    adapter = adapter_artifact(tmp_path / "adapter", base)
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter.path / name, plain)
    merged = merge(MergeConfig(), base, plain, tmp_path / "merged")
    assert [parent.name for parent in merged.parents] == ["model"]
    other = produce(
        tmp_path / "other", kind="model", stage="made", version=1, config=Made(seed=1), parents={},
        write=lambda draft: save(small_model(load(base.path).config), draft.path, base.path),
    )  # fmt: skip
    ids = f"adapter of the model {base.id[:12]}.*{other.id[:12]}"
    with pytest.raises(ArtifactError, match=ids):
        merge(MergeConfig(), other, adapter.path, tmp_path / "wrong")
    prefix = adapter_artifact(tmp_path / "prefix", base, "prefix")
    with pytest.raises(ConfigError, match="cannot be merged"):
        merge(MergeConfig(), base, prefix.path, tmp_path / "wrong")
    assert isinstance(Artifact.open(merged.path), Artifact)
