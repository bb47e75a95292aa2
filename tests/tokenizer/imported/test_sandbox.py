"""sandbox.py: templates that would take all time or memory are errors, others are as they were."""

import tomllib

import pytest

from groundup.core import ConfigError, DataError, Message
from groundup.tokenizer import ChatTemplate, FastTokenizer
from groundup.tokenizer.fast import to_tokenizer_json
from groundup.tokenizer.imported import sandbox
from groundup.tokenizer.imported.sandbox import TemplateSandbox, _value_size
from groundup.tokenizer.imported.tokenizer import ImportedTokenizer

IMPORTED = ImportedTokenizer(to_tokenizer_json(FastTokenizer([])))
TALK = (Message("user", "hi"), Message("assistant", "yo"))
DOUBLED = "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = "
NESTED = "{% set n = namespace(x='a', y='a') %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}"

TUPLES = (
    "{% set n = namespace(x=(1,)) %}{% for i in range(60) %}{% set n.x = (n.x, n.x) %}{% endfor %}"
)


def shown(source: str) -> str:
    return ChatTemplate(source, IMPORTED).text(TALK)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(90) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a' * 10**10 }}",
        "{{ (range(99999) | list * 100000) | length }}",
        "{{ 2 ** (10 ** 8) }}",
        "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
        DOUBLED + "n.x + n.x %}{% endfor %}",
        DOUBLED + "n.x ~ n.x %}{% endfor %}",
        DOUBLED + "n.x.replace('a', 'aa') %}{% endfor %}",
        DOUBLED + "[n.x, n.x] | join %}{% endfor %}",
        NESTED + "{% endfor %}{{ n.x }}",
        NESTED + "{% endfor %}{{ n.x | tojson }}",
        NESTED + "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
        NESTED + "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x is eq(n.y) }}",
        TUPLES + "{% set d = {n.x: 1} %}",
        TUPLES + "{{ {}[n.x] }}",
        TUPLES + "{{ {}.get(n.x) }}",
        NESTED + "{% set n.y = [n.y, n.y] %}{% endfor %}{{ [n.x].index(n.y) }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1, varargs, varargs) }}{% else %}{{ {}[varargs] }}"
        "{% endif %}{% endmacro %}{{ f(50) }}",
        "{{ ('a' * 100000).translate({97: 'x' * 100000}) | length }}",
        "{{ '{a:>999999999}'.format_map({'a': 1}) | length }}",
        "{{ lipsum(n=1, min=99999999, max=999999999) | length }}",
        "{{ ('1' * 8000000) | int(0, 2) | string }}",
        "{{ (10 ** 3000) | filesizeformat }}",
        "{{ ('a-' * 2000000) | title | length }}",
        "{{ '%999999999d' | format(1) | length }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '{:>999999999}'.format(1) | length }}",
        "{{ '{:>{}}'.format(1, '999999999') | length }}",
        "{{ 'a' | center(10**10) | length }}",
        "{{ 'a'.ljust(10**10) | length }}",
        "{% for x in 'a' | batch(10**9, 'b') %}{{ x | length }}{% endfor %}",
        "{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}",
        "{% set x = 'a' * 99999 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ ('a' * 10**7) | wordwrap(1) | length }}",
        "{{ ('a' * 10**6) | wordwrap(width=2) | length }}",
    ],
)
def test_what_would_never_end_is_an_error(monkeypatch, source):
    monkeypatch.setattr(sandbox, "MOST_SECONDS", 0.3)
    with pytest.raises(ConfigError, match="The chat template"):
        shown(source)


@pytest.mark.parametrize(
    "way",
    [
        "('{0.__globals__[os]}' | attr('format'))(raise_exception)",
        "('{0.__globals__}' | attr('format'))(raise_exception)",
        "('{x.__class__}' | attr('format_map'))({'x': raise_exception})",
        "(['{0.__globals__}'] | map(attribute='format') | first)(raise_exception)",
        "'{0.__globals__}'.format(raise_exception)",
        "'{0.__globals__}'['format'](raise_exception)",
        "(raise_exception | attr('__globals__')).os.environ",
    ],
)
def test_no_way_leads_from_a_function_to_the_machine(way):
    try:
        assert shown("{{ " + way + " }}") == ""  # what is unsafe is undefined
    except (ConfigError, DataError) as error:
        assert "unsafe" in str(error) or "undefined" in str(error)


def test_older_jinja_whose_sandbox_is_broken_is_not_taken(root):
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "jinja2>=3.1.6" in wanted


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for m in messages %}{{ loop.index ~ m.role ~ ':' ~ 2.5 }}{% endfor %}",
         "1user:2.52assistant:2.5"),
        ("{{ messages | map(attribute='content') | join(', ') }}", "hi, yo"),
        ("{{ messages | selectattr('role', 'eq', 'user') | list | length }}", "1"),
        ("{{ '%s %05d' % ('12345678', 7) }}|{{ '%s' | format('99999') }}", "12345678 00007|99999"),
        ("{{ '{:>5}'.format('ab') }}{{ 'a b'.split() }}", "   ab['a', 'b']"),
        ("{{ {'a': [1, 2]} | tojson(indent=2) }}", '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ("{% set (a, b) = (1, [2, 3]) %}{{ a }}{{ b[1:] }}{{ {a: {'x': (b, a)}}[1].x }}",
         "1[3]([2, 3], 1)"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v in [1, 2] }}{% endfor %}", "aTrue"),
        ("{{ 1 < 2 and messages[0].content == 'hi' }}{{ none is none }}", "TrueTrue"),
        ("{{ 100000 is ge(20000) }}{{ '30000' | int + 1 }}{{ x | default(70000) }}",
         "True3000170000"),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('a') }}{% set y %}b{% endset %}{{ y }}",
         "<a>b"),
    ],
)  # fmt: skip
def test_what_templates_do_is_as_it_was(source, expected):
    assert shown(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "fails: RecursionError"),
        ("{{ (10 ** 3000) | filesizeformat }}", "fails: OverflowError"),
        ("{{ 10 ** 9000 }}", "fails: ValueError"),
        ("{{ 1 // 0 }}", "fails: ZeroDivisionError"),
        ("{{ a.b.c }}", "fails: UndefinedError"),
        ("{% for %}", "is invalid: .*line 1"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "is invalid: it is nested too deeply"),
    ],
)
def test_errors_are_the_sandbox_s_own(source, message):
    with pytest.raises(ConfigError, match=f"The chat template {message}"):
        TemplateSandbox([]).from_string(source).render()


def test_look_ups_of_filters_look_at_the_clock(monkeypatch):
    monkeypatch.setattr(sandbox, "MOST_SECONDS", 0.0)
    box = TemplateSandbox([])
    template = box.from_string("{{ items | map(attribute='real') | first }}")
    box.start_counting(0)
    with pytest.raises(ConfigError, match="takes more than 0 seconds"):
        template.render(items=[1])


@pytest.mark.parametrize("source", ["{{ a == a }}", "{{ 1 != a }}", "{{ {a: 1} | length }}"])
def test_what_is_compared_or_a_key_is_weighed_even_if_the_template_did_not_make_it(source):
    given = ("a",)
    for _ in range(25):
        given = (given, given)
    with pytest.raises(ConfigError, match="makes more than"):
        TemplateSandbox([]).from_string(source).render(a=given)


def test_a_long_conversation_is_no_giant():
    long = tuple(Message(role, "word " * 20_000) for role in ("user", "assistant") * 20)
    source = "{% for m in messages %}{{ m.content | trim | replace('\n', '\n  ') }}{% endfor %}"
    assert len(ChatTemplate(source, IMPORTED).text(long)) == 40 * 99_999


def test_what_a_value_weighs_as_text():
    assert _value_size({"ab": [1, ("c", None)]}) == 2 + 1 + 1 + 1 + 1 + 1 + 1
    twice = ["a"]
    for _ in range(60):
        twice = [twice, twice]
    assert _value_size(twice) > sandbox.MAX_OUTPUT
    assert TemplateSandbox([]).from_string("{{ 1 ~ 2 }}").render() == "12"
