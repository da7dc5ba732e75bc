"""Programs of other languages for the tests of this folder; each is started once."""

from __future__ import annotations

import os
import shutil

import pytest

from faults.processes import ServingProcess
from faults.services import Calculator, serving
from interop.foreign import EXAMPLES, ForeignClient
from support.processes import run

pytest.register_assert_rewrite("interop.client_suite")  # it asserts, and is no test file

HERE = EXAMPLES.parent.parent / "tests" / "interop"


def binary(name: str) -> str:
    """The path of a program. Without it the tests that need it are skipped, or fail where BEE_REQUIRE_SERVERS=1 says that it has to be there."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        if os.environ.get("BEE_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{reason}, and BEE_REQUIRE_SERVERS=1 requires it")
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def java():
    return binary("java")


@pytest.fixture(scope="session")
def node():
    return binary("node")


@pytest.fixture(scope="session")
def java_classes(java, tmp_path_factory):
    """Bee.java and the driver, compiled once: ``java Bee.java`` compiles anew each time it is run."""
    folder = tmp_path_factory.mktemp("classes")
    run(
        [
            binary("javac"),
            "-Xlint:all",
            "-Werror",
            "-d",
            folder,
            EXAMPLES / "java" / "Bee.java",
            HERE / "Drive.java",
        ],
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def java_command(java, java_classes):
    # A short-lived program has no use for the optimizing compiler, which would take the processor from the tests.
    return [
        java,
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-cp",
        str(java_classes),
    ]


@pytest.fixture(scope="session")
def java_client(java_command):
    with ForeignClient([*java_command, "Drive"]) as client:
        yield client


@pytest.fixture(scope="session")
def node_client(node):
    with ForeignClient(
        [node, str(HERE / "drive.mjs"), str(EXAMPLES / "node" / "bee.mjs")]
    ) as client:
        yield client


@pytest.fixture
def calculator():
    return Calculator()


@pytest.fixture
def server(calculator):
    with serving(calculator) as server:
        yield server


@pytest.fixture
def processes():
    """Starts Python servers in processes of their own: ``processes(**server settings)``."""
    made = []

    def start(**settings):
        made.append(ServingProcess(**settings))
        return made[-1]

    yield start
    for process in made:
        process.kill()
