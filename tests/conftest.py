"""For every test: lists of nodes are kept in a folder of the test's own, never in the user's."""

from __future__ import annotations

import os
from itertools import count

import pytest

_numbers = count(1)


@pytest.fixture(scope="session")
def cache_folders(tmp_path_factory):
    before = os.environ.get("BEE_CACHE_DIR")
    yield tmp_path_factory.mktemp("bee-cache")
    if before is None:
        os.environ.pop("BEE_CACHE_DIR", None)
    else:
        os.environ["BEE_CACHE_DIR"] = before


@pytest.fixture(autouse=True)
def own_cache_folder(cache_folders):
    folder = cache_folders / str(next(_numbers))  # made by whoever saves a list
    os.environ["BEE_CACHE_DIR"] = str(folder)
    return folder
