"""Ranges give the answers of npm's own package ``semver``, on generated ranges and versions.

Needs Node.js and a way to install the package; skipped where either is missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from random import Random

import pytest

from bee_core.terms.versions import Range, parse_version

RANGES = int(os.environ.get("BEE_NPM_RANGES", "2000"))  # each with VERSIONS_EACH versions
VERSIONS_EACH = 8

ANSWER = """
const semver = require('semver');
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(cases.map(([range, versions]) => [semver.validRange(range), versions.map(v => semver.satisfies(v, range))])));
"""


@pytest.fixture(scope="session")
def npm_semver(tmp_path_factory):
    """A folder in which Node.js finds the package ``semver``."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text("{}")
    try:
        subprocess.run(
            ["npm", "install", "semver@7", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=40,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot install the package semver: {error}")
    return folder


def ask_npm(folder, cases):
    done = subprocess.run(
        ["node", "-e", ANSWER],
        cwd=folder,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


# ── generated text ────────────────────────────────────────────────────────────────────────────────
# Small numbers meet often, so that ranges and versions touch at their edges.

NUMBERS = ["0", "0", "1", "1", "2", "3", "10"]
RARE_NUMBERS = ["01", "9007199254740991", "9007199254740992", "99999999999999999999999"]
PRERELEASES = [
    "0",
    "1",
    "2",
    "10",
    "alpha",
    "alpha.1",
    "alpha.2",
    "beta",
    "rc.1",
    "x",
    "0.0",
    "-",
    "a-b",
    "1a",
    "alpha.01",
    "v1",
]


def pick_number(rng):
    return rng.choice(RARE_NUMBERS) if rng.random() < 0.01 else rng.choice(NUMBERS)


def generated_version(rng):
    text = ".".join(pick_number(rng) for _ in range(3))
    if rng.random() < 0.4:
        text += "-" + rng.choice(PRERELEASES)
    if rng.random() < 0.05:
        text += "+build." + rng.choice("017a-")
    return text


def partial(rng):
    parts = [
        rng.choice("xX*") if rng.random() < 0.15 else pick_number(rng)
        for _ in range(rng.choice([1, 2, 2, 3, 3, 3]))
    ]
    text = rng.choice(["", "", "", "", "", "v", "=", "v=", "= "]) * (rng.random() < 0.3) + ".".join(
        parts
    )
    if len(parts) == 3 and rng.random() < 0.3:
        text += "-" + rng.choice(PRERELEASES)
    if rng.random() < 0.04:
        text += "+build.1"
    return text


def word(rng):
    sign = rng.choice(
        ["", "", "<", "<=", ">", ">=", "=", "~", "~>", "^", "^", "==", ">>", "=<"]
        if rng.random() < 0.2
        else ["", "<", "<=", ">", ">=", "~", "^"]
    )
    return sign + (" " * rng.choice([0, 0, 0, 0, 1, 2])) + partial(rng)


def conjunction(rng):
    if rng.random() < 0.15:
        return f"{partial(rng)} - {partial(rng)}"
    return rng.choice([" ", " ", "  ", "\t"]).join(
        word(rng) for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 3]))
    )


def mutated(text, rng):
    at = rng.randrange(len(text) + 1)
    return rng.choice(
        [
            text[:at] + text[at + 1 :],
            text[:at] + rng.choice("0123x*.-+~^<>=| v\t\u00a0\x1fa!") + text[at:],
            text[:at] + text[at:][::-1],
        ]
    )


def generated_range(rng):
    text = rng.choice([" || ", "||", " ||"]).join(
        conjunction(rng) for _ in range(rng.choice([1, 1, 1, 1, 2, 3]))
    )
    if rng.random() < 0.15:
        text = mutated(text, rng)
    return text


def bee_canonical(text):
    try:
        return Range.parse(text).canonical
    except ValueError:
        return None


def bee_matches(version, text):
    try:
        return Range.parse(text).matches(parse_version(version))
    except ValueError:
        return False


def differences(cases, answers):
    found = []
    for (text, versions), (canonical, matches) in zip(cases, answers, strict=True):
        if re.search(r"=\s*=", text):
            continue  # refused on purpose, whatever npm makes of it
        if bee_canonical(text) != canonical:
            found.append(f"range {text!r}: npm reads {canonical!r}, bee {bee_canonical(text)!r}")
        found += [
            f"version {version!r} in {text!r}: npm says {expected}, bee {not expected}"
            for version, expected in zip(versions, matches, strict=True)
            if bee_matches(version, text) is not expected
        ]
    return found


# ── the comparison ────────────────────────────────────────────────────────────────────────────────


def test_generated_ranges_are_read_and_answered_as_npm_does(npm_semver):
    rng = Random(int(os.environ.get("BEE_NPM_SEED", "20")))
    cases = [
        (generated_range(rng), [generated_version(rng) for _ in range(VERSIONS_EACH)])
        for _ in range(RANGES)
    ]
    answers = ask_npm(npm_semver, cases)
    assert differences(cases, answers) == []
    # Otherwise the comparison would say little.
    assert sum(canonical is None for canonical, _ in answers) > RANGES / 20
    assert sum(any(matches) for _, matches in answers) > RANGES / 5


def test_every_form_of_the_grammar_on_a_grid_of_versions_answers_as_npm_does(npm_semver):
    signs = ["", "=", "<", "<=", ">", ">=", "~", "~>", "^"]
    partials = [
        "0",
        "1",
        "x",
        "0.0",
        "0.1",
        "1.2",
        "1.x",
        "0.0.0",
        "0.0.3",
        "0.2.3",
        "1.2.3",
        "1.2.x",
        "x.x.x",
        "0.0.0-0",
        "0.0.3-b",
        "0.2.3-b",
        "1.2.3-b",
        "1.2.3-b.2",
    ]
    hyphens = [f"{low} - {high}" for low in partials for high in partials]
    versions = [
        f"{a}.{b}.{c}{pre}"
        for a in (0, 1, 2)
        for b in (0, 1, 2, 3)
        for c in (0, 3, 4)
        for pre in ("", "-0", "-a", "-b", "-b.10")
    ]
    cases = [
        (text, versions)
        for text in [sign + partial for sign in signs for partial in partials] + hyphens
    ]
    assert differences(cases, ask_npm(npm_semver, cases)) == []


def test_a_comma_answers_as_the_space_does_in_npm(npm_semver):
    rng = Random(21)
    cases = []
    while len(cases) < RANGES // 8:
        left, right = word(rng), word(rng)
        cases.append(
            (
                f"{left} {right}",
                [generated_version(rng) for _ in range(VERSIONS_EACH)],
                f"{left}, {right}",
            )
        )
    answers = ask_npm(npm_semver, [(spaced, versions) for spaced, versions, _ in cases])
    assert differences([(comma, versions) for _, versions, comma in cases], answers) == []
