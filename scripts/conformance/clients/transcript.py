"""Plays transcript.json on somebody's WebSocket library, in either encoding."""

import base64
import json
import os
import pathlib
import re
import time

TRANSCRIPT = json.loads(pathlib.Path(__file__).with_name("transcript.json").read_text())
# Seconds after which a frame that is waited for does not come.
PATIENCE_S = 60


class Json:
    """Frames as protobuf's canonical JSON, in text messages."""

    name = "json"
    subprotocol = "hudhud.v1.json"

    def encode(self, frame):
        return json.dumps(frame, ensure_ascii=False)

    def decode(self, message):
        assert isinstance(message, str), "JSON comes in text messages"
        return json.loads(message)

    def malformed(self, step):
        return step["json"]


class Protobuf:
    """Frames as protobuf, in binary messages: the types are generated from our schema by Google's protoc."""

    name = "protobuf"
    subprotocol = "hudhud.v1.proto"

    def __init__(self):
        from google.protobuf import json_format
        from hudhud.v1 import protocol_pb2

        self.json, self.schema = json_format, protocol_pb2

    def encode(self, frame):
        frame = json.loads(json.dumps(frame))
        content = frame.get("send", {}).get("content", {})
        if "text" in content:
            # `text` is of the JSON encoding alone.
            content["payload"] = base64.b64encode(content.pop("text").encode()).decode()
        return self.json.ParseDict(frame, self.schema.ClientFrame()).SerializeToString()

    def decode(self, message):
        assert isinstance(message, bytes), "protobuf comes in binary messages"
        frame = self.json.MessageToDict(self.schema.ServerFrame.FromString(message))
        content = frame.get("entry", {}).get("content", {})
        if content.get("contentType") == "text/plain":
            content["text"] = base64.b64decode(content.pop("payload")).decode()
        return frame

    def malformed(self, step):
        return bytes.fromhex(step["protobuf"])


def encoding(name):
    return {"json": Json, "protobuf": Protobuf}[name]()


async def play(connect, encoding):
    """Plays it. `connect()` opens a connection with `send(message)`, `receive()`, `ping(payload)` that returns once the pong
    is there, and `close(code)` that returns the code of the other side's close."""
    values = {name: name + os.urandom(6).hex() for name in TRANSCRIPT["names"]}
    values |= {name: _uuid_v7() for name in TRANSCRIPT["ids"]}
    connections = {}
    for number, step in enumerate(TRANSCRIPT["steps"], 1):
        try:
            if "open" in step:
                connections[step["on"]] = await connect()
                continue
            connection = connections[step["on"]]
            if "send" in step:
                await connection.send(encoding.encode(_fill(step["send"], values)))
            elif "malformed" in step:
                await connection.send(encoding.malformed(step["malformed"]))
            elif "ping" in step:
                await connection.ping(step["ping"].encode())
            elif "close" in step:
                code = await connection.close(step["close"])
                assert code == step["close"], f"closed with {code}"
            else:
                await _expect(connection, encoding, step["expect"], values)
        except Exception as error:
            raise AssertionError(f"step {number}, {json.dumps(step, ensure_ascii=False)}: {error!r}") from error
    return len(TRANSCRIPT["steps"])


async def _expect(connection, encoding, expected, values):
    expected = list(expected)
    while expected:
        frame = encoding.decode(await connection.receive())
        if "ping" in frame:
            continue
        for candidate in expected:
            caught = dict(values)
            if _matches(candidate, frame, caught):
                values |= caught
                expected.remove(candidate)
                break
        else:
            raise AssertionError(f"came: {frame}")


def _matches(expected, came, values):
    if isinstance(expected, dict):
        return isinstance(came, dict) and all(
            key in came and _matches(value, came[key], values) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(expected) == len(came) and all(_matches(*pair, values) for pair in zip(expected, came))
    name = re.fullmatch("<(.*)>", expected) if isinstance(expected, str) else None
    return came == (values.setdefault(name[1], came) if name else expected)


def _fill(value, values):
    if isinstance(value, dict):
        return {key: _fill(inner, values) for key, inner in value.items()}
    return re.sub("<(.*?)>", lambda name: values[name[1]], value) if isinstance(value, str) else value


def _uuid_v7():
    """RFC 9562, section 5.7."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return base64.b64encode(int(time.time() * 1000).to_bytes(6, "big") + random).decode()
