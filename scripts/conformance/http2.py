"""h2spec: every case of HTTP/2 (RFC 9113) and HPACK (RFC 7541), against the echo."""

import subprocess
import tempfile
import xml.etree.ElementTree as xml

from servers import echo

CASES = 145
# Seconds that a case waits for an answer: only a case that fails takes so long.
TIMEOUT = 20

# What fails and why it may. Anything else that fails, and any of these that passes, fails the suite.
EXPECTED = {
    ("http2/3.5", "Sends invalid connection preface"): "The port speaks HTTP/1.1 as well: bytes that are not HTTP/2's preface "
    "are a request of HTTP/1.1, which is answered by status 400 in that protocol's words before the connection is closed. "
    "The case wants it closed without a word.",
}


def run(binaries, tools):
    with echo(binaries) as address, tempfile.NamedTemporaryFile() as report:
        host, port = address.split(":")
        command = [tools / "bin" / "h2spec", "--host", host, "--port", port, "--timeout", str(TIMEOUT)]
        said = subprocess.run([*command, "--junit-report", report.name], capture_output=True, text=True)
        cases = list(xml.parse(report.name).iter("testcase"))
    failed = {(case.get("package"), case.get("classname")) for case in cases if len(case)}
    assert len(cases) == CASES, f"{len(cases)} of {CASES} cases ran: {said.stderr}"
    assert failed == EXPECTED.keys(), f"failed: {sorted(failed)}, expected: {sorted(EXPECTED)}\n{said.stdout}"
    return f"{CASES - len(failed)} of {CASES} cases pass, {len(failed)} fails as expected"
