"""The file that bee was asked to accept, with an etcd at its address: ``seed_program.py FOLDER``.

Ports are the file's own, so it runs in a network namespace if there is one. It writes to standard
output, as JSON, what each command printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bee_core.cli.demo.registry_server import EtcdServer

folder = Path(sys.argv[1])
config = str(folder / "bee.yml")
BEE = [sys.executable, "-m", "bee_core"]


def run(*command: str) -> dict[str, object]:
    done = subprocess.run(
        [*BEE, *command], capture_output=True, text=True, timeout=30, cwd=folder, check=False
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


etcd = EtcdServer(folder / "etcd")
etcd.address = "127.0.0.1:2379"
etcd.start()
try:
    server = subprocess.Popen(
        [*BEE, "serve", "app.py:Test", "--config", config],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert server.stderr is not None
    log = []
    for line in server.stderr:
        log.append(line)
        if ": registered " in line:
            break
    said = {
        "call": run("call", "test", "echo", '"hello"', "--config", config),
        "nodes": run("nodes", "test", "--json", "--config", config),
        "newer": run("call", "test", "echo", '"hello"', "--config", str(folder / "newer.yml")),
    }
    server.terminate()
    said["log"] = log + list(server.stderr)
    said["code"] = server.wait(30)
    sys.stdout.write(json.dumps(said))
finally:
    etcd.stop()
