"""Programs of other languages for the tests of this folder; each is started once."""

from __future__ import annotations

import shutil

import pytest

from interop.foreign import EXAMPLES, SHORT_LIVED, ForeignClient
from support.calculator_fixtures import calculator, processes, server
from support.processes import run
from support.requirements import skip_or_fail

__all__ = ["calculator", "processes", "server"]

pytest.register_assert_rewrite("interop.client_suite")  # it asserts, and is no test file

HERE = EXAMPLES.parent.parent / "tests" / "interop"


def binary(name: str) -> str:
    """The path of a program; a test that needs a missing one is skipped.

    Where BEE_REQUIRE_SERVERS=1 says that the program has to be there, the test fails.
    """
    path = shutil.which(name)
    if path is None:
        skip_or_fail(f"{name} is not installed")
    return path


@pytest.fixture(scope="session")
def java():
    return binary("java")


@pytest.fixture(scope="session")
def node():
    return binary("node")


@pytest.fixture(scope="session")
def java_classes(java, tmp_path_factory):
    """Bee.java and the driver, compiled once.

    ``java Bee.java`` compiles anew each time it is run.
    """
    folder = tmp_path_factory.mktemp("classes")
    run(
        [
            binary("javac"),
            *(f"-J{option}" for option in SHORT_LIVED),
            "-Xlint:all",
            "-Werror",
            "-d",
            folder,
            EXAMPLES / "java" / "Bee.java",
            HERE / "Drive.java",
        ],
        check=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="session")
def java_command(java, java_classes):
    return [java, *SHORT_LIVED, "-cp", str(java_classes)]


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
