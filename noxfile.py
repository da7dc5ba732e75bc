"""Sessions: tests, registries, lint, typing, wheel; slow, writes, fuzz and bench on demand.

``nox -s tests`` needs nothing but nox. It takes four minutes on two idle cores, and it says
at its start how long. The tests run on the interpreter that runs nox; ``nox -s tests-3.10`` …
``tests-3.13`` take another one.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
SOURCES = ["bee_core", "plugins"]
USUAL = "not slow and not registries"
# Tests run in workers even one by one: a worker that is stuck is replaced, and the run goes on.
# Four on two cores: many tests wait for processes and leases.
SIDE_BY_SIDE = ["-n", "4", "--dist", "loadfile"]
SERVERS_APART = ["-n", "2", "--dist", "load"]
ONE_BY_ONE = ["-n", "1", "--dist", "loadfile"]
# Many programs are started, and each would compile all its modules anew; so would each worker
# the tests, whose assertions pytest rewrites.
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": None}
NATIVE = ["bee_core/streams/client/_exchange", "bee_plugins/codecs/_plain"]
# What can break in a wheel without the native parts: all that makes calls, which then go the path
# in Python, and what may work beside the sources only. All other modules are those of the native
# wheel, file by file (``files_of``), and the session tests runs them.
OF_THE_WHEEL = [
    *("calls", "cli", "client", "control", "methods", "plugins", "server", "streams", "testing"),
    *("test_deploy_example.py", "test_errors.py", "test_hookspecs.py", "test_readme.py"),
    *("test_troubleshooting.py", "wire/test_wire_conversations.py"),
]
PROGRAMS = ["tests", "examples", "benchmarks", "noxfile.py"]
PAGES = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md"]
BESIDE_THE_SOURCES = ["tests", "docs", "examples", "benchmarks", "pyproject.toml", *PAGES]

nox.needs_version = ">=2024.10"
nox.options.sessions = ["tests", "registries", "lint", "typing", "wheel"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True


def has_compiler() -> bool:
    return sys.platform != "win32" and shutil.which("cc") is not None


def run_tests(session: nox.Session) -> None:
    # With the native exchange, where there is a compiler; the session wheel runs without it.
    # BEE_NATIVE=0 or 1 in the environment chooses.
    # Only the install demands it: programs that tests start in this folder may run the sources.
    native = "BEE_NATIVE" not in os.environ and has_compiler()
    # Installed, and not editable: a file that the wheel forgets is missed here already.
    session.install(".[all,test]", env={"BEE_NATIVE": "1"} if native else {})
    words = session.posargs or ["-m", USUAL, *SIDE_BY_SIDE]
    session.run("pytest", *words, env=COMPILED_ONCE)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes: long fuzzing, long ledgers.

    Before a release, and after a change of what they are about.
    """
    session.install(".[all,test]")
    words = ["-m", "slow", "--timeout=600", *ONE_BY_ONE, *session.posargs]
    session.run("pytest", *words, env=COMPILED_ONCE)


@nox.session
def registries(session: nox.Session) -> None:
    """Break etcd, Consul and ZooKeeper under load, as far as they are installed.

    The tests wait minutes for leases to run out, so they are not among the usual ones.
    """
    session.install(".[all,test]")
    words = ["-m", "registries", *SERVERS_APART, *session.posargs]
    session.run("pytest", *words, env=COMPILED_ONCE)


@nox.session(default=False)
def model(session: nox.Session) -> None:
    """Drive registry, servers and clients through 10,000 random histories in virtual time."""
    session.install(".[all,test]")
    campaign = ["--hypothesis-profile=campaign", "-n", "2", "--dist", "load"]
    session.run("pytest", "tests/model", *campaign, *session.posargs, env=COMPILED_ONCE)


@nox.session(default=False)
def writes(session: nox.Session) -> None:
    """Make 10,000 writes under random kills with each plugin, and print how they ended.

    It takes half an hour: ``nox -s writes -- p2c "faults at the server" --writes 2000`` takes less.
    """
    session.install(".[all,test]")
    session.run("python", "tests/cluster/writes_program.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the installed distribution."""
    run_tests(session)


for version in PYTHONS:
    nox.session(run_tests, python=version, name=f"tests-{version}", default=False)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, the format, and that no function is hard to read (cognitive complexity)."""
    session.install("ruff>=0.9", "complexipy>=4")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("complexipy", *SOURCES, "--max-complexity-allowed", "25", "--failed", "--quiet")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types: the sources by mypy, what users see by mypy and pyright."""
    session.install("-e", ".[dev]")
    session.run("mypy", "--strict", *SOURCES)
    session.run("mypy", "--strict", "tests/typing")
    session.run("pyright", "tests/typing")
    with session.chdir("examples/shop"):
        session.run("mypy", "--strict", ".")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheels, look into them, and run tests against the one of pure Python.

    It runs far from the sources, and without the native exchange; the session tests has that.
    So it runs the tests of what these two can break. All others would prove the same again.
    """
    session.install("build>=1.2")
    built = Path(session.create_tmp()).resolve() / "dist"
    native: set[str] | None = None
    shutil.rmtree(built, ignore_errors=True)
    build = ["python", "-m", "build", "--outdir"]
    if has_compiler():
        # Through the source distribution, which needs all that the compiler is given.
        session.run(*build, str(built / "native"), str(ROOT), env={"BEE_NATIVE": "1"})
        (file,) = (built / "native").glob("*.whl")
        check_top_level(session, file)
        check_native(session, file, native=True)
        native = files_of(file)
    # Where there is no compiler, bee installs all the same.
    without = {"CC": "no-such-compiler", "BEE_NATIVE": ""}
    session.run(*build, str(built / "without"), "--wheel", str(ROOT), env=without)
    (file,) = (built / "without").glob("*.whl")
    check_native(session, file, native=False)
    session.env["BEE_NATIVE"] = "0"
    session.run(*build, str(built), "--wheel", str(ROOT))
    (file,) = built.glob("*.whl")
    check_top_level(session, file)
    check_native(session, file, native=False)
    if native is not None and (differ := native ^ files_of(file)):
        session.error(f"only one of the wheels, native and pure, has {sorted(differ)}")

    session.run("python", "-m", "venv", "--clear", str(built / "venv"))
    programs = built / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    session.run(
        str(programs / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        f"{file}[all,test]",
        external=True,
    )
    away = built / "away"
    for name in BESIDE_THE_SOURCES:
        copy(ROOT / name, away / name)
    session.chdir(away)
    # By its script, pytest leaves the working directory off the path: bee comes from the wheel.
    files = [f"tests/{name}" for name in OF_THE_WHEEL]
    session.run(
        str(programs / "pytest"),
        *(session.posargs or ["-m", USUAL, *SIDE_BY_SIDE, *files]),
        external=True,
        env={"PYTHONPATH": None, **COMPILED_ONCE},
    )


def files_of(file: Path) -> set[str]:
    """The files of a wheel that are on every system: modules, types and data."""
    with zipfile.ZipFile(file) as archive:
        return {
            name
            for name in archive.namelist()
            if ".dist-info/" not in name and not name.endswith((".so", ".pyd"))
        }


def check_top_level(session: nox.Session, file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    packages = {name for name in top if not name.endswith(".dist-info")}
    if packages != {"bee_core", "bee_plugins"}:
        session.error(
            f"the wheel's top level is {sorted(packages)}, and must be bee_core and bee_plugins"
        )
    for needed in ("bee_core/py.typed", "bee_plugins/py.typed"):
        if needed not in names:
            session.error(f"the wheel lacks {needed}")


def check_native(session: nox.Session, file: Path, *, native: bool) -> None:
    """A wheel with the native parts is for one Python on one system, the other for all."""
    with zipfile.ZipFile(file) as archive:
        compiled = [name for name in archive.namelist() if name.endswith((".so", ".pyd", ".c"))]
    places = sorted(name.partition(".")[0] for name in compiled)
    if native == file.name.endswith("-py3-none-any.whl") or places != NATIVE * native:
        session.error(f"{file.name} must {'' if native else 'not '}be native; it has {compiled}")


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@nox.session(default=False, python=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz every decoder, guided by coverage: ``nox -s fuzz -- [SECONDS [HARNESS ...]]``.

    Each harness runs for a minute when nothing is said. What is found stays in .nox/fuzz.

    It needs CPython 3.11 to 3.13 on Linux: for these, atheris comes as a wheel.
    """
    seconds, *names = session.posargs or ["60"]
    folder = ROOT / ".nox" / "fuzz"
    programs = folder / "venv" / "bin"
    if not (programs / "python").exists():
        session.run(
            find_python_for_atheris(session),
            "-m",
            "venv",
            "--clear",
            str(folder / "venv"),
            external=True,
        )
    session.run(
        str(programs / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "atheris>=3.0",
        f"{ROOT}[all]",
        external=True,
    )
    run = [str(programs / "python"), str(ROOT / "tests" / "fuzz" / "run.py")]
    known = (
        str(session.run(*run, external=True, silent=True)).splitlines()[-1].split()
    )  # atheris reports on other lines
    if unknown := set(names) - set(known):
        session.error(
            f"there is no harness {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    for name in names or known:
        bounds = [
            f"-max_total_time={seconds}",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=4096",
            "-print_final_stats=1",
        ]
        session.log(f"{name}: {seconds} s")
        session.run(
            *run,
            name,
            str(folder / "corpus" / name),
            f"-artifact_prefix={folder}/{name}-",
            *bounds,
            external=True,
        )


def find_python_for_atheris(session: nox.Session) -> str:
    if (
        sys.platform == "linux"
        and sys.implementation.name == "cpython"
        and (3, 11) <= sys.version_info < (3, 14)
    ):
        return sys.executable
    for name in ("python3.13", "python3.12", "python3.11"):
        path = shutil.which(name)
        # One that is found may still be a shim for a Python that is not there.
        if path and str(
            session.run(path, "--version", external=True, silent=True, success_codes=range(256))
        ).startswith("Python 3."):
            return path
    return session.error(
        "atheris, which guides the fuzzing, has wheels for CPython 3.11 to 3.13 on Linux: "
        "install one of them, so that python3.12, say, is on the PATH"
    )


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the headlines beside peers in under ten minutes; needs a quiet machine."""
    session.install("-e", ".[bench]")  # the native part lies beside the sources, which run
    session.run("python", "-m", "benchmarks", "run", "--quick", *session.posargs)


@nox.session(default=False, name="bench-full")
def bench_full(session: nox.Session) -> None:
    """Measure everything beside peers, for an hour or two; needs a quiet machine."""
    session.install("-e", ".[bench]")  # the native part lies beside the sources, which run
    session.run("python", "-m", "benchmarks", "run", *session.posargs)


@nox.session(default=False)
def instructions(session: nox.Session) -> None:
    """Count the instructions of a call, and compare them with the committed table.

    In the sources, by the path in Python: whether there is a compiler makes no difference.
    """
    session.install(".[all]")
    session.run("python", "-m", "benchmarks", "instructions", *(session.posargs or ["--pure"]))
