"""The examples, run as their READMEs say: the same commands, in the same order, in one bash.

The ports differ from the pages, since 9000 may be taken. The usual tests make one virtual
environment for all READMEs, out of the packages that are installed here, and type everything but
``pip install``. The slow ones type that as well: a fresh clone, a new virtual environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.ports import fixed_address
from support.readme_shell import Shell, Step, blocks, steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.timeout(300)  # a README is a dozen programs, and the machine may be busy

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SETUP = "python3 -m venv .venv && . .venv/bin/activate && pip install '.[all]'"
ADDRESSES = ("ACCOUNTS", "CALC", "GREETER", "ORDERS", "PRICES", "STOCK", "VAULT")
METRICS = {"ORDERS": "9464", "STOCK": "9465", "PRICES": "9466", "CLIENT": "9467"}
NEEDS = {
    "interop/java": "java",
    "interop/node": "node",
    "observability": "curl",
    "tls": "openssl",
}
INSTALLED = {
    SETUP: ". .venv/bin/activate",
    "pip install -e . pytest": "true",
    "pip install pytest": "true",
    "pip install -r requirements.txt": "true",
}
"""What is typed in place of the commands that download, where the environment is there already."""
FAILS = {"VAULT_USER=shop python client.py", "BEE_TOKEN=guess python client.py"}
FAILS_AFTER = {"python client.py": "mv certificates/next certificates/tokens"}


class Said(NamedTuple):
    """A command of a README, and what it printed."""

    command: str
    output: str


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Free ports for all examples, and folders of this test's own."""
    names = (*(f"{name}_ADDRESS" for name in ADDRESSES), *(f"{name}_METRICS" for name in METRICS))
    found = {name: fixed_address() for name in names}
    found["VAULT_ADDRESS"] = f"tls://{found['VAULT_ADDRESS']}"
    return {
        **found,
        "BEE_LOCAL_DIR": str(tmp_path / "registry"),
        "BEE_CACHE_DIR": str(tmp_path / "cache"),
    }


def any_duration(text: str) -> str:
    return re.sub(r"\b\d+\.\d ms$", "N ms", text, flags=re.MULTILINE)


def check(step: Step, said: list[Said]) -> None:
    """Each line that the README shows was printed, in that order; servers may print between.

    A line of a log begins with its time. The README has an ellipsis for it. A duration in
    milliseconds differs from run to run, so any other will do.
    """
    printed = iter(any_duration("".join(output for _, output in said)).splitlines())
    for line in any_duration("\n".join(step.prints)).splitlines():
        shown = line.removeprefix("… ")
        assert any(
            there.partition(" ")[2] == shown if shown != line else there == line
            for there in printed
        ), f"{step.commands} did not print {line!r}: {said}"


def run_readme(
    name: str, clone: Path, environment: Mapping[str, str], *, fresh: bool
) -> list[Said]:
    """Type all commands of an example's README, starting in the root of the clone.

    A line that the page promises for "soon" is waited for: its command is typed again.
    """
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"the example needs {NEEDS[name]}")
    page = steps((clone / "examples" / name / "README.md").read_text(encoding="utf-8"))
    assert page[0].commands == [SETUP, f"cd examples/{name}"], "a README begins with the set-up"
    registers = name in {"shop", "observability"}
    shell = Shell(clone, environment, "registered" if registers else "listening on")
    history: list[Said] = []
    try:
        for step in page:
            said = []
            for command in step.commands:
                typed = command.replace("9000", port_of(environment["CALC_ADDRESS"]))
                for service, port in METRICS.items():
                    typed = typed.replace(port, port_of(environment[f"{service}_METRICS"]))
                if not fresh:
                    typed = INSTALLED.get(typed, typed)
                output, code = shell.type(typed, within=600 if command == SETUP else 120)
                said.append(Said(command, output))
                assert code == expected_code(command, history), f"{command}: {code}\n{output}"
                history.append(said[-1])
            deadline = time.monotonic() + 20
            while (
                step.soon and step.prints[0] not in said[-1].output and time.monotonic() < deadline
            ):
                said[-1] = Said(step.commands[-1], shell.type(step.commands[-1])[0])
            check(step, said)
    finally:
        shell.close()
    return history


def expected_code(command: str, history: list[Said]) -> int:
    """1 for the calls of which a README shows how they are refused."""
    before = history[-1].command if history else ""
    refused = command in FAILS or (command in FAILS_AFTER and FAILS_AFTER[command] in before)
    return 1 if refused else 0


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples beside a virtual environment that has what the READMEs install."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("examples", "tests/vectors"):
        ignored = shutil.ignore_patterns("certificates", "__pycache__", ".*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    venv.create(folder / ".venv", symlinks=True)
    programs = folder / ".venv" / "bin"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / ".venv" / "lib" / version / "site-packages"
    installed = "; ".join(
        f"site.addsitedir({sysconfig.get_path(kind)!r})" for kind in ("purelib", "platlib")
    )
    (packages / "installed.pth").write_text(f"import site; {installed}\n", encoding="utf-8")
    for name in ("plugin", "roles"):
        install_plugin(folder / "examples" / name, packages)
    script = f"#!{programs / 'python'}\nfrom bee_core.cli import main\n\nraise SystemExit(main())\n"
    (programs / "bee").write_text(script, encoding="utf-8")
    (programs / "bee").chmod(0o755)
    return folder


def install_plugin(project: Path, packages: Path) -> None:
    """What ``pip install -e .`` leaves behind: a path, a name, and the entry points."""
    stated = (project / "pyproject.toml").read_text(encoding="utf-8")
    (name,) = re.findall(r'^name = "(.+)"$', stated, re.MULTILINE)
    groups = re.findall(r'^\[project\.entry-points\."(.+)"\]\n((?:\S.*\n)+)', stated, re.MULTILINE)
    assert groups
    found = packages / f"{name.replace('-', '_')}-1.0.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text(f"Name: {name}\nVersion: 1.0.0\n", "utf-8")
    (found / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + lines.replace('"', "") for group, lines in groups), "utf-8"
    )
    (packages / f"{name}.pth").write_text(f"{project}\n", encoding="utf-8")


def test_the_calculator(clone: Path, environment: Mapping[str, str]) -> None:
    run_readme("calculator", clone, environment, fresh=False)


def test_the_greeter(clone: Path, environment: Mapping[str, str]) -> None:
    run_readme("greeter", clone, environment, fresh=False)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_typed_records(clone: Path, environment: Mapping[str, str], codec: str) -> None:
    run_readme("typed", clone, {**environment, "ORDERS_CODEC": codec}, fresh=False)


def test_the_deployment(clone: Path, environment: Mapping[str, str]) -> None:
    run_readme("deploy", clone, environment, fresh=False)


def test_the_plugin(clone: Path, environment: Mapping[str, str]) -> None:
    said = run_readme("plugin", clone, environment, fresh=False)
    assert "passed" in said[-1].output


def test_the_roles(clone: Path, environment: Mapping[str, str]) -> None:
    said = run_readme("roles", clone, environment, fresh=False)
    assert any("passed" in output for _, output in said)


def test_the_vault(clone: Path, environment: Mapping[str, str]) -> None:
    said = run_readme("tls", clone, environment, fresh=False)
    tokens = [output for command, output in said if command == "cat certificates/tokens"]
    assert len(tokens) == 2, "the page shows the file of tokens with two of them, then with one"
    serving = "".join(output for command, output in said if "certificates/tokens" not in command)
    for token in "".join(tokens).split():
        assert token not in serving


def test_the_shop(clone: Path, environment: Mapping[str, str]) -> None:
    said = run_readme("shop", clone, environment, fresh=False)
    orders = [output for command, output in said if command == "python client.py"]
    assert len(orders) == 4
    assert "(10 % off)" in orders[1]
    assert "placed=4, estimated=0" in orders[1]
    left = [output for command, output in said if command == "wait"]
    assert left[0].count("gone") == 3


def test_the_services_that_can_be_seen(clone: Path, environment: Mapping[str, str]) -> None:
    pytest.importorskip("prometheus_client")
    pytest.importorskip("opentelemetry.sdk")
    run_readme("observability", clone, environment, fresh=False)


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    pytest.importorskip("prometheus_client")
    from bee_plugins.observers.prometheus_meters import Meters
    from bee_plugins.observers.prometheus_numbers import families

    folder = EXAMPLES / "observability"
    dashboard = json.loads((folder / "dashboard.json").read_text(encoding="utf-8"))
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            shown.update(re.findall(r"\b(?:bee|rpc)_\w*[a-z](?=[{)\[])", target["expr"]))
    there = {
        f"{metric.name}{end}"
        for metric in (*Meters([1.0]).registry.collect(), *families({}, [1.0]))
        for end in {"counter": ["_total"], "gauge": [""]}.get(metric.type, ["_count", "_bucket"])
    }
    assert shown - {"rpc_service", "rpc_method"} <= there
    assert {name for name in there if name.startswith("bee_")} - shown == set()
    scraped = (folder / "prometheus.yml").read_text(encoding="utf-8")
    assert [port for port in list(METRICS.values())[:3] if port not in scraped] == []


def test_the_client_in_node(clone: Path, environment: Mapping[str, str]) -> None:
    run_readme("interop/node", clone, environment, fresh=False)


@pytest.mark.slow  # each command compiles Bee.java; tests/interop runs the usual tests of it
def test_the_client_and_server_in_java(clone: Path, environment: Mapping[str, str]) -> None:
    run_readme("interop/java", clone, environment, fresh=False)


@pytest.fixture
def fresh_clone(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "bee"
    if (ROOT / ".git").exists() and shutil.which("git"):
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    else:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".venv", ".nox", "__pycache__"))
    yield folder
    shutil.rmtree(folder)


READMES = sorted(
    str(page.parent.relative_to(EXAMPLES))
    for page in EXAMPLES.rglob("README.md")
    if blocks(page.read_text(encoding="utf-8"), "sh")
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", READMES)
def test_each_readme_from_a_fresh_clone(
    name: str, fresh_clone: Path, environment: Mapping[str, str]
) -> None:
    run_readme(name, fresh_clone, environment, fresh=True)


def test_the_index_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in READMES if f"({name}/)" not in text] == []


def test_the_greeter_s_module_agrees_with_its_proto(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    folder = EXAMPLES / "greeter"
    made = tmp_path / "made"
    arguments = ["protoc", f"-I{folder}", f"--descriptor_set_out={made}", "greeter.proto"]
    assert protoc.main(arguments) == 0
    program = """
import sys, greeter_pb2
from google.protobuf import descriptor_pb2 as d
ours = d.FileDescriptorProto()
greeter_pb2.DESCRIPTOR.CopyToProto(ours)
made, = d.FileDescriptorSet.FromString(open(sys.argv[1], 'rb').read()).file
for message in made.message_type:
    for part in [message, *message.nested_type]:
        for field in part.field:
            field.ClearField('json_name')
print(made == ours)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(made)],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr


def test_no_readme_leaves_a_server_behind() -> None:
    """Each server that a page starts with ``&`` is ended on the page."""
    for name in READMES:
        commands = [
            command
            for step in steps((EXAMPLES / name / "README.md").read_text(encoding="utf-8"))
            for command in step.commands
        ]
        servers = [command for command in commands if command.endswith("&")]
        ends = [command for command in commands if re.match(r"kill\b", command)]
        assert bool(servers) == bool(ends), name
