from __future__ import annotations

import pytest

from faults.processes import ServingProcess
from faults.services import Calculator, serving
from faults.users import BOTH, client_config, make_user


def pytest_collection_modifyitems(items):
    for item in items:
        if "/faults/" in str(item.path) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(30))


@pytest.fixture(params=BOTH)
def kind(request):
    """Which client a test uses."""
    return request.param


@pytest.fixture
def users(kind):
    """Makes clients of the kind at hand: ``users(*urls, **client settings)``."""
    made = []

    def make(*urls, **settings):
        made.append(make_user(kind, client_config(*urls, **settings)))
        return made[-1]

    yield make
    for user in made:
        user.close()


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
