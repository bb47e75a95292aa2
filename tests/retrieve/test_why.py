"""`groundup index --why` answers for members of archives and for documents of a corpus too."""

import zipfile

import pytest

from groundup.core import DataError
from groundup.documents import ReadConfig
from groundup.retrieve import explain_reading
from groundup.retrieve.index import IndexConfig


def test_why_of_a_hidden_member_names_its_hidden_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("notes.md", ".git/config", ".git/HEAD"):
            archive.writestr(name, "The boat is blue.")
    config = IndexConfig(read=ReadConfig(archives=True))
    said = "a.zip#.git is left out, hidden: names that begin with a dot, and folders of tools"
    assert explain_reading(tmp_path, "a.zip#.git/config", config) == said
    listed = explain_reading(tmp_path, "a.zip", config).splitlines()
    assert len(listed) == 2 and listed[1] == said
    with pytest.raises(DataError, match="a.zip has no a.zip#.gitignore"):
        explain_reading(tmp_path, "a.zip#.gitignore", config)
