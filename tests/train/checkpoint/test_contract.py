"""Runs are told apart by what they are made of."""

from groundup.core import Artifact, write_json
from groundup.tokenizer import MixConfig, mix_tokens
from groundup.train import shard_hashes
from groundup.train.checkpoint.contract import (
    describe_differences,
    determinism_contract,
    format_differences,
)
from groundup.train.parallel.mesh import SINGLE_PROCESS


def test_hashes_of_shards_are_those_of_the_manifests(made, tmp_path):
    own = made.tokens.files["train.bin"]["sha256"]
    assert shard_hashes(made.tokens) == {"train": own}
    sources = {"a": made.tokens, "b": made.tokens}
    mixed = mix_tokens(MixConfig(tokens=1000), sources, made.tokenizer, tmp_path / "mix")
    assert shard_hashes(mixed) == {"a": own, "b": own}
    assert shard_hashes(Artifact.open(mixed.path)) == {"a": own, "b": own}


def test_differences_are_told_by_name_the_first_few(tmp_path):
    old = {"a": {"b": [1, 2], "c": 1}, "d": "x"}
    new = {"a": {"b": [1, 3], "c": 1}, "d": "y", "e": True}
    found = list(describe_differences(old, new))
    assert found == [
        "a.b [1, 2] -> [1, 3]",
        "d x -> y",
        "e nothing -> True",
    ]
    assert format_differences([*found, "more"]).endswith("True and 1 more")
    assert not list(describe_differences(old, old))


def test_the_contract_is_plain_json_and_says_what_decides_bits(tmp_path):
    found = determinism_contract(SINGLE_PROCESS, 1)
    write_json(tmp_path / "contract.json", found)
    assert {"processor", "instruction_sets", "threads", "torch", "kernels", "mesh"} <= found.keys()
    assert found["processes"] == 1 and found["threads"] >= 1
