"""``bee bench``: measure the speed of one method."""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from ... import __version__, build_async_client, build_client, detailed
from ...server.event_loop import close_loop, new_event_loop
from ..arguments import read_arguments
from ..call_command import read_metadata, target_of, with_messages
from ..command_group import FAILED, INTERRUPTED, UnusableCommandError
from ..output import echo, print_json
from ..shared_options import (
    config_option,
    interface_option,
    load_configuration,
    printing_options,
    refuse_options,
    without_listener,
)
from .comparison import compare, print_comparison, read_earlier
from .course import Course, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ...calls.options import CallOptionsDict
    from ...client.blocking import Client
    from ...config import Config

_OPEN_LOOP = 100
"""Calls that may be in flight at a constant rate, when nothing is said."""
_QUEUE_SECONDS = 5
"""How much may wait at a constant rate, when nothing is said. A stall of that long is a finding; a
queue that is longer says that the rate is too high."""
_LEAST_QUEUE = 100  # calls
_NODES_SHOWN = 3


# Unknown options are let through, because a negative number looks like one.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("method")
@click.argument("arguments", metavar="[JSON]...", nargs=-1, type=click.UNPROCESSED)
@config_option
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 10_000),
    help=f"Calls that may be in flight.  [default: 1; with --rate {_OPEN_LOOP}]",
)
@click.option(
    "--rate",
    metavar="CALLS",
    type=click.FloatRange(0.01, 1e6),
    help="An open loop: so many calls a second, also while the service stalls.",
)
@click.option(
    "--duration",
    metavar="SECONDS",
    type=click.FloatRange(0.05, 86_400),
    default=10.0,
    show_default=True,
    help="How long is measured.",
)
@click.option(
    "--warmup",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="How long calls are made before, and not counted.",
)
@click.option(
    "--threads", is_flag=True, help="Call from threads with the blocking client, not from asyncio."
)
@click.option(
    "--max-waiting",
    metavar="CALLS",
    type=click.IntRange(1),
    help="End when so many calls are due and not begun.  [default: those of 5 seconds]",
)
@click.option("--yes", is_flag=True, help="Call also a method that is not known to be idempotent.")
@click.option("--save", metavar="FILE", help="Write the result to a file, as JSON.")
@click.option("--compare", "earlier", metavar="FILE", help="Compare with a saved result.")
@click.option("--timeout", metavar="SECONDS", type=float, help="For each call.")
@click.option("--metadata", metavar="KEY=TEXT", multiple=True, help="A text that the handler sees.")
@interface_option
@printing_options("Print an object.")
@click.pass_context
def bench(
    ctx: click.Context,
    service: str,
    method: str,
    arguments: tuple[str, ...],
    config_path: str,
    concurrency: int | None,
    rate: float | None,
    duration: float,
    warmup: float,
    threads: bool,
    max_waiting: int | None,
    yes: bool,
    save: str | None,
    earlier: str | None,
    timeout: float | None,
    metadata: tuple[str, ...],
    interface: Any,
    as_json: bool,
) -> None:
    """Call METHOD of SERVICE over and over, and say how fast it is.

    The calls are real, and there are thousands. So the method must be marked idempotent, or --yes
    says that they do no harm. Arguments are those of bee call.

    \b
        bee bench calc add 1 2 --concurrency 64
        bee bench calc add 1 2 --rate 2000 --save before.json
        bee bench calc add 1 2 --rate 2000 --compare before.json

    Without --rate each caller waits for an answer before it calls again. With --rate calls begin at
    their planned times, and latencies run from there. The exit code is 1 when a call failed or the
    service could not keep up.
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    refuse_options("bench", service, method)
    _need_histograms()
    before = None if earlier is None else read_earlier(earlier)
    _check_folder(save)
    words = read_arguments(arguments)
    options: CallOptionsDict = {"timeout": timeout, "metadata": read_metadata(metadata)}
    load = Load(
        concurrency or (1 if rate is None else _OPEN_LOOP),
        duration,
        warmup,
        rate,
        max_waiting or max(_LEAST_QUEUE, round((rate or 0) * _QUEUE_SECONDS)),
    )
    config = without_listener(load_configuration(config_path))

    def one_call(client: Any) -> Callable[[], Any]:
        target = target_of(client, service, method, interface, options)
        args, kwargs = words if interface is None else with_messages(interface, method, *words)
        return partial(detailed, *target, *args, **kwargs)

    with build_client(config) as client:
        call = one_call(client)
        _ask_leave(client, service, method, interface, load, yes=yes)
        call()  # alone: what fails here would fail thousands of times
        if threads:
            course, seconds = _on_threads(client, call, load)
        else:
            client.close()
            course, seconds = _on_a_loop(config, one_call, load)
    from .results import describe, print_results  # after the extra was asked for

    result = describe(_setting(service, method, arguments, load, threads=threads), course, seconds)
    compared = None if before is None else compare(before, result)
    if save is not None:
        Path(save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(result if compared is None else result | {"comparison": compared})
    else:
        print_results(result)
        if before is not None and compared is not None:
            print_comparison(before, result, compared)
    if course.ending == "interrupted":
        ctx.exit(INTERRUPTED)
    _judge(result, load)


def _need_histograms() -> None:
    try:
        import hdrh.histogram  # noqa: F401
    except ImportError as error:
        raise UnusableCommandError(
            f"bee bench needs a package that is not installed ({error});"
            " run: pip install 'bee-rpc[hdrhistogram]'"
        ) from error


def _check_folder(save: str | None) -> None:
    """Say before the run that its result cannot be kept.

    Raises:
        UnusableCommandError: There is no such folder.
    """
    if save is not None and not Path(save).absolute().parent.is_dir():
        raise UnusableCommandError(f"--save {save}: there is no such folder")


def _ask_leave(
    client: Client, service: str, method: str, interface: Any, load: Load, *, yes: bool
) -> None:
    """Say what will be called, or refuse to.

    Raises:
        UnusableCommandError: The method may not run over and over, as far as is known.
    """
    explanation = client.explain(service, method, interface=interface)
    if not (yes or explanation.setting("idempotent").value):
        raise UnusableCommandError(
            f"bee bench would call {service}.{method} thousands of times, for real, and the method"
            " is not known to be idempotent; give --yes if the calls do no harm, or mark it:"
            f" methods: {{{method}: {{idempotent: true}}}}"
        )
    urls = [node.url for node in explanation.known.fitting]
    shown = ", ".join(urls[:_NODES_SHOWN]) + (", …" if len(urls) > _NODES_SHOWN else "")
    pace = "as fast as they are answered" if load.rate is None else f"{load.rate:g} a second"
    echo(
        f"calling {service}.{method} for real: {pace}, at most {load.concurrency} in flight, for"
        f" {load.duration:g} s after {load.warmup:g} s of warm-up;"
        f" nodes that fit: {len(urls)} ({shown})",
        err=True,
    )


@contextmanager
def _on_ctrl_c(then: Callable[[], None]) -> Iterator[None]:
    """Run something at the first Ctrl-C. The second one ends the command at once."""

    def first(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        then()

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _on_threads(client: Client, call: Callable[[], Any], load: Load) -> tuple[Course, float]:
    from .on_threads import Callers
    from .progress import progress

    course = Course(load, perf_counter())
    callers = Callers(course, call, client.close)
    with _on_ctrl_c(partial(course.end, "interrupted")), progress(course) as show:
        return course, course.measured(callers.run(show))


def _on_a_loop(
    config: Config, one_call: Callable[[Any], Callable[[], Any]], load: Load
) -> tuple[Course, float]:
    from .on_a_loop import Callers
    from .progress import progress

    async def work() -> tuple[Course, float]:
        async with build_async_client(config) as client:
            call = one_call(client)
            await call()  # connects, also where there is no warm-up
            course = Course(load, perf_counter())
            callers = Callers(course, call)
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, callers.interrupt)
            try:
                with progress(course) as show:
                    return course, course.measured(await callers.run(show))
            finally:
                loop.remove_signal_handler(signal.SIGINT)

    loop = new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        close_loop(loop)


def _setting(
    service: str, method: str, arguments: tuple[str, ...], load: Load, *, threads: bool
) -> dict[str, Any]:
    """What was called, and how, for the result. Arguments may be secret, so a digest is kept."""
    digest = hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:16]
    return {
        "bee": __version__,
        "python": platform.python_version(),
        "service": service,
        "method": method,
        "arguments": digest if arguments else "",
        "driver": "threads" if threads else "asyncio",
        "loop": "closed" if load.rate is None else "open",
        "rate": load.rate,
        "concurrency": load.concurrency,
        "duration": load.duration,
        "warmup": load.warmup,
    }


def _judge(result: Mapping[str, Any], load: Load) -> None:
    """Say why the run is no success.

    Raises:
        click.ClickException: A call failed, none was answered, or the service could not keep up.
    """
    if not result.get("kept_up", True):
        never = result["never_begun"]
        left = f"{never:,} planned calls never began" if never else "calls waited until the end"
        raise click.ClickException(
            f"the service cannot keep up with {load.rate:g} calls a second and"
            f" {load.concurrency} in flight: {left}, and {result['per_second']:,.1f} a second were"
            " answered; lower --rate, or raise --concurrency if the service has room"
        )
    if not result["answered"]:
        raise click.ClickException("no call was answered in the time measured")
    if result["failed"]:
        click.get_current_context().exit(FAILED)
