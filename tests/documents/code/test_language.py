"""The language of a file, and its comments and strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap
from groundup.documents.code.language import (
    SYNTAX_FAMILIES,
    CodeLanguage,
    CodeLanguageConfig,
    blank_out,
    comments_and_strings,
    detect_code_language,
    find_comments,
    language_tables,
)


@pytest.mark.parametrize(
    ("path", "text", "language", "by"),
    [
        ("a.py", "", "python", "name"), ("x/Makefile", "", "make", "name"),
        ("Dockerfile.dev", "", "dockerfile", "name"),
        ("run", "#!/usr/bin/env -S python3 -u\n", "python", "first line"),
        ("run", "#!/bin/sh\n", "bash", "first line"),
        ("run", "# -*- mode: Ruby -*-\n", "ruby", "first line"),
        ("run", "-- vim: ft=lua\n", "lua", "first line"), ("a.h", "int f(void);", "c", "content"),
        ("a.h", "namespace a {", "c++", "content"),
        ("a.h", "@interface A : B", "objective-c", "content"),
        ("a.m", "function y = f(x)", "octave", "name"),
        ("a.m", "#import <A.h>", "objective-c", "content"), ("a.pl", "use strict;", "perl", "name"),
        ("a.pl", ":- module(a, [b/1]).", "prolog", "content"),
        ("a.ts", "let x: number", "typescript", "name"),
        ("a.ts", '<?xml version="1.0"?><!DOCTYPE TS>', "xml", "content"),
        ("nothing", "<?php echo 1;", "php", "content"), ("nothing", "some words", "", ""),
        ("", "", "", ""), ("a.\0x", "\ud800", "", ""),
    ],
)  # fmt: skip
def test_language(path, text, language, by):
    assert detect_code_language(path, text) == (language, by)


def test_every_row_has_a_known_syntax():
    from groundup.documents.code.language import SYNTAX_FAMILIES

    assert {syntax for syntax in language_tables().syntax_families.values() if syntax} <= set(
        SYNTAX_FAMILIES
    )
    assert len(language_tables().syntax_families) > 80


def test_the_step_keeps_what_is_asked_for():
    def rule(path: str, **settings):
        record = Record("1", "s", path, "code", "x", SourceMap.identity("x"))
        return CodeLanguage(CodeLanguageConfig(**settings))(record)

    assert rule("a.py").metadata == {"code_language": "python", "code_language_by": "name"}
    assert rule("a.go", keep=("python",)).reason == "code: another language"
    assert rule("a.zzz", unknown="drop").reason == "code: unknown language"
    assert rule("a.zzz").reason == ""


def test_the_older_word_for_unknown_is_read():
    assert CodeLanguageConfig(drop_unknown=True) == CodeLanguageConfig(unknown="drop")
    assert CodeLanguageConfig(drop_unknown=False) == CodeLanguageConfig()


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("python", '"""Doc."""\nx = "# no"  # yes\ny = """# no"""', ['"""Doc."""', "# yes"]),
        ("c", 'a = "/* no */"; /* yes\n*/ b; // too\n', ["/* yes\n*/", "// too"]),
        ("javascript", "x = /\\/\\/no/; y = `// no`; // yes", ["// yes"]),
        ("rust", "fn f<'a>(x: &'a str) {} // yes", ["// yes"]),
        ("rust", 'let a = r"\\.ini$"; // yes\nlet b = r#"// " no"#; // too', ["// yes", "// too"]),
        ("bash", "echo a#b $#; echo '# no' # yes", ["# yes"]),
        ("sql", "select '--no' -- yes\n/* too */", ["-- yes", "/* too */"]),
        ("lua", "--[==[ long\n]] ]==] x --short", ["--[==[ long\n]] ]==]", "--short"]),
        ("haskell", "{- a -} x -- b", ["{- a -}", "-- b"]),
        ("emacs-lisp", '"; no" ?\\; ; yes', ["; yes"]),
        ("html", "<p><!-- a\n --></p>", ["<!-- a\n -->"]),
        ("latex", "50\\% % yes", ["% yes"]),
        ("ruby", "=begin\nx\n=end\ny # z", ["=begin\nx\n=end", "# z"]),
        ("perl", "print;\n=pod\n\nx\n\n=cut\n$#a; # z", ["=pod\n\nx\n\n=cut", "# z"]),
        ("ocaml", '(* a *) "(* no *)"', ["(* a *)"]),
        ("vim", '" yes\nlet a = "no"', ['" yes']),
        ("", "# no", []),
    ],
)
def test_comments_of(language, text, found):
    assert [text[p.start : p.end] for p in find_comments(text, language)] == found


@given(st.text(st.sampled_from("\"'`/*#-\\\n[](){}<>!=ax ;"), max_size=60))
def test_comments_and_strings_ascend_inside_the_text_in_every_syntax(text):
    for language, family in language_tables().syntax_families.items():
        at = 0
        for piece in comments_and_strings(text, language) if family else ():
            assert at <= piece.start < piece.end <= len(text)
            at = piece.end


@pytest.mark.parametrize(
    "unit", ["a", "<", '"', "'", "/*", "\\", "`", "(*", "{-", "--[", " ", "#|", "/", "=\n"]
)
def test_a_long_run_of_anything_is_read_in_every_syntax(unit):
    text = unit * (50_000 // len(unit))
    languages = {
        family: language for language, family in language_tables().syntax_families.items() if family
    }
    assert set(languages) == set(SYNTAX_FAMILIES)
    for language in languages.values():
        assert len(blank_out(text, list(comments_and_strings(text, language)))) <= len(text) + len(
            text
        )
