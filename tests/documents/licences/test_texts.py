"""Licences: tags, texts and notices; expressions and allow lists."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.licences.expressions import (
    is_licence_allowed,
    join_expressions,
    read_expression,
)
from groundup.documents.licences.rights import Rights, RightsConfig
from groundup.documents.licences.texts import (
    LicenceFilter,
    LicenceFilterConfig,
    _load_phrases,
    licence_of,
)

MIT = """Copyright (c) 2020 A. Person

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
BSD = """Redistribution and use in source and binary forms, with or without modification, are
permitted provided that the following conditions are met:
1. Redistributions of source code must retain the above copyright notice, this list of conditions
   and the following disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of
   conditions and the following disclaimer in the documentation and/or other materials provided
   with the distribution.
{third}
THIS SOFTWARE IS PROVIDED BY ACME ROCKETS OF NOWHERE ``AS IS'' AND ANY EXPRESS OR IMPLIED
WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS
FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL ACME ROCKETS OF NOWHERE BE LIABLE FOR
ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT
LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN
IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""
THIRD = """3. Neither the name of ACME ROCKETS nor the names of its contributors may be used to
   endorse or promote products derived from this software without specific prior written
   permission."""
APACHE = """Licensed under the Apache License, Version 2.0 (the "License"); you may not use this
file except in compliance with the License. You may obtain a copy of the License at
http://www.apache.org/licenses/LICENSE-2.0"""
LGPL = """This library is free software; you can redistribute it and/or modify it under the terms of
the GNU Lesser General Public License as published by the Free Software Foundation; either version
2.1 of the License, or (at your option) any later version."""


def commented(text: str, mark: str) -> str:
    return "\n".join(f"{mark} {line}" for line in text.splitlines()) + "\nint x;\n"


@pytest.mark.parametrize("mark", ["#", "//", " *", ";;", "dnl"])
@pytest.mark.parametrize(
    ("text", "expression"),
    [
        (MIT, "MIT"),
        (BSD.format(third=""), "BSD-2-Clause"),
        (BSD.format(third=THIRD), "BSD-3-Clause"),
        (APACHE, "Apache-2.0"),
        (LGPL, "LGPL-2.1-or-later"),
        ("SPDX-License-Identifier: (MIT OR GPL-2.0+)", "MIT OR GPL-2.0-or-later"),
        ("SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note",
         "GPL-2.0-only WITH Linux-syscall-note"),
        ("Copyright 2020 A. Person. All rights reserved.", ""),
        ("Reads the licence plate of a car", ""),
        ("See LICENSE for details.", ""),
    ],
)  # fmt: skip
def test_licence_of_a_header(text, expression, mark):
    assert licence_of(commented(text, mark)).expression == expression


def test_two_licences_are_joined_in_order_with_their_lines():
    stated = licence_of(commented(MIT, "#") + commented(APACHE, "#"))
    assert stated.expression == "MIT AND Apache-2.0"
    assert [e.expression for e in stated.evidence][0] == "MIT"
    first, *_, last = stated.evidence
    assert first.line < last.line and first.by in ("text", "licence")


def test_every_licence_text_of_the_data_states_itself():
    # Through the word-for-word way: the data is read right, and no shorter text wins over it.
    wrong = []
    popular = {"MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "GPL-2.0-only", "GPL-3.0-only",
               "LGPL-2.1-only", "MPL-2.0", "ISC", "Zlib", "BSL-1.0", "Unlicense", "CC0-1.0",
               "Artistic-2.0", "EPL-2.0", "Python-2.0", "PostgreSQL", "X11", "NCSA"}  # fmt: skip
    seen = set()
    for same in _load_phrases().exact_phrases.values():
        for words, expression, kind in same:
            if kind == "licence" and expression in popular:
                seen.add(expression)
                if expression not in licence_of("License " + words).expression:
                    wrong.append((expression, licence_of(words).expression))
    assert seen >= popular - {"LGPL-2.1-only"} and not wrong


@pytest.mark.parametrize("text", ["", "\0license\0", "licen\ud800se mit", "license " * 10_000,
                                  "permission is hereby " * 5_000,
                                  "a" * 1_000_000 + " license"])  # fmt: skip
def test_bad_text_states_nothing_and_ends(text):
    assert licence_of(text).expression in ("", "MIT")


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("# This file is NOT licensed under the MIT License.", ""),
        ("# Detects whether a project uses the MIT License.", ""),
        ("# Not for sale. Licensed under the MIT License.", "MIT"),
        ('X = "SPDX-License-Identifier: MIT"', ""),
        ("# SPDX-License-Identifier: mit or gpl-2.0+", "MIT OR GPL-2.0-or-later"),
        ("# either the GPL v2 or the MIT license, at your option", "GPL-2.0-only OR MIT"),
        ("# Licensed under the GPL v2 and the MIT license", "GPL-2.0-only AND MIT"),
        ("% Licence: GPL2+", "GPL-2.0-or-later"),
        ('{licenses, ["Apache"]}', "Apache-2.0"),
        ("// Use of this source code is governed by the ISC\n// license that can be found in the"
         " LICENSE file.", "ISC"),
    ],
)  # fmt: skip
def test_denials_mentions_and_choices(text, expression):
    assert licence_of(text).expression == expression


def test_strings_of_code_state_nothing():
    for text in (f'NOTICE = """{APACHE}"""\n', 'tags = ["// SPDX-License-Identifier: MIT"]\n',
                 f"x = 1\nassert find('{APACHE.splitlines()[0]}')\n"):  # fmt: skip
        assert rule(text, path="a.py")[0].reason == "code: no licence stated", text
    for text in (f'"""{APACHE}"""\n', "# SPDX-License-Identifier: MIT\n",
                 'setup(license="MIT License")\n'):  # fmt: skip
        assert rule(text, path="a.py")[0].reason == "", text
    late = "words\n" * 30 + "SPDX-License-Identifier: MIT\n"
    assert rule(late, path="a.md")[0].reason == "code: no licence stated"
    assert rule("<!-- SPDX-License-Identifier: MIT -->\n", path="a.md")[0].reason == ""


def rule(text: str, metadata: dict | None = None, path: str = "a.c", **settings):
    record = Record("1", "s", path, "code", text, SourceMap.identity(text), (), metadata or {})
    ruling = LicenceFilter(LicenceFilterConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


def test_the_step_allows_refuses_and_inherits():
    ruling, after = rule(commented(MIT, "//"))
    assert after.metadata["licence"] == "MIT" and after.metadata["licence_by"] == "file"
    assert rule(commented(LGPL, "//"))[0].reason == "code: licence not allowed"
    assert rule("int x;")[0].reason == "code: no licence stated"
    assert rule("int x;", unknown="keep")[1].metadata["licence"] == ""
    _, after = rule("int x;", {"repository_licence": "BSD-3-Clause"})
    assert (after.metadata["licence"], after.metadata["licence_by"]) == (
        "BSD-3-Clause",
        "repository",
    )
    # The file's own word goes before the folder's.
    assert (
        rule(commented(LGPL, "//"), {"repository_licence": "MIT"})[0].details == "LGPL-2.1-or-later"
    )
    _, after = rule("int x;", {"aside": {"header": [commented(MIT, "//")]}})
    assert after.metadata["licence"] == "MIT"


def test_a_hundred_real_files_as_scancode_has_them():
    # Made by benchmarks/documents/code_licences.py: small files under permissive licences, and
    # files without one, from the packages of benchmarks/documents/code_sources.py; scancode-toolkit
    # 32.5.0.
    data = (Path(__file__).parents[2] / "fixtures/code/scancode.json.gz").read_bytes()
    rows = json.loads(gzip.decompress(data))

    def ids(expression: str) -> set[str]:
        return set(expression.replace("(", " ").replace(")", " ").split()) - {"AND", "OR", "WITH"}

    wrong = [r["path"] for r in rows if ids(licence_of(r["text"]).expression) != ids(r["said"])]
    assert len(rows) == 100
    # Four headers of spdlog and OpenSSL differ in the whole sample by scancode's own error.
    assert len(wrong) <= 2, wrong


def test_a_sources_licence_applies_to_a_file_that_states_none():
    _, after = rule("int x;", {"licence": "MIT"})
    assert (after.metadata["licence"], after.metadata["licence_by"]) == ("MIT", "source")
    assert rule("int x;", {"licence": ["MIT", "BSD-3-Clause"]})[1].metadata["licence"] == (
        "MIT AND BSD-3-Clause"
    )
    assert rule("int x;", {"licence": "GPL-3.0-only"})[0].reason == "code: no licence stated"
    kept = rule("int x;", {"licence": "GPL-3.0-only"}, unknown="keep")[1]
    assert kept.metadata["licence"] == "GPL-3.0-only", "what is known is not taken away"
    assert rule(commented(LGPL, "//"), {"licence": "MIT"})[0].reason == "code: licence not allowed"


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"), ("MIT */", "MIT"), ("GPL-2.0+ or MIT -->", "GPL-2.0-or-later OR MIT"),
        ("(MIT AND (BSD-3-Clause OR ISC))", "MIT AND (BSD-3-Clause OR ISC)"), ("MIT OR", "MIT"),
        ("(MIT OR", ""), ("", ""), ("OR MIT", ""), ("((((", ""),
    ],
)  # fmt: skip
def test_reading(text, expression):
    assert read_expression(text).removeprefix("(").startswith(expression.removeprefix("("))
    assert bool(read_expression(text)) == bool(expression)


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True), ("mit", True), ("GPL-2.0-only", False), ("", False),
        ("MIT OR GPL-2.0-only", True), ("MIT AND GPL-2.0-only", False),
        ("MIT AND ISC", True), ("GPL-2.0-only OR MIT AND ISC", True),
        ("(GPL-2.0-only OR MIT) AND GPL-3.0-only", False),
        ("ISC WITH any-exception", True), ("GPL-2.0-only WITH any-exception", False),
    ],
)  # fmt: skip
def test_allowing(expression, is_allowed):
    assert is_licence_allowed(expression, ("MIT", "ISC")) is is_allowed


@given(st.lists(st.sampled_from(["MIT", "A OR B", "GPL-2.0-only", ""]), max_size=5))
def test_what_is_joined_is_allowed_only_if_each_is(parts):
    names = ("MIT", "A")
    wanted = [part for part in parts if part]
    assert is_licence_allowed(join_expressions(parts), names) == (
        bool(wanted) and all(is_licence_allowed(p, names) for p in wanted)
    )


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    found = read_expression(text)
    assert found == "" or found[0].isalnum() or found[0] == "("
    is_licence_allowed(text, ("MIT",))


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("CC-BY-4.0", True), ("cc-by-3.0-IGO", True), ("CC-BY-NC-4.0", False),
        ("CC-BY-SA-4.0", False),
        ("BSD-3-Clause", True), ("BSD-3-Clause AND GPL-2.0-only", False), ("MIT", False),
        ("MIT OR CC-BY-4.0", True),
    ],
)  # fmt: skip
def test_a_star_stands_for_a_version(expression, is_allowed):
    assert is_licence_allowed(expression, ("CC-BY-*", "BSD-*")) is is_allowed


@pytest.mark.parametrize("name", ["", "*", "CC-*-4.0", "*-MIT", "MIT OR ISC", "MIT, ISC", "OR"])
@pytest.mark.parametrize(
    "step",
    [
        lambda a: LicenceFilter(LicenceFilterConfig(allow=a)),
        lambda a: Rights(RightsConfig(allow=a)),
    ],
)
def test_a_name_that_no_licence_has_is_refused(name, step):
    with pytest.raises(ConfigError, match="matches no licence"):
        step((name,))
