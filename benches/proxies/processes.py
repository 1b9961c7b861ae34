"""Processes under measurement: pinned to one core, their CPU time read from /proc, ended with the run."""

import os
import signal
import socket
import subprocess
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")
LOAD_CORE = 0
PROXY_CORE = 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A program that listens on one port of the loopback address, with all processes that it starts."""

    def __init__(self, name, command, port, core, log, folder):
        self.name = name
        self.port = port
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, cwd=folder,
            )
        self.wait_until_listening()

    def wait_until_listening(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise SystemExit(f"error: {self.name} does not start:\n{self.log.read_text()[-4000:]}")

    def cpu_seconds(self):
        """User and system time of the process and all its descendants, threads included."""
        return sum(ticks for ticks in map(cpu_ticks, family(self.process.pid))) * TICK

    def resident_mib(self):
        """Memory of the process that is resident now."""
        with open(f"/proc/{family(self.process.pid)[-1]}/status") as file:
            kib = next(line.split()[1] for line in file if line.startswith("VmRSS:"))
        return int(kib) / 1024

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def stat_fields(pid):
    # The name in parentheses may hold blanks.
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def cpu_ticks(pid):
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12])


def family(pid):
    found = [pid]
    for parent in found:
        with open(f"/proc/{parent}/task/{parent}/children") as file:
            found.extend(map(int, file.read().split()))
    return found
