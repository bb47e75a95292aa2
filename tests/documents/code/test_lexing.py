"""Comments and strings: found completely, in one pass, in any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents.code.language import language_tables
from groundup.documents.code.lexing import (
    SYNTAX_FAMILIES,
    blank_out,
    comments_and_strings,
    find_comments,
)


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
