"""One harness under atheris.

``python run.py HARNESS CORPUS [option of libFuzzer …]``; without arguments it tells the harnesses'
names, on the last line.

The corpus is a folder; it is filled with the seeds at first, and keeps what was found from one run
to the next.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bee_core", "bee_plugins", "harnesses"]):
    from harnesses import all_harnesses, seeds

    HARNESSES = all_harnesses()  # here, since it imports the plugins


def main() -> None:
    if len(sys.argv) < 3:
        sys.stdout.write(f"{' '.join(HARNESSES)}\n")
        return
    name, corpus, *options = sys.argv[1:]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (folder / hashlib.sha256(seed).hexdigest()[:32]).write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, corpus], HARNESSES[name])
    atheris.Fuzz()


main()
