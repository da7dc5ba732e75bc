"""The pages of docs/: their snippets run, their links lead somewhere, their lists are complete."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

import bee_core
from bee_core.cli import main
from bee_core.config import warnings
from bee_core.testing import BalancerContract, BreakerContract, LimiterContract
from support.ports import fixed_address
from support.readme_shell import Shell, blocks, files, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import Balancer, Breakers, Limiter

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
TUTORIAL = DOCS / "tutorial" / "README.md"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]


FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


SNIPPETS = {name: text for page in HOW_TO for name, text in files(read(page)).items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SNIPPETS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *command: str) -> str:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=30
    ).stdout


def test_every_snippet_of_the_how_to_pages_has_a_test_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in SNIPPETS if f'"{name}"' not in here] == []


def test_the_tour_prints_what_its_page_says(folder: Path) -> None:
    (printed,) = blocks(read(DOCS / "how-to" / "call-a-service.md"), "console")
    assert run(folder, sys.executable, "tour.py") == printed


def test_the_sales_print_what_their_page_says(folder: Path) -> None:
    (printed,) = blocks(read(DOCS / "how-to" / "errors.md"), "console")
    assert run(folder, sys.executable, "sales.py") == printed


def test_the_page_about_interceptors_gives_ids(folder: Path) -> None:
    plugin = ModuleType("request_ids")
    vars(plugin).update(runpy.run_path(str(folder / "request_ids.py")))
    server = bee_core.build_server(folder / "ids.yml", plugins=[plugin])
    server.add(lambda: bee_core.current_call().metadata["request-id"], name="seen")
    token = "for billing"
    with server.in_thread():
        config = {"bee": {"rpc": {"client": {"calc": {"address": server.address, "token": token}}}}}
        with bee_core.build_client(config) as client:
            reply = bee_core.detailed(client.service("calc").call, "seen")
    assert reply.metadata["request-id"] == reply.value
    assert len(reply.value) == 32


def test_old_answers_are_what_the_page_says(folder: Path) -> None:
    (printed,) = blocks(read(DOCS / "how-to" / "use-fallbacks.md"), "console")
    assert run(folder, sys.executable, "old_answers.py") == printed


def test_the_breakers_and_fallbacks_of_the_pages_can_be_made(folder: Path) -> None:
    with bee_core.build_client(folder / "breakers.yml") as client:
        made = [client.find(name).nodes.breakers for name in ("calc", "stock", "mail")]
    assert [one is not None and one.counting for one in made] == [True, True, False]
    with bee_core.build_client(folder / "trial.yml") as client:
        assert [one.kind for one in client.config.client("calc").faults] == [
            *("error", "delay", "drop")
        ]
    trial = bee_core.build_server(folder / "trial_server.yml")
    assert [one.caller for one in trial.config.server.faults] == [None, "billing", None]
    with bee_core.build_client(folder / "fallbacks.yml") as client:
        shop = client.service("shop").with_options(retries=0, timeout=0.5)
        assert shop.banners() == []


def test_the_page_about_repeated_writes_has_a_server_that_remembers(folder: Path) -> None:
    config = bee_core.load_config(folder / "repeat_writes.yml")
    assert config.server is not None
    assert config.server.deduplicate
    assert warnings(config) == []
    server = bee_core.build_server(config)
    server.add(lambda: bee_core.current_call().dedupe_key is not None, name="keyed")
    with server.in_thread():
        client_config = {"bee": {"rpc": {"client": {"shop": {"address": server.address}}}}}
        with bee_core.build_client(client_config) as client:
            shop = client.service("shop")
            assert [shop.call("keyed"), shop.call("keyed")] == [False, True]


def test_the_typed_client_adds_up(folder: Path) -> None:
    total = runpy.run_path(str(folder / "typed.py"))["total"]
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "memory://docs-typed"}}}}
    )
    server.add(lambda a, b: a + b, name="add")
    config = {"bee": {"rpc": {"client": {"calc": {"address": "memory://docs-typed"}}}}}
    with server.in_thread(), bee_core.build_client(config) as client:
        assert total(client, [1, 2, 3]) == 6


def test_a_generic_interface_gives_what_it_was_given(folder: Path) -> None:
    page = runpy.run_path(str(folder / "generic.py"))
    saved = []

    class Users:
        def get(self, key: int) -> Any:
            return page["User"](f"user {key}")

        def save(self, item: Any) -> int:
            saved.append(item)
            return len(saved)

    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "users", "address": "memory://docs-generic"}}}}
    )
    server.add(Users(), interface=page["Users"])
    config = {"bee": {"rpc": {"client": {"users": {"address": "memory://docs-generic"}}}}}
    with server.in_thread(), bee_core.build_client(config) as client:
        assert page["rename"](client, 7, "Ann") == 1
    assert saved == [page["User"]("Ann")]


def test_the_server_of_the_page_serves_its_methods(folder: Path) -> None:
    server = runpy.run_path(str(folder / "serving.py"))["server"]
    with server.in_thread():
        config = {"bee": {"rpc": {"client": {"calc": {"address": server.address}}}}}
        with bee_core.build_client(config) as client:
            calc = client.service("calc")
            assert calc.add(1, 2) == calc.slow_sum([1, 2]) == calc.Stats.mean([2, 4]) == 3
            assert calc.version() == "1.0.0"
            assert calc.largest([1, 3]) == 3


def test_the_parts_of_the_page_begin_and_end_with_the_server(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = runpy.run_path(str(folder / "life.py"))["server"]
    with server.in_thread():
        assert capsys.readouterr().out == "prices are there\n"
        config = {"bee": {"rpc": {"client": {"orders": {"address": server.address}}}}}
        with bee_core.build_client(config) as client:
            assert client.service("orders").count() == 1
    assert capsys.readouterr().out == "nothing is left to write\n"


def test_the_explained_yaml_can_be_used(folder: Path) -> None:
    bee_core.build_server(folder / "shop.yml")
    with bee_core.build_client(folder / "shop.yml") as client:
        config = client.config.client("stock")
    assert config.method("level").idempotent is True
    assert config.method("level").fallback.name == "static"
    assert config.method("reserve").fail.name == "failfast"
    assert config.timeout == 5
    assert config.balancer.name == "round-robin"


def test_the_page_about_balancers_has_balancers_that_can_be_made(folder: Path) -> None:
    with bee_core.build_client(folder / "balancers.yml") as client:
        settings = {
            name: client.explain(name).setting("balancer").value
            for name in ("prices", "sessions", "orders")
        }
        assert settings == {"prices": "p2c", "sessions": "consistent-hash", "orders": "zone"}
        (order,) = {
            client.explain("sessions", key="ann").next.order[0].url,
            *(node.url for node in client.explain("sessions", key="ann").next.order),
        }
        assert order.startswith("tcp://10.0.1.")


@pytest.mark.parametrize("page", [*HOW_TO, TUTORIAL, ROOT / "README.md"], ids=name_of)
def test_no_configuration_of_a_page_contradicts_itself(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEE_TOKEN", "x" * 20)
    monkeypatch.chdir(tmp_path)
    Path("tokens").write_text("x" * 20, encoding="utf-8")
    for name, text in files(read(page)).items():
        if name.endswith(".yml"):
            (tmp_path / name).write_text(text, encoding="utf-8")
            config = bee_core.load_config(tmp_path / name)
            found = [str(one) for one in warnings(config)]
            assert [one for one in found if "FAULTS ARE INJECTED" not in one] == []


def test_the_server_of_the_page_about_metrics_shows_them(folder: Path) -> None:
    pytest.importorskip("prometheus_client")
    text = (folder / "metrics.yml").read_text(encoding="utf-8")
    assert SNIPPETS["metrics.yml"] == text
    (folder / "metrics.yml").write_text(
        text.replace("9464", "0").replace("9000", "0").replace(", workers: 2", ""), "utf-8"
    )
    server = bee_core.build_server(folder / "metrics.yml")
    server.add(lambda: 1, name="one")
    page = read(DOCS / "how-to" / "metrics.md")
    listed = set(re.findall(r"`((?:bee|rpc)_\w+)`", page)) - {"rpc_service", "rpc_method"}
    with server.in_thread():
        found = urlopen(f"{server.metrics_address}/metrics").read().decode()
        shown = set(re.findall(r"^# TYPE ((?:bee|rpc)_\w+)", found, re.MULTILINE))
        assert listed == shown
        for path in ("healthz", "readyz"):
            assert urlopen(f"{server.metrics_address}/{path}").status == 200


def test_the_limits_of_the_page_can_be_used(folder: Path) -> None:
    server = bee_core.build_server(folder / "tickets.yml")
    server.add(lambda: 1, name="report")
    with bee_core.build_client(folder / "tickets.yml") as client:
        assert client.explain("payments").setting("limiter").value == "throttle"
        assert client.explain("mails").setting("criticality").value == "sheddable"


@pytest.mark.parametrize("name", ["stock.yml", "vault.yml"])
def test_the_other_configurations_are_understood(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEE_TOKEN", "x" * 20)
    monkeypatch.chdir(folder)
    (folder / "tokens").write_text("x" * 20, encoding="utf-8")
    assert bee_core.load_config(folder / name).server is not None


def test_the_page_on_descriptions_prints_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("BEE_CONFIG", "shelf.yml")
    shelf = runpy.run_path(str(folder / "shelf.py"), run_name="shelf")["Shelf"]
    address = fixed_address()
    text = SNIPPETS["shelf.yml"].replace("127.0.0.1:9000", address)
    (folder / "shelf.yml").write_text(text, encoding="utf-8")
    (session,) = blocks(read(DOCS / "how-to" / "describe-a-service.md"), "console")
    server = bee_core.build_server(folder / "shelf.yml")
    server.add(shelf())
    with server.in_thread():
        for typed in session.split("$ ")[1:]:
            command, _, printed = typed.partition("\n")
            words = shlex.split(command)
            if words[0] == "bee":
                main(words[1:])
                said = capsys.readouterr()
                assert said.out + said.err == printed


def test_the_page_on_changes_prints_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"billing.py", "billing_next.py", "billing.yml"} <= SNIPPETS.keys()
    monkeypatch.chdir(folder)
    (session,) = blocks(read(DOCS / "how-to" / "change-a-service.md"), "console")
    command, _, printed = session.removeprefix("$ ").partition("\n")
    assert main(shlex.split(command)[1:]) == 1
    assert capsys.readouterr().out == printed
    for module in ("billing", "billing_next"):
        del sys.modules[module]
    sys.path.remove(str(folder))
    server = bee_core.load_config(folder / "billing.yml").server
    assert server is not None
    assert server.on_breaking == "refuse"


def test_the_client_of_the_page_reloads(folder: Path) -> None:
    assert run(folder, sys.executable, "reloading.py") == "1.0\n"


def test_files_of_a_page_are_laid_over_one_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEE_ENV", "production")
    config = bee_core.load_config(folder / "invoices.yml")
    assert {Path(path).name for path in config.files} == {
        *("invoices.yml", "shared.yml", "invoices.production.yml", "stock.key")
    }
    assert config.registry is not None
    assert config.registry.protocol == "etcd3"
    assert config.client("stock").timeout == 2


def saying(answer: str) -> Callable[[], str]:
    return lambda: answer


def test_the_plugin_has_twenty_lines_and_picks_the_first_node(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SNIPPETS["first_node.py"]
    assert len(text.splitlines()) <= 23, "twenty lines, the name of the file and blank ends aside"
    monkeypatch.syspath_prepend(str(folder))
    import first_node

    servers = []
    for name in ("one", "two"):
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "which", "address": f"memory://docs-{name}"}}}}
        )
        server.add(saying(name), name="name")
        servers.append(server)
    which = {"balancer": "first-node", "address": ["memory://docs-one", "memory://docs-two"]}
    with (
        servers[0].in_thread(),
        servers[1].in_thread(),
        bee_core.build_client(
            {"bee": {"rpc": {"client": {"which": which}}}}, plugins=[first_node]
        ) as client,
    ):
        assert {client.service("which").name() for _ in range(10)} == {"one"}


def names_of(snippet: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(SNIPPETS[snippet], made)
    return made


class TestTheBalancerOfThePage(BalancerContract):
    def make_balancer(self) -> Balancer:
        return names_of("first_node.py")["FirstNode"]()


class TestTheLimiterOfThePage(LimiterContract):
    def make_limiter(self) -> Limiter:
        made = names_of("at_most.py")
        return made["AtMost"](made["AtMostOptions"](calls=3))


class TestTheBreakerOfThePage(BreakerContract):
    def make_breakers(self) -> Breakers:
        return names_of("in_a_row.py")["InARow"]()


def test_the_suite_of_the_page_and_its_run_in_the_simulator(folder: Path) -> None:
    printed = run(folder, sys.executable, "-m", "pytest", "-q", "test_at_most.py")
    assert "passed" in printed
    (shown,) = blocks(read(DOCS / "how-to" / "write-a-plugin.md"), "console")
    assert run(folder, sys.executable, "in_trouble.py") == shown


def test_the_test_without_a_network_passes(folder: Path) -> None:
    assert run(folder, sys.executable, "in_memory.py") == "passed\n"


def test_the_test_with_a_registry_passes(folder: Path) -> None:
    assert run(folder, sys.executable, "with_registry.py") == "passed\n"


def test_the_access_log_is_what_the_page_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    runpy.run_path("log_file.py")
    with (
        bee_core.build_client("both_sides.yml") as client,
        pytest.raises(bee_core.errors.CallError),
    ):
        client.service("stock").with_options(retries=0).level(1)
    (line,) = (folder / "access.log").read_text(encoding="utf-8").splitlines()
    assert " event=call service=stock method=level " in line
    assert " status=unavailable executed=no " in line
    for name in ("logged.yml", "sampled.yml"):
        assert bee_core.build_server(name).config.server.observers[0].name == "access-log"


def figureless(text: str) -> list[list[str]]:
    """The words of each line. Figures may differ a little: C libraries round in their own ways."""
    kept = re.sub(r"\b[0-9a-f]{32}\b", "digest", text)
    return [re.sub(r"[\d.,]+", "0", line).split() for line in kept.splitlines()]


def test_the_page_on_simulations_draws_its_picture(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert {"stocked.yml", "other.yml"} <= set(SNIPPETS)
    page = read(DOCS / "how-to" / "simulate.md")
    (scenario,) = blocks(page, "yml")
    (folder / "hang.yml").write_text(scenario, encoding="utf-8")
    first, compared, own = (shlex.split(command)[1:] for command in blocks(page, "sh"))
    capsys.readouterr()
    assert main(first) == 0
    (shown,) = blocks(page, "text")
    assert figureless(capsys.readouterr().out) == figureless(shown)
    drawn = (folder / "slow-node.svg").read_text(encoding="utf-8")
    picture = read(DOCS / "how-to" / "slow-node.svg")
    assert re.sub(r"[-\d.,]+", "", drawn) == re.sub(r"[-\d.,]+", "", picture)
    for command in (compared, own):
        capsys.readouterr()
        assert main([*command, "--seconds", "20"]) == 0
        assert "goodput" in capsys.readouterr().out


def test_the_commands_that_measure_speed_do(folder: Path) -> None:
    pytest.importorskip("hdrh.histogram")
    page = read(DOCS / "how-to" / "measure-speed.md")
    closed, opened = (command.strip() for command in blocks(page, "sh"))
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc"}}}})
    server.add(lambda a, b: a + b, name="add")
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}', idempotent: true}}}}}}}}",
            encoding="utf-8",
        )
        quick = ["--duration", "0.2", "--warmup", "0.1"]
        for command in (closed, opened):
            words = [sys.executable, "-m", "bee_core", *command.split()[1:], *quick]
            printed = run(folder, *words)
            assert "0 failed" in printed
    assert "compared" in printed
    for line in re.findall(r"^\| `([a-z ]+)` \| latency", page, re.MULTILINE):
        assert line == "failed" or line in printed


def test_the_trace_of_the_page_is_printed(folder: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    (printed,) = blocks(read(DOCS / "how-to" / "trace-calls.md"), "console")
    assert run(folder, sys.executable, "traced.py") == printed
    config = bee_core.load_config(folder / "observed.yml")
    assert [one.name for one in config.application.observers] == ["opentelemetry"]


@pytest.mark.timeout(240)
def test_the_tutorial(tmp_path: Path) -> None:
    """Each file is written and each command typed, in the order of the page."""
    page = read(TUTORIAL)
    address = fixed_address()
    for name, text in files(read(TUTORIAL)).items():
        (tmp_path / name).write_text(text.replace("127.0.0.1:9000", address), encoding="utf-8")
    first, *rest = steps(page)
    assert first.commands[0].startswith("python3 -m venv .venv && . .venv/bin/activate && ")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "BEE_LOCAL_DIR": str(tmp_path / "registry"),
        "BEE_CACHE_DIR": str(tmp_path / "cache"),
    }
    (tmp_path / "bin").mkdir()
    for name, command in (("python", ""), ("bee", "-m bee_core")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n', "utf-8")
        program.chmod(0o755)
    said = []
    shell = Shell(tmp_path, environment, "listening on")
    shared = Shell(tmp_path, environment, "registered")
    try:
        for step in rest:
            in_registry = said or any("shared.yml" in command for command in step.commands)
            for command in step.commands:
                output, code = (shared if in_registry else shell).type(command)
                assert code == 0, f"{command}\n{output}"
                if in_registry:
                    said.append((command, output))
            printed = output.splitlines()
            assert [line for line in step.prints if line not in printed] == [], output
    finally:
        shell.close()
        shared.close()
    (nodes,) = [output for command, output in said if command.startswith("bee nodes")]
    assert "2 of 3 nodes fit" in nodes
    assert "2.0.0" in nodes


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as GitHub writes them, and its own marks."""
    text = FENCED.sub("", read(page))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    made = {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        for heading in headings
    }
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", read(page))):
        if target.startswith(("http://", "https://")):
            continue
        if target.startswith("../plugins/") and not (ROOT / "plugins").exists():
            continue  # the wheel is tested far from its sources
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_have_at_most_a_hundred_columns(page: Path) -> None:
    """A table may be wider: Markdown cannot break its rows."""
    text = FENCED.sub("", read(page))
    long = [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")]
    assert [line for line in long if " " in line] == []


def test_the_index_names_every_page() -> None:
    text = read(DOCS / "README.md")
    pages = [page for page in DOCS.rglob("*.md") if page.parent.name != "decisions"]
    missing = [page for page in pages if f"({page.relative_to(DOCS).as_posix()})" not in text]
    assert missing == [DOCS / "README.md"]


@pytest.mark.parametrize("name", ["hedged.yml", "broadcast.yml", "budget.yml"])
def test_the_files_about_hedging_and_broadcasts_are_right(folder: Path, name: str) -> None:
    assert [str(one) for one in warnings(bee_core.load_config(folder / name))] == []
    with bee_core.build_client(folder / name) as client:
        assert client.explain("stock").setting("retry_budget").value


def test_the_page_about_broadcasts_has_the_answers_of_all_nodes(folder: Path) -> None:
    forget = runpy.run_path(str(folder / "forget.py"))["forget"]
    servers = []
    for number in range(2):
        address = f"memory://docs-forget-{number}"
        config = {"bee": {"rpc": {"server": {"name": "stock", "address": address}}}}
        server = bee_core.build_server(config)
        server.add(lambda item, number=number: number, name="forget")
        servers.append(server)
    section = {
        "address": [f"memory://docs-forget-{number}" for number in range(2)],
        "methods": {"forget": {"fail": "broadcast"}},
    }
    client = bee_core.build_client({"bee": {"rpc": {"client": {"stock": section}}}})
    with servers[0].in_thread(), servers[1].in_thread(), client:
        assert sorted(forget(client, "sku-7").values()) == [0, 1]


def test_the_index_of_decisions_names_every_decision() -> None:
    text = read(DOCS / "decisions" / "README.md")
    pages = {page.name for page in (DOCS / "decisions").glob("*.md")} - {"README.md"}
    assert sorted(re.findall(r"\]\(([\w-]+\.md)\)", text)) == sorted(pages)


def test_the_reference_has_every_public_name() -> None:
    text = read(DOCS / "reference" / "python.md")
    for name in bee_core.__all__:
        assert re.search(rf"`(bee_core\.)?{name}\b", text), f"{name} is missing"


def test_the_reference_has_every_error() -> None:
    text = read(DOCS / "reference" / "python.md")
    for name, value in vars(bee_core.errors).items():
        if isinstance(value, type) and issubclass(value, bee_core.errors.BeeError):
            assert re.search(rf"\b{name}\b", text), f"{name} is missing"


def test_the_reference_has_every_command(tmp_path: Path) -> None:
    text = read(DOCS / "reference" / "command-line.md")
    listed = run(tmp_path, sys.executable, "-m", "bee_core", "--help").partition("Commands:")[2]
    names = re.findall(r"^  (\w+) ", listed, re.MULTILINE)
    assert len(names) >= 8
    assert [name for name in names if f"`bee {name}" not in text] == []


def test_the_architecture_names_files_that_exist() -> None:
    core = Path(bee_core.errors.__file__).parent
    pages = read(DOCS / "architecture.md") + read(ROOT / "CONTRIBUTING.md")
    rooms = "|".join(folder.name for folder in core.iterdir() if folder.is_dir())
    named = set(re.findall(rf"(?<![\w/])((?:{rooms})/(?!bee_plugins)(?:\w+/)*\w+\.py)", pages))
    assert len(named) > 40
    assert sorted(name for name in named if not (core / name).exists()) == []
