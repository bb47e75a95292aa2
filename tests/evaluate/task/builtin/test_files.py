"""A file is found in the folder for data first, then in the package; else people learn the way."""

from pathlib import Path

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.builtin.files import find_data_file


def test_the_folder_for_data_comes_before_the_package(tmp_path: Path):
    inside = ("groundup", "core", "pip install x")
    carried = find_data_file(None, ("errors.py",), *inside)
    assert carried.is_file() and carried.parent.name == "core"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "errors.py").touch()
    assert find_data_file(tmp_path, ("errors.py",), *inside) == tmp_path / "deep" / "errors.py"
    assert (
        find_data_file(tmp_path, ("no.py", "errors.py"), "no_package", "", "").parent.name == "deep"
    )


def test_what_is_nowhere_names_the_command(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"Found no a\.txt; run: pip install x"):
        find_data_file(None, ("a.txt",), "no_package", "", "pip install x")
    with pytest.raises(ConfigError, match=r"a\.txt in .*--data"):
        find_data_file(tmp_path, ("a.txt",), "groundup", "core", "pip install x")
