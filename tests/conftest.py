"""For every test: its own folder for lists of nodes, never the user's, and the table of faults."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import tempfile
from itertools import count
from pathlib import Path

import attrs
import hypothesis
import pytest

from bee_core.contracts import flight_recorder
from support.fault_table import Row, lines, save

pytest_plugins = [
    "support.stuck",
    "support.leftovers",
    "support.how_long",
    "support.plugin_site",
]

# How long an example takes says more about the machine than about bee.
hypothesis.settings.register_profile(
    "bee", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# For the model: so many histories for each of its seeds.
hypothesis.settings.register_profile(
    "campaign", hypothesis.settings.get_profile("bee"), max_examples=500
)
hypothesis.settings.load_profile("bee")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell does so for what it starts in the background. Each test's program would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is collected stays until the end: no use in looking through it for garbage, then or later.
gc.disable()

_numbers = count(1)
_ROWS = pytest.StashKey[list]()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Many tests look for garbage, and would look through this each time: a fifth of a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """What a file leaves behind, such as imported modules, later files do not look through.

    Its garbage is found here, with its last test; what lives on is nobody's garbage any more.
    """
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            gc.collect()
            gc.freeze()


@pytest.fixture(scope="session")
def cache_folders(tmp_path_factory):
    before = os.environ.get("BEE_CACHE_DIR")
    yield tmp_path_factory.mktemp("bee-cache")
    if before is None:
        os.environ.pop("BEE_CACHE_DIR", None)
    else:
        os.environ["BEE_CACHE_DIR"] = before


@pytest.fixture(scope="session", autouse=True)
def clients_open_no_socket_by_themselves():
    """Tests count sockets and threads: a client is asked for its last calls where a test says so.

    It would open a socket with the first call that is kept after its first second.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flight_recorder, "LISTEN_AFTER", math.inf)
        yield


@pytest.fixture(scope="session", autouse=True)
def recent_folder():
    """Where this run's processes are asked for their last calls; a socket's path must be short."""
    before = os.environ.get("BEE_RECENT_DIR")
    with tempfile.TemporaryDirectory(prefix="bee-recent-") as folder:
        os.environ["BEE_RECENT_DIR"] = folder
        yield Path(folder)
    if before is None:
        os.environ.pop("BEE_RECENT_DIR", None)
    else:
        os.environ["BEE_RECENT_DIR"] = before


@pytest.fixture(autouse=True)
def own_cache_folder(cache_folders):
    folder = cache_folders / str(next(_numbers))  # made by whoever saves a list
    os.environ["BEE_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def logging_as_nobody_configured_it():
    """Each test begins with bee's loggers as they are made, whatever a test before it has set."""
    logging.disable(logging.NOTSET)
    loggers = [logging.getLogger("bee"), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger) and f"{logger.name}.".startswith("bee."):
            logger.disabled, logger.propagate = False, True
            logger.handlers.clear()
            logger.setLevel(logging.NOTSET)
    before = logging.root.level, logging.root.handlers[:]
    yield
    logging.root.setLevel(before[0])
    logging.root.handlers[:] = before[1]


@pytest.fixture
def record(request):
    """Enters a row into the table of faults."""
    rows = request.config.stash.setdefault(_ROWS, [])

    def record(fault, load=None, **figures):
        if load is not None:
            figures = {"calls": len(load.calls), "failed": len(load.failed), **figures}
        rows.append(Row(fault, **figures))

    return record


def pytest_sessionfinish(session):
    """Where tests run side by side, each process hands its rows to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["fault rows"] = [attrs.asdict(row) for row in session.config.stash.get(_ROWS, [])]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    rows = getattr(node, "workeroutput", {}).get("fault rows", [])
    node.config.stash.setdefault(_ROWS, []).extend(Row(**row) for row in rows)


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    stated, cache = os.environ.get("BEE_FAULT_TABLE"), getattr(config, "cache", None)
    path = (
        Path(stated)
        if stated
        else cache.mkdir("bee") / "fault-table.json"
        if cache is not None
        else None
    )
    if path is not None:
        save(rows, path)
    terminalreporter.section(f"faults (also in {path})" if path is not None else "faults")
    for line in lines(rows):
        terminalreporter.line(line)
