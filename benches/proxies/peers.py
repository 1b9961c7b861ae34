"""The proxies: how each is set up and started for a case. One worker each, on one core, access log off."""

import contextlib
import shutil
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from material import AUDIENCE, ISSUER, Material
from processes import LOAD_CORE, PROXY_CORE, Server, free_port

CONFIG = Path(__file__).parent / "config"

# Each with whether it checks a token.
PEERS = {
    "nginx": False,
    "haproxy": False,
    "haproxy-jwt": True,
    "haproxy-jwt-claims": True,
    "envoy": False,
    "envoy-jwt": True,
    "envoy-jwt-cache": True,
    "tollgate": False,
    "tollgate-jwt": True,
}

# Tollgate with an issuer, whose store holds so many revocations; measured by scripts/bench --revocations alone.
REVOCATIONS = {"tollgate-jwt-0": 0, "tollgate-jwt-1m": 1_000_000}


@dataclass
class Bench:
    """What all proxies of one run share."""

    folder: Path
    material: Material
    upstream: int
    envoy: Path
    tollgate: Path

    def write(self, name, template, **values):
        text = self.fill(template, **values)
        path = self.folder / name
        path.write_text(text)
        return path

    def fill(self, template, **values):
        values = {
            "FOLDER": self.folder, "UPSTREAM": self.upstream, "ISSUER": ISSUER, "AUDIENCE": AUDIENCE,
            "CERTIFICATE": self.material.certificate, "CERTIFICATE_KEY": self.material.certificate_key,
            "COMBINED": self.material.combined, **values,
        }
        text = (CONFIG / template).read_text()
        # The innermost last: a check that is put in has marks of its own.
        for name, value in reversed(values.items()):
            text = text.replace(f"@{name}@", str(value))
        return text


def start_upstream(folder):
    port = free_port()
    text = (CONFIG / "upstream.conf").read_text().replace("@FOLDER@", str(folder)).replace("@PORT@", str(port))
    path = folder / "upstream.conf"
    path.write_text(text)
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path)]
    return Server("upstream", command, port, LOAD_CORE, folder / "upstream.log", folder)


def start(bench: Bench, peer, algorithm):
    """Starts `peer`; `algorithm` is None for a case without tokens."""
    port = free_port()
    name = f"{peer}-{algorithm or 'none'}"
    command = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "tollgate": tollgate}[peer.split("-")[0]](
        bench, name, peer, algorithm, port
    )
    return Server(peer, command, port, PROXY_CORE, bench.folder / f"{name}.log", bench.folder)


def nginx(bench, name, _peer, _algorithm, port):
    path = bench.write(f"{name}.conf", "nginx.conf", PORT=port)
    return ["nginx", "-e", "stderr", "-p", str(bench.folder), "-c", str(path)]


def haproxy(bench, name, peer, algorithm, port):
    check = ""
    if peer != "haproxy":
        key = bench.material.secret if algorithm == "HS256" else bench.material.public(algorithm)
        check = bench.fill("haproxy-check.cfg", ALGORITHM=algorithm, KEY=key)
        if peer.endswith("-claims"):
            check += bench.fill("haproxy-claims.cfg")
    path = bench.write(f"{name}.cfg", "haproxy.cfg", PORT=port, CHECK=check)
    return [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-q", "-f", str(path)]


def envoy(bench, name, peer, algorithm, port):
    check = ""
    if peer != "envoy":
        cache = ""
        if peer.endswith("-cache"):
            cache = " " * 26 + "jwt_cache_config: { jwt_cache_size: 20000 }"
        jwks = bench.folder / f"{algorithm}.jwks.json"
        check = bench.fill("envoy-check.yaml", JWKS=jwks, CACHE=cache)
    path = bench.write(f"{name}.yaml", "envoy.yaml", PORT=port, CHECK=check)
    return [str(bench.envoy), "--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c", str(path)]


def tollgate(bench, name, peer, algorithm, port):
    # A route without a check still needs a file that is valid as a whole.
    algorithm = algorithm or "RS256"
    keys = f"pem_file: {bench.material.public(algorithm)}"
    if algorithm == "HS256":
        keys = f"secret: file:{bench.folder / 'HS256.secret'}"
    auth = "none" if peer == "tollgate" else "{ providers: [company] }"
    issuer = ""
    if peer in REVOCATIONS:
        issuer = bench.fill("issuer.yaml", STORE=bench.folder / f"{name}.db", KEY_RING=bench.folder / "keys")
    values = {"PORT": port, "ALGORITHM": algorithm, "KEYS": keys, "AUTH": auth, "ISSUER_SECTION": issuer}
    path = bench.write(f"{name}.yaml", "gateway.yaml", **values)
    if peer in REVOCATIONS:
        revoke(bench, path, bench.folder / f"{name}.db", REVOCATIONS[peer])
    return [str(bench.tollgate), "run", "--config", str(path)]


def revoke(bench, config, database, count):
    """Makes the store of a gateway that does not run yet."""
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    for command, given in ((["key", "generate"], ""), (["user", "add", "ada", "--password-stdin"], "a-long-password\n")):
        subprocess.run(
            [str(bench.tollgate), *command, "--config", str(config)], input=given, text=True, check=True,
            stdout=subprocess.DEVNULL, cwd=bench.folder,
        )
    until = int(time.time()) + 86_400
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        rows = ((number, "token", ISSUER, f"revoked-{number}", until) for number in range(1, count + 1))
        connection.executemany(
            "INSERT INTO revocations (number, kind, issuer, name, expires_at) VALUES (?, ?, ?, ?, ?)", rows
        )
        connection.execute("UPDATE counters SET value = ? WHERE name = 'revocations'", (count,))
