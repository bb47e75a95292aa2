"""Licences: what a card and the files beside it say, and `unknown` for all else."""

import pytest

from groundup.model.weights.licence import ModelLicence, licence_to_json, read_model_licence


@pytest.mark.parametrize(
    "card, name, link",
    [
        ("---\nlicense: apache-2.0\nlanguage: en\n---\n# Model\n", "apache-2.0", ""),
        ("---\nlanguage:\n- en\n- de\nlicense: 'mit'\n---\n", "mit", ""),
        ("---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\n---\n", "llama3",
         "LICENSE"),
        ("---\nlicense:\n- mit\n- apache-2.0\ntags:\n- x\n---\n", "mit, apache-2.0", ""),
        ("---\nlicense: [mit, gpl-3.0]\n---\n", "mit, gpl-3.0", ""),
        ("---\r\nlicense: gemma\r\n---\r\n", "gemma", ""),
        ("---\nlicense: other\n---\n", "other", ""),
        ("# Model\nlicense: mit\n", "unknown", ""),
        ("---\nlicense: mit\n", "unknown", ""),
        ("---\ntags:\n  license: mit\n---\n", "unknown", ""),
        ("---\nlicense:\n---\n", "unknown", ""),
        ("", "unknown", ""),
    ],
)  # fmt: skip
def test_a_card_names_the_licence_in_its_head_alone(tmp_path, card, name, link):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert read_model_licence(tmp_path) == ModelLicence(name, link)


def test_files_beside_the_model_are_found_and_others_are_not(tmp_path):
    names = ["LICENSE", "LICENCE.txt", "NOTICE", "USE_POLICY.md", "license-mit", "COPYING"]
    for name in [*names, "licensed.py", "tokenizer.json", "unnoticed"]:
        (tmp_path / name).write_text("terms")
    (tmp_path / "LICENSES").mkdir()
    (tmp_path / "NOTICE.bin").write_bytes(bytes(2**20 + 1))
    assert read_model_licence(tmp_path) == ModelLicence(
        f"see {sorted(names)[0]}", "", tuple(sorted(names))
    )


def test_what_the_user_knows_counts_where_the_card_is_silent(tmp_path):
    (tmp_path / "LICENSE").write_text("terms")
    assert read_model_licence(tmp_path, "cc-by-4.0").name == "cc-by-4.0"
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert read_model_licence(tmp_path, "cc-by-4.0").name == "mit"


def test_bytes_that_are_no_text_end_nothing(tmp_path):
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n\xff\xfe: x\n---\n")
    assert licence_to_json(read_model_licence(tmp_path)) == {"name": "mit", "link": "", "files": []}
