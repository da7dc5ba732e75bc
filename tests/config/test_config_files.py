"""Configurations of several files: includes, overlays of the environment, files of secrets."""

from __future__ import annotations

import os

import pytest

from bee_core.config import PluginRef, load_config, warnings
from bee_core.config.files import MAX_FILES, MAX_INCLUDES, overlay_of
from bee_core.config.merging import merge
from bee_core.config.secret_files import MAX_SECRET
from bee_core.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    """Write files into one folder: ``folder("bee.yml", text)``."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    write.path = tmp_path
    return write


def calc(*sections, include=None):
    """A file whose service calc has these keys."""
    head = "" if include is None else f"  application: {{include: {include}}}\n"
    lines = "".join(f"        {section}\n" for section in sections)
    return f"bee:\n{head}  rpc:\n    client:\n      calc:\n{lines}"


def loaded(path, **environ):
    return load_config(path, environ=environ).client("calc")


def failure(path, **environ):
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ=environ)
    return caught.value


def test_an_included_file_says_what_the_file_itself_leaves_open(folder):
    folder("common.yml", calc("timeout: 7", "retries: 5"))
    found = loaded(folder("bee.yml", calc("timeout: 3", include="common.yml")))
    assert (found.timeout, found.retries) == (3, 5)


def test_of_two_included_files_the_later_one_holds(folder):
    folder("one.yml", calc("timeout: 1", "retries: 1"))
    folder("two.yml", calc("timeout: 2"))
    found = loaded(folder("bee.yml", calc("idempotent: yes", include="[one.yml, two.yml]")))
    assert (found.timeout, found.retries, found.idempotent) == (2, 1, True)


def test_an_include_is_relative_to_the_file_that_names_it(folder, monkeypatch):
    folder("shared/deep.yml", calc("retries: 9"))
    folder("shared/common.yml", calc("timeout: 7", include="deep.yml"))
    path = folder("bee.yml", calc("idempotent: no", include="shared/common.yml"))
    monkeypatch.chdir("/")
    config = load_config(path, environ={})
    assert (config.client("calc").retries, config.client("calc").timeout) == (9, 7)
    names = ("bee.yml", "shared/common.yml", "shared/deep.yml")
    assert list(config.files) == [str(folder.path / name) for name in names]
    assert config.application.include == ("shared/common.yml",)


def test_a_mapping_from_python_includes_from_the_current_folder(folder, monkeypatch):
    folder("common.yml", calc("timeout: 7"))
    monkeypatch.chdir(folder.path)
    tree = {"application": {"include": ["common.yml"]}, "rpc": {"client": {"calc": {"retries": 1}}}}
    found = load_config({"bee": tree}, environ={}).client("calc")
    assert (found.timeout, found.retries) == (7, 1)


def test_the_path_of_an_include_may_come_from_the_environment(folder):
    folder("eu.yml", calc("timeout: 7"))
    path = folder("bee.yml", calc("retries: 1", include='"${REGION}.yml"'))
    assert loaded(path, REGION="eu").timeout == 7
    error = failure(path)
    assert "no variable REGION" in str(error)
    assert error.path == "bee.application.include"


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ("gone.yml", "there is no such file: {folder}/gone.yml"),
        ("bee.yml", "the file includes itself: bee.yml -> bee.yml"),
        ("circle.yml", "the file includes itself: bee.yml -> circle.yml -> bee.yml"),
        ("{a: 1}", "what is included is the path of a file"),
        ('""', "what is included is the path of a file"),
    ],
)
def test_an_include_that_cannot_be_used_is_an_error_with_its_line(folder, stated, sentence):
    folder("circle.yml", calc("retries: 1", include="bee.yml"))
    error = failure(folder("bee.yml", calc("retries: 1", include=stated)))
    assert sentence.format(folder=folder.path) in error.message
    assert error.path == "bee.application.include"
    where = "circle.yml" if stated == "circle.yml" else "bee.yml"
    if not stated.startswith("{"):
        assert (error.source, error.line) == (str(folder.path / where), 2)


def test_includes_have_a_depth_and_a_number(folder):
    for number in range(MAX_INCLUDES + 2):
        folder(f"{number}.yml", calc("retries: 1", include=f"{number + 1}.yml"))
    assert "deeper than 8" in failure(folder.path / "0.yml").message
    folder("leaf.yml", calc("retries: 1"))
    many = ", ".join(["leaf.yml"] * MAX_FILES)
    assert (
        "more than 64 files"
        in failure(folder("many.yml", calc("r: 1", include=f"[{many}]"))).message
    )


def test_a_file_may_be_included_twice_by_others(folder):
    folder("leaf.yml", calc("retries: 4"))
    folder("one.yml", calc("timeout: 1", include="leaf.yml"))
    folder("two.yml", calc("timeout: 2", include="leaf.yml"))
    found = loaded(folder("bee.yml", calc("idempotent: no", include="[one.yml, two.yml]")))
    assert (found.timeout, found.retries) == (2, 4)


def test_errors_name_the_file_and_the_line_that_state_the_value(folder):
    common = folder("common.yml", calc("timeout: soon", "retries: ${GONE}", "balancr: random"))
    path = folder("bee.yml", calc("read_timeout: -1", include="common.yml"))
    problems = {problem.path.rpartition(".")[2]: problem for problem in failure(path).problems}
    assert {key: (one.source, one.line) for key, one in problems.items()} == {
        "timeout": (str(common), 5),
        "retries": (str(common), 6),
        "balancr": (str(common), 7),
        "read_timeout": (str(path), 6),
    }


def test_an_included_file_that_is_no_yaml_is_named(folder):
    broken = folder("common.yml", "bee: {rpc: [}")
    assert failure(folder("bee.yml", calc("retries: 1", include="common.yml"))).source == str(
        broken
    )
    other = folder("common.yml", "services: {}")
    error = failure(folder.path / "bee.yml")
    assert (error.source, error.path) == (str(other), "bee")


def test_a_warning_names_the_file_that_states_the_value(folder):
    common = folder("common.yml", calc("compress: none", "compress_above: 2k"))
    config = load_config(folder("bee.yml", calc("address: a:1", include="common.yml")), environ={})
    (found,) = warnings(config)
    assert (found.source, found.line) == (str(common), 6)


# Overlays.


def test_the_environment_lays_a_file_over_the_one_that_is_named(folder):
    path = folder("bee.yml", calc("timeout: 3", "retries: 1"))
    over = folder("bee.production.yml", calc("timeout: 9"))
    assert loaded(path).timeout == 3
    assert loaded(path, BEE_ENV="production").timeout == 9
    assert loaded(path, BEE_ENV="production").retries == 1
    over.write_text(calc("timeout: soon"))
    error = failure(path, BEE_ENV="production")
    assert (error.source, error.line) == (str(over), 5)


def test_an_overlay_stands_over_all_and_may_include_itself(folder):
    folder("common.yml", calc("timeout: 1", "retries: 1", "read_timeout: 1"))
    folder("secure.yml", calc("timeout: 2", "retries: 2"))
    path = folder("bee.yml", calc("idempotent: yes", include="common.yml"))
    folder("bee.test.yml", calc("timeout: 3", include="secure.yml"))
    found = loaded(path, BEE_ENV="test")
    assert (found.timeout, found.retries, found.read_timeout) == (3, 2, 1)


def test_without_a_file_for_the_environment_the_first_one_holds_alone(folder):
    path = folder("bee.yml", calc("timeout: 3"))
    folder("bee.production.yml", calc("timeout: 9"))
    config = load_config(path, environ={"BEE_ENV": "staging"})
    assert config.client("calc").timeout == 3
    assert str(folder.path / "bee.staging.yml") in config.files, "it may come, so it is watched"


@pytest.mark.parametrize("chosen", ["prod", "prodution", "productions"])
def test_an_environment_that_looks_misspelt_is_an_error(folder, chosen):
    path = folder("bee.yml", calc("timeout: 3"))
    folder("bee.production.yml", calc("timeout: 9"))
    assert "did you mean 'production'?" in failure(path, BEE_ENV=chosen).message


@pytest.mark.parametrize("chosen", ["../secrets", "a/b", "a b", "a.b"])
def test_an_environment_is_a_name_and_no_path(folder, chosen):
    assert (
        "BEE_ENV is the name"
        in failure(folder("bee.yml", calc("retries: 1")), BEE_ENV=chosen).message
    )


def test_an_overlay_stands_beside_its_file():
    assert overlay_of("etc/bee.yml", {"BEE_ENV": "test"}) == os.path.normpath("etc/bee.test.yml")
    assert overlay_of("bee.yml", {"BEE_ENV": " "}) is None


# Merging.


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": "json"}, {"a": {"options": {}}}, {"a": {"options": {}}}),
        (
            {"codec": {"name": "json", "options": {"max_size": 1}}},
            {"codec": {"name": "msgpack"}},
            {"codec": {"name": "msgpack"}},
        ),
        (
            {"codec": {"name": "json", "options": {"max_size": 1}}},
            {"codec": {"name": "json", "options": {"max_inflated": 2}}},
            {"codec": {"name": "json", "options": {"max_size": 1, "max_inflated": 2}}},
        ),
    ],
)
def test_sections_are_merged_and_everything_else_is_replaced(below, above, merged):
    before = repr((below, above))
    assert merge(below, above) == merged
    assert repr((below, above)) == before


def test_another_registry_takes_no_address_over(folder):
    registry = (
        "registry: {protocol: etcd3, address: 'e:1', options: {prefix: /x}, heartbeat_interval: 3}"
    )
    path = folder("bee.yml", f"bee: {{rpc: {{{registry}}}}}")
    folder("bee.test.yml", "bee: {rpc: {registry: {protocol: local}}}")
    found = load_config(path, environ={"BEE_ENV": "test"}).registry
    assert (found.address, found.options, found.heartbeat_interval) == ((), {}, 3)


def test_a_key_of_the_server_takes_the_place_of_its_other_spelling(folder):
    path = folder("bee.yml", "bee: {rpc: {server: {name: calc, macher: json}}}")
    folder("bee.test.yml", "bee: {rpc: {server: {codecs: [json, msgpack]}}}")
    server = load_config(path, environ={"BEE_ENV": "test"}).server
    assert server.codecs == (PluginRef("json"), PluginRef("msgpack"))
    assert server.name == "calc"


# Files of secrets.


def test_a_file_gives_its_text_without_the_line_end(folder):
    secret = folder("secrets/token", "s3cret-of-20-letters\r\n\n")
    found = load_config(
        folder("bee.yml", calc('token: "${file:secrets/token}"', f"tags: 'a-${{file:{secret}}}'")),
        environ={},
    )
    assert found.client("calc").token.first() == "s3cret-of-20-letters"
    assert found.client("calc").tags == {"a-s3cret-of-20-letters"}
    assert str(secret) in found.files


def test_a_file_of_secrets_is_relative_to_the_file_that_refers_to_it(folder):
    folder("deep/zone", "eu")
    folder("deep/common.yml", calc('zone: "${file:zone}"'))
    assert loaded(folder("bee.yml", calc("retries: 1", include="deep/common.yml"))).zone == "eu"


def test_a_default_stands_for_a_file_that_is_missing_or_empty(folder):
    path = folder("bee.yml", calc('zone: "${file:zone:-nowhere}"'))
    assert loaded(path).zone == "nowhere"
    folder("zone", "\n")
    assert loaded(path).zone == "nowhere"
    folder("zone", "here\n")
    assert loaded(path).zone == "here"


@pytest.mark.parametrize(
    ("content", "reference", "sentence"),
    [
        (None, "${file:hidden}", "the file {folder}/hidden is not there"),
        (b"x" * (MAX_SECRET + 1), "${file:hidden}", "is larger than 64 KiB"),
        (b"top\xffsecret", "${file:hidden}", "is not text in UTF-8"),
        (b"top-secret", "${file:.}", "cannot be read: is a directory"),
        (b"top-secret", "${file:}", "'${' does not begin"),
        (b"top-secret", "${file:hidden", "'${' does not begin"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_its_path(folder, content, reference, sentence):
    if content is not None:
        folder("hidden", content)
    error = failure(folder("bee.yml", calc(f"zone: '{reference}'")))
    assert sentence.replace("{folder}", str(folder.path)) in error.message
    assert (error.path, error.line) == ("bee.rpc.client.calc.zone", 5)


def test_a_pipe_holds_nobody_up(folder):
    os.mkfifo(folder.path / "pipe")
    assert "no ordinary file" in failure(folder("bee.yml", calc("zone: '${file:pipe}'"))).message


def test_no_message_shows_what_a_file_holds(folder):
    folder("hidden", "top-secret")
    path = folder(
        "bee.yml",
        calc(
            "timeout: '${file:hidden}'", "address: '${file:hidden}:x'", "version: '${file:hidden}'"
        ),
    )
    error = failure(path)
    assert len(error.problems) == 3
    assert "top-secret" not in str(error) + repr([one.value for one in error.problems])
    assert "${file:hidden}" in str(error)
