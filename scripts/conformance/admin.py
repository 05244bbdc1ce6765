"""schemathesis: every operation of the admin API against its OpenAPI document, by somebody who may do everything."""

import os
import pathlib
import subprocess

from openapi import OPTIONS, TIMEOUT
from servers import operators

HERE = pathlib.Path(__file__).parent


def run(binaries, tools):
    with operators(binaries) as (address, token):
        url = f"http://{address}/admin/openapi.json"
        command = [tools / "python" / "bin" / "schemathesis", "run", *OPTIONS, "--exclude-operation-id=createBackup"]
        # It revokes the token that asks, sooner or later.
        command += ["--exclude-operation-id=revokeToken", "--header", f"Authorization: Bearer {token}", url]
        done = subprocess.run(command, cwd=tools, env=os.environ, capture_output=True, text=True, timeout=TIMEOUT)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return next((line.strip() for line in said.splitlines() if "generated," in line), "no failure")
