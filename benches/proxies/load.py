"""Load over loopback: wrk for HTTP/1.1, h2load for HTTP/2, both pinned away from the proxy."""

import json
import re
import subprocess
from pathlib import Path

from processes import LOAD_CORE

CONNECTIONS_H1 = 64
CONNECTIONS_H2, STREAMS_H2 = 16, 8


def wrk(port, seconds, tokens: Path | None):
    """Completed requests; an error in any of them ends the run."""
    script = Path(__file__).parent / "config" / "wrk.lua"
    output = run(
        "wrk", "-t1", f"-c{CONNECTIONS_H1}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script),
        f"https://127.0.0.1:{port}/", "--", str(tokens or ""),
        limit=seconds + 20,
    )
    result = json.loads(output.strip().splitlines()[-1])
    if result["errors"] or not result["requests"]:
        raise Refused(f"wrk: {result}")
    return result["requests"]


def h2load(port, seconds, tokens: Path | None):
    """As `wrk`; of several tokens it sends the first."""
    header = ["-H", f"authorization: Bearer {tokens.read_text().split()[0]}"] if tokens else []
    output = run(
        "h2load", "-t1", f"-c{CONNECTIONS_H2}", f"-m{STREAMS_H2}", f"-D{seconds}", *header,
        f"https://127.0.0.1:{port}/",
        limit=seconds + 20,
    )
    good, *bad = map(int, re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output).groups())
    failed, errored = map(int, re.search(r"(\d+) failed, (\d+) errored", output).groups())
    if sum(bad) or failed or errored or not good:
        raise Refused(f"h2load:\n{output}")
    return good


class Refused(Exception):
    """A round with errors or answers other than 2xx, whose figure must not count."""


def run(*command, limit):
    finished = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit,
    )
    if finished.returncode:
        raise Refused(finished.stdout)
    return finished.stdout
