"""schemathesis: every operation of the OpenAPI document that the server serves, with bodies that fit it and bodies that do
not, against all of its checks."""

import os
import pathlib
import subprocess

from servers import hudhud

HERE = pathlib.Path(__file__).parent
# Other seeds make other requests.
SEED = 4
EXAMPLES = 15
# Of one run, in seconds.
TIMEOUT = 600

OPTIONS = [
    "--checks=all",
    f"--seed={SEED}",
    f"--max-examples={EXAMPLES}",
    "--generation-database=none",
    "--workers=1",
    "--continue-on-failure",
    "--no-color",
]


def run(binaries, tools):
    with hudhud(binaries) as address:
        url = f"http://{address}"
        variables = {"SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(HERE), "HUDHUD_URL": url}
        # The WebSocket is not an operation of HTTP: it is an upgrade, which HTTP clients can't do. The other suites are about it.
        options = [*OPTIONS, "--exclude-path=/v1/ws"]
        command = [tools / "python" / "bin" / "schemathesis", "run", *options, f"{url}/openapi.json"]
        done = subprocess.run(
            command, cwd=tools, env=os.environ | variables, capture_output=True, text=True, timeout=TIMEOUT
        )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return next((line.strip() for line in said.splitlines() if "generated," in line), "no failure")
