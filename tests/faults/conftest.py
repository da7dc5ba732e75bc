from __future__ import annotations

import pytest

from faults.users import BOTH, client_config, make_user
from support.calculator_fixtures import calculator, processes, server

__all__ = ["calculator", "processes", "server"]


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
