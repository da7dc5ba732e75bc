"""The files of examples/deploy agree with each other, with bee, and with what reads them."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bee_core.cli.targets import load_target
from bee_core.config import ServerConfig, load_config

FOLDER = Path(__file__).parent.parent / "examples" / "deploy"
ROOT = FOLDER.parent.parent
DIRECTIVES = {
    "Unit": {"Description", "After", "Wants"},
    "Service": {
        *("Type", "NotifyAccess", "WorkingDirectory", "Environment", "ExecStart"),
        *("TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "Restart", "RestartSec", "KillMode"),
        *("DynamicUser", "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp"),
    },
    "Install": {"WantedBy"},
}
"""Of systemd.unit(5), systemd.service(5) and systemd.exec(5)."""
FOR_THE_REST = 10
"""Seconds that a registry which hangs may cost a server that leaves."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    monkeypatch.delenv("CALC_ADDRESS", raising=False)
    found = load_config(FOLDER / "bee.yml").server
    assert found is not None
    return found


def leaving(settings: ServerConfig) -> float:
    return settings.drain_timeout + settings.stop_timeout + FOR_THE_REST


def check_serve(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ``bee serve`` of a TARGET that is there."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert Path(words[0]).name == "bee"
    assert words[1] == "serve"
    assert load_target(words[2]).value.methods == ("add",)
    assert set(words[3:]) <= {"--json-logs"}


def is_probe(words: list[str], settings: ServerConfig) -> bool:
    return words[:3] == ["bee", "health", settings.name] and words[3:] == ["--timeout", "3"]


def test_the_unit_has_directives_of_systemd_and_times_that_fit(
    settings: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / "calc.service", encoding="utf-8")
    assert {name: set(unit[name]) for name in unit.sections()} == DIRECTIVES
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert float(service["TimeoutStartSec"]) > settings.start_timeout
    assert float(service["TimeoutStopSec"]) > leaving(settings)
    assert float(service["WatchdogSec"]) > 0
    assert service["ExecStart"].startswith(service["WorkingDirectory"])
    check_serve(shlex.split(service["ExecStart"]), monkeypatch)


def test_the_manifest_grants_a_drain_and_probes_the_server(settings: ServerConfig) -> None:
    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = {document["kind"]: document for document in documents}
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= float(pause[1]) + leaving(settings)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert is_probe(container[kind]["exec"]["command"], settings)
        assert container[kind]["timeoutSeconds"] > 3
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= settings.start_timeout
    port = container["ports"][0]["containerPort"]
    assert found["Service"]["spec"]["ports"][0]["port"] == port
    assert settings.address[0].endswith(f":{port}")
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels


def test_the_image_copies_what_is_there_and_runs_it(
    settings: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
    steps: dict[str, list[str]] = {}
    for word, rest in lines:
        steps.setdefault(word, []).append(rest)
    assert set(steps) <= {
        *("FROM", "COPY", "RUN", "WORKDIR", "USER", "ENV", "EXPOSE", "STOPSIGNAL"),
        *("HEALTHCHECK", "ENTRYPOINT"),
    }
    for copied in steps["COPY"]:
        assert all((ROOT / source).exists() for source in copied.split()[:-1])
    check_serve(json.loads(steps["ENTRYPOINT"][0]), monkeypatch)
    probe = re.search(r"CMD (\[.*\])$", steps["HEALTHCHECK"][0])
    assert probe is not None
    assert is_probe(json.loads(probe[1]), settings)
    assert steps["ENV"] == [f"CALC_ADDRESS=0.0.0.0:{steps['EXPOSE'][0]}"]
