"""Weights on disk: Transformers computes what we do, and nothing wrong opens silently."""

import errno
import json
import os
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.core import Artifact, ArtifactError, Config, ConfigError, produce
from groundup.model import Cache, PositionConfig, Transformer, load, save, save_tensors
from groundup.model.weights.gguf.configuration import describe_for_gguf
from tests.model.shapes import tiny_config, tiny_model

PEERS = ["one_kv_head", "wide_heads_untied", "no_groups", "ours", "ours_int8", "ours_int4"]


@pytest.fixture
def peers(root):
    return root / "tests" / "fixtures" / "qwen3"


@torch.no_grad()
@pytest.mark.parametrize("name", PEERS)
def test_logits_and_greedy_tokens_are_those_of_transformers(peers, name):
    model, expected = load(peers / name), load_file(peers / name / "expected.safetensors")
    assert_close(model.logits(expected["ids"]), expected["logits"], atol=1e-4, rtol=1e-4)
    ids, cache = expected["ids"][:, :5], Cache(model.config, 2, 64)
    for place in range(12):
        new = ids if place == 0 else ids[:, -1:]
        chosen = model.logits(new, cache=cache, last_only=True).argmax(-1)
        ids = torch.cat([ids, chosen], 1)
    assert torch.equal(ids, expected["greedy"])


@pytest.mark.parametrize("name", ["ours", "ours_int8", "ours_int4"])
def test_we_still_write_what_transformers_opened(peers, name, tmp_path):
    save(load(peers / name), tmp_path)
    for file in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / file).read_text()) == json.loads(
            (peers / name / file).read_text()
        )
    written = load_file(tmp_path / "model.safetensors")
    opened = load_file(peers / name / "model.safetensors")
    assert written.keys() == opened.keys()
    assert all(torch.equal(written[key], opened[key]) for key in opened)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_saving_and_loading_returns_every_bit(tmp_path, tied, dtype):
    model = tiny_model(tiny_config(tied=tied), dtype)
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.config == model.config
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert load(tmp_path, torch.float32).head.dtype == torch.float32


def change(path, edit):
    """Edit the tensors of a saved model."""
    state = load_file(path / "model.safetensors")
    edit(state)
    save_file(state, path / "model.safetensors")


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda s: s.pop("model.norm.weight"), "lacks norm.weight"),
        (lambda s: s.update({"model.x": torch.ones(1)}), "has unexpected model.x"),
        (lambda s: s.update({"model.norm.weight": torch.ones(3)}), r"misshapen norm.*\(3,\) for"),
        (lambda s: s.update({"lm_head.weight": torch.ones(29, 16)}), "is not the embedding"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    save(tiny_model(), tmp_path)
    change(tmp_path, edit)
    with pytest.raises(ArtifactError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    "dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str
)
def test_numbers_of_another_type_are_named(tmp_path, dtype):
    save(tiny_model(), tmp_path)
    change(tmp_path, lambda s: s.update({"model.norm.weight": s["model.norm.weight"].to(dtype)}))
    with pytest.raises(ArtifactError, match=f"norm.weight of {str(dtype)[6:]}"):
        load(tmp_path)


def test_a_tied_head_that_repeats_the_embedding_is_welcome(tmp_path):
    save(tiny_model(), tmp_path)
    change(tmp_path, lambda s: s.update({"lm_head.weight": s["model.embed_tokens.weight"].clone()}))
    assert load(tmp_path).lm_head is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_an_error_that_says_so(tmp_path, share):
    save(tiny_model(), tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArtifactError, match="truncated"):
        load(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path, peers):
    with pytest.raises(ArtifactError, match="config.json cannot be read.*model directory"):
        load(tmp_path)
    save(tiny_model(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="model.safetensors cannot be read"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match="config.json is damaged"):
        load(tmp_path)
    copy = shutil.copytree(peers / "wide_heads_untied", tmp_path / "copy")
    (copy / "model-00002-of-00006.safetensors").unlink()
    with pytest.raises(ArtifactError, match="model-00002-of-00006.safetensors cannot be read"):
        load(copy)


def test_an_index_that_disagrees_with_its_shards_is_an_error(peers, tmp_path):
    copy = shutil.copytree(peers / "wide_heads_untied", tmp_path / "copy")
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    del index["weight_map"]["model.norm.weight"]
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match="differ in model.norm.weight"):
        load(copy)


def test_a_tensor_in_two_shards_is_an_error(peers, tmp_path):
    copy = shutil.copytree(peers / "wide_heads_untied", tmp_path / "copy")
    first, last = (copy / f"model-0000{i}-of-00006.safetensors" for i in (1, 6))
    save_file(load_file(first) | load_file(last), last)
    with pytest.raises(ArtifactError, match="which another shard of .* has too"):
        load(copy)


def test_an_artifact_is_checked_and_only_a_model_opens(tmp_path):
    path = tmp_path / "model"

    def make(kind):
        return produce(path, kind=kind, stage="t", version=1, config=Config(), parents={},
                       write=lambda draft: save(tiny_model(), draft.path))  # fmt: skip

    assert isinstance(make("model"), Artifact)
    assert load(path).config == tiny_config()
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match="does not have the content"):
        load(path)
    shutil.rmtree(path)
    make("tokens")
    with pytest.raises(ArtifactError, match="Expected a model artifact"):
        load(path)


def test_the_ends_of_texts_come_from_the_tokenizer(tmp_path):
    from groundup.tokenizer import FastTokenizer, save_tokenizer

    tokenizer, model = FastTokenizer([]), tiny_model()
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    end, turn = (tokenizer.specials[name] for name in ("<|endoftext|>", "<|im_end|>"))
    save(model, tmp_path / "base", tmp_path / "tokenizer")
    save(model, tmp_path / "chat", tmp_path / "base", chat=True)
    save(model, tmp_path / "copy", tmp_path / "chat")
    ends = [
        json.loads((tmp_path / name / file).read_text())["eos_token_id"]
        for name in ("base", "chat", "copy")
        for file in ("config.json", "generation_config.json")
    ]
    assert ends == [end, end, [turn, end], [turn, end], [turn, end], [turn, end]]
    for file in ("tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "copy" / file).read_bytes() == (
            tmp_path / "tokenizer" / file
        ).read_bytes()


def test_a_model_that_no_peer_can_express_is_saved_as_our_own(tmp_path):
    position = PositionConfig(kind="transformer_xl")
    model = tiny_model(tiny_config().model_copy(update={"position": position}), torch.float32)
    save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "groundup"
    again = load(tmp_path)
    assert again.config == model.config
    ids = torch.arange(20)[None]
    assert torch.equal(again.logits(ids), model.logits(ids))


def test_a_model_of_prefixes_stays_one_and_no_peer_opens_it_as_causal(tmp_path):
    config = tiny_config().model_copy(update={"prefix": True})
    save(Transformer(config, seed=0), tmp_path)
    assert load(tmp_path).config == config
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "groundup"
    with pytest.raises(ConfigError):
        describe_for_gguf(config, Transformer(config, seed=None).to("meta").state_dict())


def test_a_file_that_the_disk_does_not_take_is_the_systems_error_with_its_number(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_tensors({"a": torch.zeros(1 << 20)}, tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def doubled(path, name):
    """Write a file's header with one tensor's entry twice."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].decode().rstrip()
    entry = json.dumps(json.loads(header)[name])
    header = f'{header[:-1]}, "{name}": {entry}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


def test_a_tensor_twice_in_one_header_is_refused_by_name(tmp_path):
    save(tiny_model(dtype=torch.float32), tmp_path)
    doubled(tmp_path / "model.safetensors", "model.norm.weight")
    with pytest.raises(ArtifactError, match="has model.norm.weight twice"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_and_a_device_are_never_read(tmp_path, name):
    save(tiny_model(dtype=torch.float32), tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArtifactError, match=f"{name} cannot be read .*no regular file"):
        load(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match=f"{name} cannot be read .*no regular file"):
        load(tmp_path)
