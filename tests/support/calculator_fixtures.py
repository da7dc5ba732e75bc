"""Fixtures around the calculator of ``faults.services``.

A ``conftest.py`` imports what it needs.
"""

from __future__ import annotations

import pytest

from faults.processes import ServingProcess
from faults.services import Calculator, serving


@pytest.fixture
def calculator():
    return Calculator()


@pytest.fixture
def server(calculator):
    with serving(calculator) as server:
        yield server


@pytest.fixture
def processes():
    """Starts servers in processes of their own: ``processes(**server settings)``."""
    made = []

    def start(**settings):
        made.append(ServingProcess(**settings))
        return made[-1]

    yield start
    for process in made:
        process.kill()
