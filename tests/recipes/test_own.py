"""Journey J2, a model of one's own, from a folder of documents to an adapter, by its commands."""

import json
from contextlib import suppress

import pytest

from groundup.cli import main
from groundup.compress import QuantizeConfig, quantize
from groundup.core import Artifact, Config, ConfigError, GateFailed, produce
from groundup.measure import read_verdict
from groundup.recipes.tuning.own import own
from tests.align.examples.test_documents import write_part
from tests.serve.servers import write_chat_model


@pytest.fixture
def base(tmp_path):
    return produce(
        tmp_path / "base", kind="model", stage="test", version=1, config=Config(), parents={},
        write=lambda draft: write_chat_model(draft.path, 256),
    )  # fmt: skip


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0, words


def test_a_folder_becomes_examples_and_an_adapter_without_its_test_set(base, tmp_path, capsys):
    handbook, testset, examples = (tmp_path / name for name in ("handbook", "t", "e"))
    write_part(handbook)
    run("testset", "make", handbook, "--questions", 12, "--out", testset)
    small = ["max_chars=160", "names=4", "questions=60", "held_out=8"]
    settings = [word for setting in small for word in ("--set", setting)]
    run("examples", "make", handbook, "--exclude", testset, "--out", examples, *settings)
    run("testset", "show", testset, "--against", examples)
    assert "no sample occurs in them" in capsys.readouterr().out
    run("balance", examples, "--json")
    counts = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert counts["kinds"]["question"] and counts["refusals"] < counts["rows"] / 2
    run("finetune", base.path, "--examples", examples, "--adapter", "lora", "--out",
        tmp_path / "tuned", "--set", "max_length=256", "--set", "epochs=0.2")  # fmt: skip
    tuned = Artifact.open(tmp_path / "tuned", "adapter")
    assert [parent.id for parent in tuned.parents] == [base.id, Artifact.open(examples).id]
    assert tuned.numbers["rows"] > 0 and tuned.numbers["dropped"] == 0
    assert (tuned.path / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("bits", [0, 8])
def test_the_recipe_runs_to_its_verdict_and_again_from_what_is_there(base, tmp_path, bits):
    if bits:  # such as models/house-14m
        base = quantize(QuantizeConfig(bits=bits), base, tmp_path / "packed")
    handbook, out = tmp_path / "handbook", tmp_path / "out"
    write_part(handbook)
    for _ in range(2):
        with suppress(GateFailed):  # a model of random weights learns little in a moment
            own(documents=handbook, base=base.path, out=out, questions=12, epochs=0.1)
    names = ("testset", "examples", "tuned", "model", "report", "verdict")
    made = {name: Artifact.open(out / name) for name in names}
    assert {parent.id for parent in made["model"].parents} == {base.id, made["tuned"].id}
    assert made["testset"].id in [parent.id for parent in made["report"].parents]
    assert read_verdict(made["verdict"]).checks
    with pytest.raises(ConfigError, match="lies in the documents"):
        own(documents=handbook, base=base.path, out=handbook / "runs")


def test_what_cannot_be_merged_is_evaluated_with_its_base(base, tmp_path):
    write_part(tmp_path / "handbook")
    with suppress(GateFailed):
        own(documents=tmp_path / "handbook", base=base.path, out=tmp_path / "out", questions=12,
            adapter="prefix", epochs=0.1)  # fmt: skip
    report = Artifact.open(tmp_path / "out" / "report")
    assert Artifact.open(tmp_path / "out" / "tuned", "adapter").id in {
        parent.id for parent in report.parents
    }
    assert not (tmp_path / "out" / "model").exists()
