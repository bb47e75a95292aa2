"""Notebooks: cells with spans, every character mapped, outputs removed with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import NamedStep, Record, apply_result, run_steps
from groundup.documents.code.notebook import Notebook, NotebookConfig


def notebook(cells: list[dict], **more) -> bytes:
    said = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    return json.dumps(said | more, indent=1).encode()


def record(data: bytes) -> Record:
    return Record("1", "s", "a.ipynb", "notebook", data=data)


def code(source, outputs=()) -> dict:
    return {"cell_type": "code", "execution_count": 1, "outputs": list(outputs), "source": source}


def words(source) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


IMAGE = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 50}}
CELLS = [
    words(["# Title\n", 'né \U0001f600 "q" \\ ![p](data:image/png;base64,AAAA)\n']),
    code("x = 1\nprint(x)", [{"output_type": "stream", "text": ["1\n"]}, IMAGE]),
    code(["%%bash\n", "ls"]),
    {"cell_type": "raw", "source": "raw"},
    code(""),
]
TEXT = (
    '# Title\nné \U0001f600 "q" \\ \n\n```python\nx = 1\nprint(x)\n```\n\n'
    "```bash\n%%bash\nls\n```\n\n"
)


def test_cells_become_text_and_outputs_are_removed():
    step = Notebook(NotebookConfig())
    judged = run_steps([NamedStep("code.notebook", step)], [record(notebook(CELLS))])
    (kept,) = judged.kept
    assert kept.text == TEXT and kept.data == b""
    cells = [(s.value, kept.text[s.start : s.end]) for s in kept.spans if s.kind == "cell"]
    assert [value for value, _ in cells] == ["markdown", "code python", "code bash"]
    assert cells[1][1] == "x = 1\nprint(x)"
    reasons = [removal.reason for removal in judged.removed]
    assert reasons == ["notebook: image", "notebook: output", "notebook: raw cell"]
    assert "image/png" in judged.removed[1].text


def test_every_character_is_mapped_to_its_bytes():
    data = notebook(CELLS)
    kept = apply_result(record(data), Notebook(NotebookConfig())(record(data)))
    for at, character in enumerate(kept.text):
        start, end = kept.map.byte_range(at, at + 1)
        if start == end:
            continue  # a fence, which is not in the file
        said = data[start:end].decode()
        assert said == character or json.loads(f'"{said}"') == character
        assert kept.map.line(at) == data.count(b"\n", 0, start) + 1


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=20)), max_size=5), st.booleans())
def test_any_sources_come_through(cells, fences):
    made = [code(text) if is_code else words(text) for is_code, text in cells]
    data = json.dumps({"cells": made}, ensure_ascii=fences).encode("utf-8", "replace")
    ruling = Notebook(NotebookConfig(fences=fences))(record(data))
    if ruling.reason:
        assert not any(text.strip() for _, text in cells)
        return
    kept = apply_result(record(data), ruling)
    said = [text for _, text in cells if text.strip()]
    found = [kept.text[s.start : s.end] for s in kept.spans if s.kind == "cell"]
    assert found == [
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in said
    ]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"cells": 1}', b'{"cells": [1]}', b"\xff", b'{"cells": []}', b"\0",
     b'{"cells": [{"cell_type": "code", "source": ' + b"[" * 100_000, b"[" * 1_000_000,
     b'{"cells": [{"cell_type": "code"}]}', b'{"cells": [{"source": null, "cell_type": 3}]}'],
)  # fmt: skip
def test_what_is_no_notebook_is_dropped_with_a_reason(data):
    assert Notebook(NotebookConfig())(record(data)).reason.startswith("notebook: ")


def test_old_notebooks_fences_and_lone_surrogates():
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a\n", "b"], "language": "r",
                                      "outputs": [1]}]}]}  # fmt: skip
    data = json.dumps(old).encode()
    assert (
        apply_result(record(data), Notebook(NotebookConfig())(record(data))).text
        == "```r\na\nb\n```\n\n"
    )
    ticks = notebook([code("'```'")])
    assert (
        "````python\n"
        in apply_result(record(ticks), Notebook(NotebookConfig())(record(ticks))).text
    )
    lone = notebook([code("x = '\ud800'")])
    apply_result(record(lone), Notebook(NotebookConfig())(record(lone))).text.encode()


def test_a_large_image_is_no_burden():
    big = {"output_type": "display_data", "data": {"image/png": "A" * 5_000_000}}
    data = notebook([code("x = 1", [big] * 3)])
    assert len(apply_result(record(data), Notebook(NotebookConfig())(record(data))).text) < 100
