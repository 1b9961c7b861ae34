"""Measures the token endpoints beside djangorestframework-simplejwt's: CPU milliseconds of the server for one request.

Both serve plain HTTP on the loopback address from SQLite in WAL mode with `synchronous=FULL`; SimpleJWT by gunicorn
with one worker and the keep-alive of its thread worker. The same load asks both, in turn: clients with a connection
and a session of their own each. What the load itself costs does not count.

A login is for the most part a hash. So it is measured twice, of Tollgate's own users and of those in the site's table,
and each table of logins says what the hash costs by itself.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "RESULTS.md"
SIGNING_KEY = "a-signing-key-of-thirty-two-bytes-or-more"
PASSWORD = "correct-horse"
CLIENTS = 4
TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A server under measurement, with all processes that it starts."""

    def __init__(self, name, command, port, env=None):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL)

    def cpu(self):
        """Seconds of CPU so far, of the process and its living children."""
        total = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICK

    def wait(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                Client(self.port).post("/api/token/verify/", {"token": "x"})
                return
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended with {self.process.returncode}")
            time.sleep(0.1)
        sys.exit(f"{self.name} does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def children(pid):
    """The processes below this one."""
    below = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            below += [int(child), *children(int(child))]
    return below


class Client:
    """One connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


def log_in(client):
    status, pair = client.post("/api/token/", {"username": "ada", "password": PASSWORD})
    assert status == 200, pair
    return pair


def verify(client, pair):
    status, answer = client.post("/api/token/verify/", {"token": pair["access"]})
    assert status == 200, answer
    return pair


def refresh(client, pair):
    status, answer = client.post("/api/token/refresh/", {"refresh": pair["refresh"]})
    assert status == 200, answer
    return answer


def obtain(client, _pair):
    return log_in(client)


# What is asked, and which Tollgate it is asked of.
ACTIONS = [
    ("verify", verify, "tollgate"),
    ("refresh", refresh, "tollgate"),
    ("obtain, each with its own hash", obtain, "tollgate"),
    ("obtain, both with the site's table", obtain, "tollgate-on-django"),
]


def measure(server, action, seconds):
    """CPU milliseconds of the server for one request, and requests a second."""
    ready, go, counts = threading.Barrier(CLIENTS + 1), threading.Event(), [0] * CLIENTS

    def work(at):
        client = Client(server.port)
        pair = log_in(client)
        ready.wait()
        go.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pair = action(client, pair)
            counts[at] += 1

    threads = [threading.Thread(target=work, args=[at]) for at in range(CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    before, start = server.cpu(), time.monotonic()
    go.set()
    for thread in threads:
        thread.join()
    spent, took = server.cpu() - before, time.monotonic() - start
    done = sum(counts)
    if not done:
        sys.exit(f"{server.name}: no request was answered")
    return 1000 * spent / done, done / took


def hash_cost(python):
    """CPU milliseconds of one PBKDF2 hash as Django makes it by default."""
    code = (
        "import time, django; from django.conf import settings; settings.configure(); django.setup();"
        "from django.contrib.auth.hashers import make_password;"
        "make_password('x'); t=time.process_time(); [make_password('x') for _ in range(5)];"
        "print((time.process_time()-t)*200)"
    )
    return float(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout)


def start_simplejwt(python, folder):
    env = {"SITE_SIGNING_KEY": SIGNING_KEY, "SITE_DATABASE": str(folder / "site.sqlite3"), "PYTHONPATH": str(HERE)}
    subprocess.run([python, HERE / "simplejwt_site.py"], check=True, env={**os.environ, **env})
    command = [
        Path(python).parent / "gunicorn", "--bind", "127.0.0.1:18091", "--workers", "1", "--threads", str(CLIENTS),
        "--worker-class", "gthread", "--keep-alive", "60", "--log-level", "error", "--chdir", HERE, "simplejwt_site:application",
    ]
    return Server("simplejwt", command, 18091, env)


def start_tollgate(program, folder, name, port, users="own"):
    """A gateway with its own store; `users` is what stands in the file."""
    folder = folder / name
    folder.mkdir()
    (folder / "gateway.yaml").write_text(
        f"""
server: {{ listeners: {{ address: "127.0.0.1:{port}" }}, workers: 1 }}
admin: {{ address: "127.0.0.1:{port + 1}" }}
issuer:
  store: sqlite://tollgate.db
  users: {users}
  algorithm: HS256
  signing_key: "${{SIGNING_KEY}}"
observability: {{ access_log: {{ to: "off" }} }}
upstreams: {{ echo: {{ builtin: echo }} }}
routes: [ {{ match: {{ path: /* }}, auth: none, upstream: echo }} ]
"""
    )
    command = [program, "--config", folder / "gateway.yaml"]
    environment = {**os.environ, "SIGNING_KEY": SIGNING_KEY}
    if users == "own":
        add = [*command, "user", "add", "ada", "--password-stdin"]
        subprocess.run(add, check=True, input=PASSWORD + "\n", text=True, stdout=subprocess.DEVNULL, env=environment)
    return Server(name, [*command, "run"], port, environment)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tollgate", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--argon2id", required=True, type=float, help="what one costs Tollgate, in milliseconds")
    parser.add_argument("--pbkdf2", required=True, type=float, help="likewise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollgate-issuer-") as folder:
        folder = Path(folder)
        site = f"{{ django: {{ database: 'sqlite://{folder / 'site.sqlite3'}' }} }}"
        servers = [
            start_simplejwt(options.python, folder),
            start_tollgate(options.tollgate, folder, "tollgate", 18092),
            start_tollgate(options.tollgate, folder, "tollgate-on-django", 18094, site),
        ]
        try:
            for server in servers:
                server.wait()
            table = run(servers, options)
        finally:
            for server in servers:
                server.stop()
    own, ours, theirs = options.argon2id, options.pbkdf2, hash_cost(options.python)
    table += (
        "\n| one hash of a password | ms of CPU |\n| --- | --- |\n"
        f"| Django's default, PBKDF2, by Python's hashlib | {theirs:.1f} |\n"
        f"| the same by Tollgate | {ours:.1f} |\n"
        f"| argon2id, with which Tollgate keeps its own users' passwords | {own:.1f} |\n"
    )
    print(table)
    if options.write:
        text = RESULTS.read_text()
        text = re.sub(r"(?s)(<!-- issuer -->\n).*?(<!-- /issuer -->)", lambda m: m[1] + table + m[2], text)
        RESULTS.write_text(text)


def run(servers, options):
    lines = [
        "| action | SimpleJWT, ms of CPU | Tollgate, ms of CPU | SimpleJWT / Tollgate | requests/s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, action, gateway in ACTIONS:
        costs, rates = {}, {}
        compared = [server for server in servers if server.name in ("simplejwt", gateway)]
        for turn in range(options.rounds + 1):
            for server in compared:
                cost, rate = measure(server, action, options.seconds)
                # The first round only warms up.
                if turn:
                    costs.setdefault(server.name, []).append(cost)
                    rates.setdefault(server.name, []).append(rate)
        theirs, ours = (statistics.median(costs[server.name]) for server in compared)
        speeds = ", ".join(f"{statistics.median(rates[server.name]):.0f}" for server in compared)
        lines.append(f"| {name} | {theirs:.3f} | {ours:.4f} | {theirs / ours:.1f} | {speeds} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
