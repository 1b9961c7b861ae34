"""Measures one proxied request: CPU microseconds of each proxy, in interleaved rounds. Started by scripts/bench."""

import argparse
import contextlib
import http.client
import os
import platform
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import load
from material import Material
from peers import PEERS, REVOCATIONS, Bench, start, start_upstream

RESULTS = Path(__file__).parent.parent / "RESULTS.md"


@dataclass
class Case:
    """What is asked of the proxies, over TLS 1.3."""

    title: str
    algorithm: str | None = None
    tokens: int = 1
    http2: bool = False


CASES = {
    "h1-tls-plain": Case("HTTP/1.1, no check"),
    "h1-tls-rs256-hot": Case("HTTP/1.1, one hot RS256 token", "RS256"),
    "h1-tls-rs256-10k": Case("HTTP/1.1, 10,000 RS256 tokens in turn", "RS256", tokens=10_000),
    "h1-tls-hs256-hot": Case("HTTP/1.1, one hot HS256 token", "HS256"),
    "h1-tls-es256-hot": Case("HTTP/1.1, one hot ES256 token", "ES256"),
    "h2-tls-plain": Case("HTTP/2, no check", http2=True),
    "h2-tls-rs256-hot": Case("HTTP/2, one hot RS256 token", "RS256", http2=True),
}

# What is asked with --revocations: a token that its worker knows, and tokens that are looked up again and again.
REVOCATION_CASES = ["h1-tls-rs256-hot", "h1-tls-rs256-10k"]

# The marks of the case h1-tls-rs256-hot: Tollgate at most so many times that peer.
MARKS = [("haproxy", 1.15), ("haproxy-jwt", 0.5), ("envoy-jwt-cache", 0.55)]


@dataclass
class Subject:
    """One proxy in one case, with a figure for each round."""

    peer: str
    server: object
    micros: list = field(default_factory=list)
    rates: list = field(default_factory=list)
    # After all rounds.
    resident_mib: float = 0


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        # Servers that drop root read their files here.
        folder.chmod(0o755)
        material = Material(folder)
        upstream = start_upstream(folder)
        stack.callback(upstream.stop)
        bench = Bench(folder, material, upstream.port, options.envoy, options.tollgate)
        table = []
        for name in options.case:
            print(f"{name}: {CASES[name].title}", file=sys.stderr)
            table.append((name, measure(bench, name, options)))
    text = render_revocations(table, options) if options.revocations else render(table, options)
    print(text)
    if options.write:
        write_results(text, "scripts/bench --revocations" if options.revocations else "scripts/bench")


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="a case; may be repeated; default: all")
    parser.add_argument("--peers", help=f"those to measure, joined by commas: {','.join(PEERS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the warm-up; default 5")
    parser.add_argument("--seconds", type=int, default=3, help="length of each round; default 3")
    parser.add_argument("--revocations", action="store_true", help="Tollgate without and with 1,000,000 revocations")
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    parser.add_argument("--envoy", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tollgate", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.revocations and (options.case or options.peers):
        parser.error("--revocations has its own cases and peers")
    options.case = options.case or (REVOCATION_CASES if options.revocations else list(CASES))
    if options.revocations:
        options.peers = list(REVOCATIONS)
        return checked(parser, options)
    options.peers = options.peers.split(",") if options.peers else list(PEERS)
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(unknown)}")
    return checked(parser, options)


def checked(parser, options):
    if not 1 <= options.rounds <= 50 or not 1 <= options.seconds <= 30:
        parser.error("1 to 50 rounds of 1 to 30 seconds")
    return options


def measure(bench, name, options):
    """The subjects of one case with their figures; peers that can't take part are left out."""
    case = CASES[name]
    # Bare forwarding is measured beside each check: ratios hold only within one run.
    peers = [peer for peer in options.peers if case.algorithm or not checks(peer)]
    with contextlib.ExitStack() as stack:
        tokens = None
        if case.algorithm:
            tokens = bench.folder / f"{name}.tokens"
            tokens.write_text("\n".join(bench.material.tokens(case.algorithm, case.tokens)) + "\n")
        subjects = []
        for peer in peers:
            server = start(bench, peer, case.algorithm)
            stack.callback(server.stop)
            if peer in REVOCATIONS:
                wait_until_loaded(server)
            prove(server, tokens, checks(peer))
            subjects.append(Subject(peer, server))
        for number in range(options.rounds + 1):
            for subject in subjects:
                micros, rate = one_round(subject, case, tokens, options.seconds)
                if number == 0:
                    continue  # the warm-up
                subject.micros.append(micros)
                subject.rates.append(rate)
                print(f"  {number} {subject.peer:16} {micros:6.1f} µs {rate:8.0f}/s", file=sys.stderr)
        for subject in subjects:
            subject.resident_mib = subject.server.resident_mib()
    return subjects


def checks(peer):
    return PEERS.get(peer, True)


def wait_until_loaded(server):
    """Until then it answers tokens with 503."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if "revocations are loaded" in server.log.read_text():
            return
        time.sleep(0.1)
    raise SystemExit(f"error: {server.name} does not load its revocations:\n{server.log.read_text()[-2000:]}")


def one_round(subject, case, tokens, seconds):
    generate = load.h2load if case.http2 else load.wrk
    before, began = subject.server.cpu_seconds(), time.monotonic()
    try:
        requests = generate(subject.server.port, seconds, tokens)
    except load.Refused as refused:
        raise SystemExit(f"error: {subject.peer}: a round with errors counts for nothing: {refused}") from refused
    spent = subject.server.cpu_seconds() - before
    return spent / requests * 1e6, requests / (time.monotonic() - began)


def prove(server, tokens, checks):
    """That the proxy does what is measured: forwards the right answer, and refuses what it must."""
    good = {"Authorization": f"Bearer {tokens.read_text().split()[0]}"} if tokens else {}
    expect(server, good, 200)
    if checks:
        token = good["Authorization"]
        # Not its last character, whose low bits may be padding.
        spoilt = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
        expect(server, {}, 401)
        expect(server, {"Authorization": spoilt}, 401)


def expect(server, headers, status):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    version = connection.sock.version() if connection.sock else "TLSv1.3"
    connection.close()
    if answer.status != status or version != "TLSv1.3" or (status == 200 and len(body) != 128):
        raise SystemExit(
            f"error: {server.name} answers {answer.status} with {len(body)} bytes over {version} where "
            f"{status} was due; sent: {headers}\n{server.log.read_text()[-2000:]}"
        )


def render(table, options):
    lines = [
        f"Measured {time.strftime('%Y-%m-%d')} on {cpu_model()}, Linux {platform.release()}: CPU µs of the proxy per "
        f"request, median of {options.rounds} rounds of {options.seconds} s (lowest – highest), "
        f"one core; {versions(options)}.",
        "",
        "| case | " + " | ".join(options.peers) + " |",
        "| --- |" + " --- |" * len(options.peers),
    ]
    for name, subjects in table:
        cells = {subject.peer: cell(subject) for subject in subjects}
        lines.append(f"| `{name}` | " + " | ".join(cells.get(peer, "–") for peer in options.peers) + " |")
    for name, subjects in table:
        medians = {subject.peer: statistics.median(subject.micros) for subject in subjects}
        if name != "h1-tls-rs256-hot" or "tollgate-jwt" not in medians:
            continue
        lines += ["", "| mark | at most | measured | |", "| --- | --- | --- | --- |"]
        for peer, most in MARKS:
            if peer in medians:
                ratio = medians["tollgate-jwt"] / medians[peer]
                lines.append(f"| against `{peer}` | {most} | {ratio:.2f} | {'met' if ratio <= most else 'missed'} |")
    return "\n".join(lines)


def render_revocations(table, options):
    lines = [
        f"Measured {time.strftime('%Y-%m-%d')} on {cpu_model()}, Linux {platform.release()}: CPU µs of Tollgate per "
        f"request, median of {options.rounds} rounds of {options.seconds} s (lowest – highest), one core.",
        "",
        "| case | no revocation | 1,000,000 revocations | change | resident memory at the end |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, (none, million) in table:
        change = statistics.median(million.micros) / statistics.median(none.micros) - 1
        lines.append(
            f"| `{name}` | {cell(none)} | {cell(million)} | {change:+.1%} | "
            f"{none.resident_mib:.0f} and {million.resident_mib:.0f} MiB |"
        )
    return "\n".join(lines)


def cell(subject):
    return f"{statistics.median(subject.micros):.1f} ({min(subject.micros):.1f} – {max(subject.micros):.1f})"


def cpu_model():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores"


def versions(options):
    def first(pattern, *command):
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        found = re.search(pattern, output)
        return found[1] if found else "?"

    said = {
        "nginx": lambda: "nginx " + first(r"nginx/(\S+)", "nginx", "-v"),
        "haproxy": lambda: "HAProxy " + first(r"version (\d+\.\d+\.\d+)", "haproxy", "-v"),
        "envoy": lambda: "Envoy " + first(r"/(\d+\.\d+\.\d+)/", str(options.envoy), "--version"),
        "tollgate": lambda: "Tollgate " + first(r"(\d+\.\d+\.\d+)", str(options.tollgate), "--version"),
    }
    return ", ".join(said[peer]() for peer in dict.fromkeys(peer.split("-")[0] for peer in options.peers))


def write_results(text, writer):
    begin, end = f"<!-- {writer} writes from here -->", "<!-- to here -->"
    head, rest = RESULTS.read_text().split(begin)
    tail = rest.split(end, 1)[1]
    RESULTS.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


if __name__ == "__main__":
    main()
