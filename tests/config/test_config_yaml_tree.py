from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.config import load_config, yaml_tree
from bee_core.config.expansion import MAX_PATH, Expansion
from bee_core.config.values import Text
from bee_core.errors import ConfigError


def failure(text):
    with pytest.raises(ConfigError) as caught:
        yaml_tree.parse(text, "bee.yml")
    return caught.value


def test_every_scalar_stays_as_it_was_written():
    tree = yaml_tree.parse("a: 1.10\nb: '1.10'\nc: yes\nd:\ne: 0x10\nf: 2024-01-01\n")
    assert tree == {"a": "1.10", "b": "1.10", "c": "yes", "d": "", "e": "0x10", "f": "2024-01-01"}
    assert {key: value.plain for key, value in tree.items()} == {
        "a": True,
        "b": False,
        "c": True,
        "d": True,
        "e": True,
        "f": True,
    }
    assert [value.line for value in tree.values()] == [1, 2, 3, 4, 5, 6]


def test_a_duplicate_key_is_an_error_with_its_path_and_both_lines():
    error = failure("bee:\n  rpc:\n    - x: 1\n      y: 2\n      x: 3\n")
    assert (error.line, error.path) == (5, "bee.rpc[0].x")
    assert "line 3" in error.message


def test_anchors_and_merge_keys_work_and_the_mapping_itself_wins():
    tree = yaml_tree.parse(
        "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, y: 9}\nd: {y: 8, <<: [*a, *b]}\n"
    )
    assert tree["c"] == {"x": "1", "y": "9"}
    assert tree["d"] == {"x": "1", "y": "8", "z": "4"}


def test_a_quoted_merge_key_is_a_key():
    assert yaml_tree.parse("a: {'<<': 1}") == {"a": {"<<": "1"}}


@pytest.mark.parametrize(
    "text",
    [
        "a: [${HOST}:1, b]\n",
        "a: {token: ${TOKEN:-none}, b: 'c'}\n",
        "a: {b: [1,\n  x-${C}]}\n",
    ],
)
def test_a_reference_between_brackets_must_be_quoted_and_the_error_says_so(text):
    error = failure(text)
    assert error.message.startswith("this is not YAML: ")
    assert error.message.endswith(
        '; write quotes around a value with ${ inside of [ ] or { }: "${NAME}"'
    )


def test_other_mistakes_between_brackets_are_not_blamed_on_references():
    for text in ("a: ['${HOST}', b\nc: 1\n", 'a: {b: "${C}" d}\n', "a: [b # ${C}\nc: 1\n"):
        assert "quotes" not in failure(text).message


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("---\n", 1, "the file is empty"),
        ("\n- a\n- b\n", 2, "the root is a list"),
        ("just text", 1, "the root is text"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins here"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "this is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "this is not YAML"),
        ("a: 1\nb: \x07\n", 2, "this is not YAML"),
        ("a: *missing\n", 1, "anchor"),
        ("a: &a [*a]\n", 1, "inside of what it refers to"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "is not allowed"),
        ("a: !custom 1\n", 1, "is not allowed"),
        ("a: !!set {x}\n", 1, "is not allowed"),
        ("? [a]\n: 1\n", 1, "a key must be text"),
        ("a:\n  '': 1\n", 2, "a key must be text"),
        ("a: {<<: 1}\n", 1, "wants an alias of a mapping"),
        ("a: " + "[" * 100 + "]" * 100, 1, "nested deeper than 64"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_line(text, line, sentence):
    error = failure(text)
    assert sentence in error.message
    assert error.line == line
    assert str(error).startswith(f"bee.yml:{line}: ")


def test_aliases_of_aliases_are_counted_as_if_they_were_written_out():
    levels = [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
    ]
    assert "with its aliases written out" in failure("\n".join(levels)).message


def test_merged_mappings_that_grow_without_end_are_refused():
    levels = [
        "a0: &a0 {x: [" + "y, " * 1000 + "]}",
        *(f"a{n}: &a{n} {{k{n}: *a{n - 1}, j{n}: *a{n - 1}}}" for n in range(1, 20)),
    ]
    assert "with its aliases written out" in failure("\n".join(levels)).message


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        yaml_tree.decode(b"#" * (yaml_tree.MAX_BYTES + 1), "bee.yml")


def test_the_byte_order_mark_is_skipped_and_bytes_that_are_not_utf8_are_named_with_their_line():
    assert yaml_tree.decode(b"\xef\xbb\xbfa: \xe5\xbf\x83", None) == "a: 心"
    with pytest.raises(ConfigError, match="byte 0xff is not UTF-8") as caught:
        yaml_tree.decode(b"a: 1\nb: \xff", "bee.yml")
    assert caught.value.line == 2


def test_the_pure_parser_reads_the_same(monkeypatch):
    text = "a: &a {x: 1.10, y: [1, 'b', ~]}\nb: {<<: *a}\nc: |\n  1\n"
    compiled = yaml_tree.parse(text)
    monkeypatch.setattr(yaml_tree, "_LOADER", yaml.SafeLoader)
    assert yaml_tree.parse(text) == compiled
    with pytest.raises(ConfigError) as caught:
        yaml_tree.parse("a: 1\nb: [1, 2\nc: 3\n")
    assert caught.value.line == 3
    with pytest.raises(ConfigError, match="does not allow") as caught:
        yaml_tree.parse("a: 1\nb: \x07\n")
    assert caught.value.line == 2


def expand(tree, **environ):
    return Expansion(tree, environ, None)


def test_references_to_the_environment_are_replaced_also_inside_longer_text():
    tree = yaml_tree.parse(
        "a: ${HOST}\nb: tcp://${HOST}:${PORT:-9000}\nc: ${EMPTY:-x}\nd: $${HOST} costs $5\n"
        "e: '${EMPTY}'\n"
    )
    assert expand(tree, HOST="calc", EMPTY="").tree == {
        "a": "calc",
        "b": "tcp://calc:9000",
        "c": "x",
        "d": "${HOST} costs $5",
        "e": "",
    }


def test_what_a_variable_holds_is_never_structure():
    expansion = expand(yaml_tree.parse("a: ${X}"), X="{b: [1, 2]}\nc: ${X} &d *e")
    assert expansion.tree == {"a": "{b: [1, 2]}\nc: ${X} &d *e"}


def test_missing_variables_and_broken_references_are_all_reported_with_variable_key_and_line():
    expansion = expand(yaml_tree.parse("a:\n  b: ${NOT_THERE}\n  c: ${1X}\n  d: ${open\n"))
    assert [(problem.path, problem.line) for problem in expansion.problems] == [
        ("a.b", 2),
        ("a.c", 3),
        ("a.d", 4),
    ]
    assert "no variable NOT_THERE" in expansion.problems[0].message
    assert "write $${" in expansion.problems[1].message


def test_a_missing_variable_is_one_problem_and_not_two():
    with pytest.raises(ConfigError) as caught:
        load_config({"bee": {"rpc": {"client": {"calc": {"timeout": "${NOT_THERE}"}}}}}, environ={})
    assert len(caught.value.problems) == 1
    assert "no variable NOT_THERE" in str(caught.value)


def test_the_line_of_every_path_is_noted():
    lines = expand(yaml_tree.parse("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")).lines
    assert lines == {"a": 1, "a.b": 2, "a.c": 3, "a.c[0]": 4, "a.c[1]": 3, "a.c[1].y": 5}


def test_a_mapping_from_python_goes_the_same_way():
    expansion = expand({"a": {"b": 1, "c": ("x", "${N}"), "d": None, "e": {"t"}}}, N="y")
    assert expansion.tree == {"a": {"b": 1, "c": ["x", "y"], "d": None, "e": ["t"]}}
    assert expansion.lines["a.b"] is None
    assert [problem.path for problem in expand({"a": {1: 2}}).problems] == ["a"]


def test_a_mapping_that_contains_itself_is_refused():
    tree: dict = {}
    tree["a"] = tree
    with pytest.raises(ConfigError, match="contains itself"):
        expand(tree)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.recursive(st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
        min_size=1,
    )
)
def test_what_pyyaml_writes_is_read_back_as_text(tree):
    assert yaml_tree.parse(yaml.safe_dump(tree)) == tree


@settings(max_examples=300)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`<? \n\t0,~é\x00", max_size=60))
def test_any_text_gives_a_mapping_of_text_or_a_config_error(text):
    try:
        tree = yaml_tree.parse(text)
    except ConfigError:
        return
    assert all(isinstance(key, Text) for key in tree)


def test_a_reference_without_end_is_said_once_however_often_it_stands_there() -> None:
    expansion = expand(
        yaml_tree.parse("a: '" + "${A:-" * 50_000 + "'\nb: '" + "${N}" * 50_000 + "'")
    )
    messages = [problem.message for problem in expansion.problems]
    assert len(messages) == 2
    assert "write $${" in messages[0]
    assert "no variable N" in messages[1]


def test_defaults_end_at_the_next_brace() -> None:
    expansion = expand(yaml_tree.parse("a: ${A:-${B}-${A:-}${B:-x y}"), B="b")
    assert expansion.tree == {"a": "${B-x y".replace("x y", "b")}


def test_a_key_whose_path_is_very_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 1,024 characters"):
        expand({"k" * MAX_PATH: {"a": "1"}})
    assert expand({"k" * MAX_PATH: "1"}).problems == []
