"""The language of a file: name, first line, content; and never a guess."""

import pytest

from groundup.documents import Record, SourceMap
from groundup.documents.code.language import (
    CodeLanguage,
    CodeLanguageConfig,
    detect_code_language,
    language_tables,
)


@pytest.mark.parametrize(
    ("path", "text", "language", "by"),
    [
        ("a.py", "", "python", "name"),
        ("x/Makefile", "", "make", "name"),
        ("Dockerfile.dev", "", "dockerfile", "name"),
        ("run", "#!/usr/bin/env -S python3 -u\n", "python", "first line"),
        ("run", "#!/bin/sh\n", "bash", "first line"),
        ("run", "# -*- mode: Ruby -*-\n", "ruby", "first line"),
        ("run", "-- vim: ft=lua\n", "lua", "first line"),
        ("a.h", "int f(void);", "c", "content"),
        ("a.h", "namespace a {", "c++", "content"),
        ("a.h", "@interface A : B", "objective-c", "content"),
        ("a.m", "function y = f(x)", "octave", "name"),
        ("a.m", "#import <A.h>", "objective-c", "content"),
        ("a.pl", "use strict;", "perl", "name"),
        ("a.pl", ":- module(a, [b/1]).", "prolog", "content"),
        ("a.ts", "let x: number", "typescript", "name"),
        ("a.ts", '<?xml version="1.0"?><!DOCTYPE TS>', "xml", "content"),
        ("nothing", "<?php echo 1;", "php", "content"),
        ("nothing", "some words", "", ""),
        ("", "", "", ""),
        ("a.\0x", "\ud800", "", ""),
    ],
)
def test_language(path, text, language, by):
    assert detect_code_language(path, text) == (language, by)


def test_every_row_has_a_known_syntax():
    from groundup.documents.code.lexing import SYNTAX_FAMILIES

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
