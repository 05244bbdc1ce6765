"""Servers of ours for a suite: the real one, and the listener with an echo behind it."""

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
# Seconds.
END_MAX = 30

# Passwords are cheap and limits per time are wide, as a suite registers and asks as fast as it can. All else is as it is.
CONFIG = """
drain_ms = 1
[registration]
password_memory_kib = 64
password_passes = 1
[rates]
commands = { burst = 1000000, interval_ms = 1 }
look_ups = { burst = 1000000, interval_ms = 1 }
look_ups_per_address = { burst = 1000000, interval_ms = 1 }
look_ups_in_all = { burst = 1000000, interval_ms = 1 }
invites = { burst = 1000000, interval_ms = 1 }
invites_per_address = { burst = 1000000, interval_ms = 1 }
invites_in_all = { burst = 1000000, interval_ms = 1 }
log_ins_per_handle = { burst = 1000000, interval_ms = 1 }
log_ins_per_handle_in_all = { burst = 1000000, interval_ms = 1 }
accounts_per_address = { burst = 1000000, interval_ms = 1 }
accounts_in_all = { burst = 1000000, interval_ms = 1 }
group_adds = { burst = 1000000, interval_ms = 1 }
group_adds_per_address = { burst = 1000000, interval_ms = 1 }
group_adds_in_all = { burst = 1000000, interval_ms = 1 }
reports = { burst = 1000000, interval_ms = 1 }
reports_per_address = { burst = 1000000, interval_ms = 1 }
reports_in_all = { burst = 1000000, interval_ms = 1 }
"""


@contextlib.contextmanager
def hudhud(binaries):
    """The server, on an empty folder. Yields its host and port. It must end well and log no error."""
    with _hudhud(binaries) as (address, _, _):
        yield address


@contextlib.contextmanager
def operators(binaries):
    """The same. Yields the host and port of its operators, and a token that may do everything."""
    with _hudhud(binaries) as (_, address, data):
        create = [binaries / "hudhud", "admin", "token", "create", "--json", "--data", data, "--expires", "1h"]
        for thing in ["accounts", "conversations", "invites", "limits", "reports", "tokens"]:
            create += ["--scope", f"{thing}:write"]
        yield address, json.loads(subprocess.check_output(create))["token"]


@contextlib.contextmanager
def _hudhud(binaries):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "hudhud.toml")
        config.write_text(CONFIG)
        options = ["--config", config, "--data", pathlib.Path(folder, "data"), "--log", "error"]
        options += ["--listen", "127.0.0.1:0", "--operators-listen", "127.0.0.1:0"]
        with _running([binaries / "hudhud", "serve", *options]) as (server, log, address):
            yield *address, pathlib.Path(folder, "data")
            server.terminate()
            assert server.wait(END_MAX) == 0, f"the server ended with {server.returncode}"
            log.seek(0)
            said = log.read()
            assert not said, f"the server logged:\n{said}"


@contextlib.contextmanager
def echo(binaries):
    """The echo. Yields its host and port."""
    with _running([binaries / "examples" / "echo"]) as (server, _, address):
        yield address[0]
        assert server.poll() is None, f"the echo ended with {server.returncode}"


@contextlib.contextmanager
def _running(command):
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = next((line for line in server.stdout if "listens on" in line), None)
            if line is None:
                log.seek(0)
                raise RuntimeError(f"{command[0]} does not start: {log.read()}")
            yield server, log, re.findall(r"http://([^\s,]+)", line)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
