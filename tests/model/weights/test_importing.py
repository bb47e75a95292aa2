"""Importing: checked before it is kept, copied byte for byte, never a pickle, one line of error."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.cli import main
from groundup.core import Artifact, ArtifactError, ConfigError, hash_file, record
from groundup.model import (
    Head,
    HeadConfig,
    ImportConfig,
    ModelWithHead,
    import_model,
    load,
    load_with_head,
    save,
    save_with_head,
)
from groundup.model.weights.importing import _model_name
from groundup.tokenizer.imported.vocabulary import wordpiece_tokenizer
from tests.model.shapes import shape, tiny_config, tiny_model

PEERS = Path(__file__).parents[2] / "fixtures" / "decoders"
AS_IS = ImportConfig()
CARD = "---\nlicense: apache-2.0\n---\n# A model\n"


@pytest.fixture(autouse=True)
def silent_afterwards():
    yield
    record.set_output_mode("silent")


@pytest.fixture
def source(tmp_path):
    """A peer's directory with all that people publish beside the weights."""
    folder = tmp_path / "Süßes Modell"
    shutil.copytree(PEERS / "llama" / "one_kv_linear", folder)
    (folder / "expected.safetensors").unlink()
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "LICENSE").write_text("Apache License", encoding="utf-8")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2], "top_k": 20}')
    write_words(folder, 17)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    (folder / "runs.log").write_text("not needed")
    return folder


def write_words(folder, size):
    """A tokenizer of so many ids, the last one a special token of a picture."""
    words = ["[UNK]", *(f"w{number}" for number in range(size - 1))]
    content = wordpiece_tokenizer(words).content
    added = [{"id": size, "content": "<picture>", "special": True, "normalized": False}]
    for flag in ("single_word", "lstrip", "rstrip"):
        added[0][flag] = False
    content = content | {"added_tokens": [*content["added_tokens"], *added]}
    (folder / "tokenizer.json").write_text(json.dumps(content))


def test_a_tokenizer_with_more_ids_than_the_model_is_refused_with_both_numbers(source, tmp_path):
    write_words(source, 18)  # the special token of a picture, one id beyond, is no fault
    with pytest.raises(ArtifactError, match=r"gives ids up to 17, and the model has 17 embeddings"):
        import_model(AS_IS, source, tmp_path / "base")
    assert not (tmp_path / "base" / "manifest.json").exists()
    (source / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(ArtifactError, match=r"tokenizer.json: No tokenizer \(KeyError: 'vocab'\)"):
        import_model(AS_IS, source, tmp_path / "base")


@pytest.mark.parametrize("size", [10**6, 2**40, 10**18])
def test_a_huge_vocabulary_is_an_error_before_memory_is_asked_for(source, tmp_path, size):
    edit(source / "config.json", vocab_size=size)
    told = r"describes a model of at least .* weights|expected an integer from 1 to"
    with pytest.raises(ArtifactError, match=told):
        import_model(AS_IS, source, tmp_path / "base")
    assert main_fails(["import", str(source), "--out", str(tmp_path / "base")])


def main_fails(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code == 1


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_directory_is_copied_byte_for_byte_with_licence_and_hashes(source, tmp_path):
    made = import_model(AS_IS, source, tmp_path / "base")
    kept = {
        "config.json", "model.safetensors", "generation_config.json", "tokenizer.json",
        "chat_template.jinja", "README.md", "LICENSE",
    }  # fmt: skip
    assert made.files.keys() == kept | {"source.json"}
    for name in kept:
        assert made.files[name]["sha256"] == hash_file(source / name)
    said = json.loads((made.path / "source.json").read_text())
    assert said["files"] == {name: made.files[name] for name in sorted(kept)}
    assert said["licence"] == {"name": "apache-2.0", "link": "", "files": ["LICENSE"]}
    assert made.numbers["licence"] == "apache-2.0" and made.numbers["source"] == source.name
    model = load(made.path)
    assert torch.equal(model.head, load(source).head)
    assert made.numbers["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_a_second_time_nothing_is_done_and_other_content_is_refused(source, tmp_path):
    first = import_model(AS_IS, source, tmp_path / "base")
    moved = source.rename(tmp_path / "elsewhere")
    assert import_model(AS_IS, moved, tmp_path / "base").id == first.id
    (moved / "README.md").write_text("---\nlicense: mit\n---\n")
    with pytest.raises(ArtifactError, match="source_digest"):
        import_model(AS_IS, moved, tmp_path / "base")


def test_shards_and_links_of_a_cache_become_files(tmp_path):
    blobs = tmp_path / "hub" / "models--maker--small-1b"
    snapshot = blobs / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    peer = PEERS / "mistral" / "full_yarn"
    for file in peer.glob("*"):
        shutil.copy(file, blobs / f"blob-{file.name}")
        (snapshot / file.name).symlink_to(blobs / f"blob-{file.name}")
    made = import_model(AS_IS, snapshot, tmp_path / "base")
    shards = {name for name in made.files if name.startswith("model-0000")}
    assert len(shards) == 3 and "model.safetensors.index.json" in made.files
    assert "expected.safetensors" not in made.files
    assert not any(path.is_symlink() for path in made.path.iterdir())
    assert made.numbers["source"] == "maker/small-1b@0123abcd"
    assert load(made.path).config == load(peer).config
    assert _model_name(Path("/models/plain")) == "plain"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_of_another_dtype_are_written_anew_and_the_rest_is_kept(source, tmp_path, dtype):
    edit(source / "config.json", bos_token_id=3, eos_token_id=[1, 2])
    made = import_model(ImportConfig(dtype=dtype), source, tmp_path / "base")
    tensors = load_file(made.path / "model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {f"torch.{dtype}"}
    values = json.loads((made.path / "config.json").read_text())
    assert values["dtype"] == dtype and values["eos_token_id"] == [1, 2]
    assert json.loads((made.path / "generation_config.json").read_text())["top_k"] == 20
    before, after = load(source, torch.float32), load(made.path, torch.float32)
    assert torch.allclose(before.head, after.head, atol=1e-2)


def test_without_a_generation_config_the_ends_of_texts_stay(source, tmp_path):
    (source / "generation_config.json").unlink()
    (source / "tokenizer.json").unlink()
    edit(source / "config.json", eos_token_id=7)
    made = import_model(ImportConfig(dtype="float32"), source, tmp_path / "base")
    assert json.loads((made.path / "generation_config.json").read_text())["eos_token_id"] == 7


def test_the_text_part_of_a_model_with_pictures_is_opened_and_all_of_it_kept(tmp_path):
    made = import_model(AS_IS, PEERS / "gemma3" / "with_pictures", tmp_path / "base")
    assert any("vision_tower" in name for name in load_file(made.path / "model.safetensors"))
    assert load(made.path).config.embedding.scale == 8**0.5
    text = import_model(ImportConfig(dtype="float32"), PEERS / "gemma3" / "with_pictures",
                        tmp_path / "text")  # fmt: skip
    assert text.numbers["model_type"] == "gemma3_text"


def test_a_classifier_keeps_its_head(tmp_path):
    model = ModelWithHead(tiny_model(dtype=torch.float32), Head(HeadConfig(labels=3), 16)).eval()
    save_with_head(model, tmp_path / "classifier")
    for dtype in ("as_is", "float32"):
        config = ImportConfig(dtype=dtype)
        made = import_model(config, tmp_path / "classifier", tmp_path / f"base {dtype}")
        again = load_with_head(made.path)
        for name, tensor in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "weights.pth"])
def test_pickles_are_refused_with_the_reason(source, tmp_path, name):
    (source / "model.safetensors").rename(source / name)
    for given in (source, source / name):
        with pytest.raises(
            ArtifactError, match=f"{name} is a pickle, which can execute code"
        ) as told:
            import_model(AS_IS, given, tmp_path / "base")
        assert "save_pretrained" in str(told.value)
    assert not (tmp_path / "base").exists()


def test_a_pickle_beside_safetensors_is_left_behind(source, tmp_path):
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert "pytorch_model.bin" not in import_model(AS_IS, source, tmp_path / "base").files


def damage_shape(source):
    state = load_file(source / "model.safetensors")
    state["model.norm.weight"] = torch.ones(3)
    save_file(state, source / "model.safetensors")


def damage_values(source):
    state = load_file(source / "model.safetensors")
    state["model.norm.weight"][2] = torch.nan
    save_file(state, source / "model.safetensors")


def damage_end(source):
    content = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(content[:-20])


def damage_index(source):
    (source / "model.safetensors").rename(source / "model-00001-of-00001.safetensors")
    (source / "model.safetensors.index.json").write_text('{"weight_map": {"a": 5}}')


def damage_name(source):
    (source / "model.safetensors").unlink()
    (source / "model-00001-of-00001.safetensors").touch()
    named = {"weight_map": {"a": "a\0b.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(named))


@pytest.mark.parametrize(
    "damage, message",
    [
        (damage_name, "names the file 'a.x00b.safetensors'"),
        (lambda at: (at / "config.json").write_text("[" * 100_000), "config.json is damaged"),
        (lambda at: edit(at / "config.json", architectures="LlamaForCausalLM"), "a list of names"),
        (lambda at: edit(at / "config.json", quantization_config="x"), "quantization_config='x'"),
        (lambda at: edit(at / "config.json", quantization_config={"config_groups": [1]}),
         "in compressed-tensors' format"),
        (damage_shape, r"has misshapen norm.weight \(3,\) for \(10,\)"),
        (damage_values, "norm.weight has infinite or NaN values in bfloat16"),
        (damage_end, "model.safetensors cannot be read"),
        (damage_index, "has no weight_map"),
        (lambda at: (at / "config.json").write_text("{"), "config.json is damaged"),
        (lambda at: (at / "config.json").write_text("[]"), "is not a JSON object"),
        (lambda at: (at / "config.json").unlink(), "has no config.json"),
        (lambda at: (at / "model.safetensors").unlink(), "safetensors"),
        (lambda at: edit(at / "config.json", model_type="mamba"), "'mamba', whose layers"),
        (lambda at: edit(at / "config.json", model_type=["llama"]), "names no model_type"),
        (lambda at: edit(at / "config.json", model_type="own", auto_map={}), ".auto_map. is never"),
        (lambda at: edit(at / "config.json", hidden_size="10"), "hidden_size='10'"),
        (lambda at: edit(at / "config.json", hidden_size=20), "has misshapen"),
        (lambda at: edit(at / "config.json", vocab_size=10**9), "describes a model of"),
        (lambda at: edit(at / "config.json", num_hidden_layers=60_000), "describes a model of"),
        (lambda at: edit(at / "config.json", dtype="float8"), "dtype 'float8'"),
        (lambda at: edit(at / "config.json", quantization_config={"quant_method": "gptq"}),
         "quantised weights .gptq"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_leaves_nothing(source, tmp_path, damage, message):
    damage(source)
    with pytest.raises(ArtifactError, match=message) as told:
        import_model(AS_IS, source, tmp_path / "base")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pipe_and_a_device_are_never_imported(source, tmp_path, name):
    (source / name).unlink()
    os.mkfifo(source / name)
    check_never_read(source, tmp_path / "base", name)
    (source / name).unlink()
    (source / name).symlink_to("/dev/zero")
    check_never_read(source, tmp_path / "again", name)


def check_never_read(source, out, name):
    with pytest.raises(ArtifactError, match="no regular file|has no config.json|links to"):
        import_model(AS_IS, source, out)
    assert not out.exists()


def test_a_billion_buckets_are_refused_before_room_is_made(tmp_path):
    folder = shutil.copytree(PEERS.parent / "switch_transformers" / "every_second", tmp_path / "s")
    far = {"relative_attention_num_buckets": 10**9, "relative_attention_max_distance": 2 * 10**9}
    edit(folder / "config.json", **far)
    with pytest.raises(ArtifactError, match="describes a model of"):
        import_model(AS_IS, folder, tmp_path / "base")


def test_every_file_of_a_tokenizer_is_copied(source, tmp_path):
    names = ["spm.model", "tokenizer.model.v3", "pieces.json"]
    for name in names:
        (source / name).write_bytes(b"{}")
    assert {*names} <= {*import_model(AS_IS, source, tmp_path / "base").files}


def test_numbers_beyond_half_precision_are_refused(source, tmp_path):
    state = load_file(source / "model.safetensors")
    state["model.norm.weight"][0] = 1e6
    save_file(state, source / "model.safetensors")
    with pytest.raises(ArtifactError, match="norm.weight has infinite .* float16"):
        import_model(ImportConfig(dtype="float16"), source, tmp_path / "base")


def test_what_is_no_directory_of_others_is_refused(source, tmp_path):
    made = import_model(AS_IS, source, tmp_path / "base")
    with pytest.raises(ArtifactError, match="already a groundup artifact"):
        import_model(AS_IS, made.path, tmp_path / "again")
    with pytest.raises(ArtifactError, match="hf download Qwen/Qwen3-0.6B"):
        import_model(AS_IS, Path("Qwen/Qwen3-0.6B"), tmp_path / "again")
    with pytest.raises(ArtifactError, match="give its directory"):
        import_model(AS_IS, source / "config.json", tmp_path / "again")
    with pytest.raises(ConfigError, match="is inside the source"):
        import_model(AS_IS, source, source / "base")


def test_a_model_that_no_peer_has_comes_back(tmp_path):
    model = tiny_model(shape(width=18), torch.float32)
    save(model, tmp_path / "ours")
    made = import_model(AS_IS, tmp_path / "ours", tmp_path / "base")
    assert load(made.path).config == model.config


def test_on_the_command_line_an_unknown_licence_is_told(tmp_path, capsys):
    save(tiny_model(tiny_config(), torch.float32), tmp_path / "small")
    words = ["import", str(tmp_path / "small"), "--out", str(tmp_path / "base")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    told = capsys.readouterr()
    assert not ended.value.code and "licence unknown" in told.out
    assert "names no licence" in told.err
    with pytest.raises(SystemExit) as ended:
        main([*words[:-1], str(tmp_path / "said"), "--set", "licence=mit"])
    told = capsys.readouterr()
    assert not ended.value.code and "licence mit" in told.out and "names no" not in told.err
    assert Artifact.open(tmp_path / "said", kind="model").stage == "import"


def test_code_of_a_model_s_own_is_named_and_never_run(tmp_path, capsys):
    save(tiny_model(tiny_config(), torch.float32), tmp_path / "small")
    config = tmp_path / "small" / "config.json"
    values = json.loads(config.read_text()) | {"auto_map": {"AutoModel": "modeling_x.X"}}
    config.write_text(json.dumps(values))
    (tmp_path / "small" / "modeling_x.py").write_text("raise SystemExit('run')")
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "small"), "--out", str(tmp_path / "base")])
    assert not ended.value.code
    assert "names code of its own (auto_map), which is never run" in capsys.readouterr().err
    assert not (tmp_path / "base" / "modeling_x.py").exists()


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "generation_config.json"])
def test_no_file_is_taken_through_a_link_out_of_the_directory(source, tmp_path, name):
    (tmp_path / "mine").write_text('{"mine": 1}')
    (source / name).unlink()
    (source / name).symlink_to(tmp_path / "mine")
    with pytest.raises(ArtifactError, match=rf"{name} links to .*mine, outside the model"):
        import_model(AS_IS, source, tmp_path / "base")
    (source / name).unlink()
    (source / "own").write_text("{}")
    (source / name).symlink_to("own")
    assert import_model(AS_IS, source, tmp_path / "base").file(name).read_text() == "{}"
