"""What a document of JSON Schemas can't say, for schemathesis: who asks, and which ids there are.

Each operation has an account of its own with a group and a contact, so that logging one out ends no other's requests. Ids that
fit the schema are replaced by ids that exist, every other time, and seqs by one that does; message ids by such of today and
cursors by the one that everything begins with, as the schema's words want.
"""

import base64
import itertools
import json
import os
import re
import time
import urllib.error
import urllib.request
import zlib

import schemathesis

URL = os.environ["HUDHUD_URL"]
PATIENCE_S = 60
BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
MESSAGE_ID = re.compile(r"[A-Za-z0-9+/_-]{8}[c-f][A-Za-z0-9+/_-][CGKOSWaeimquy26+-][A-Za-z0-9+/_-]{10}[AQgw](==)?")
ID = re.compile(r"[A-Za-z0-9+/_-]{21}[AQgw](==)?")
SEQ = re.compile("0*[1-9][0-9]{0,18}")
NUMBER_MAX = 10**30

_number = itertools.count()
_of_operation = {}


class Somebody:
    def __init__(self):
        name = f"st{os.getpid()}.{next(_number)}"
        self.token = None
        me = self.ask("register", {"handle": name, "password": "correct horse"})
        other = self.ask("register", {"handle": name + ".x", "password": "correct horse"})
        self.token = me["token"]
        group = self.ask("createGroup", {"messageId": message_id(), "title": "Hoopoes"})
        self.wait_for(group["conversation"])
        self.known = {
            "account": other["account"],
            "member": other["account"],
            "conversation": group["conversation"],
            "device": me["device"],
        }

    def ask(self, command, body):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{URL}/v1/{command}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def wait_for(self, conversation):
        """A group is there once its first entry has come to its place in the log."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.ask("getConversation", {"conversation": conversation})
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


@schemathesis.auth(refresh_interval=10**9, cache_by_key=lambda case, context: context.operation.label)
class Token:
    def get(self, case, context):
        somebody = Somebody()
        _of_operation[context.operation.label] = somebody
        return somebody.token

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    somebody = _of_operation.get(case.operation.label)
    if somebody and isinstance(case.body, dict):
        case.body = _known(somebody, "", case.body)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """An array in place of a message is taken for its fields in their order, by the library that reads JSON. Nobody is harmed
    by it, and nobody should rely on it: the document does not allow it."""
    body = case.body if isinstance(case.body, dict) else {}
    return not any(isinstance(body.get(name), list) for name in ("content", "preferences", "privacy"))


def _known(somebody, name, value):
    if isinstance(value, dict):
        return {name: _known(somebody, name, inner) for name, inner in value.items()}
    if name == "seqs" and isinstance(value, list):
        return [1 if isinstance(seq, (int, float)) else seq for seq in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number_as(name, value)
    if not isinstance(value, str):
        return value
    # The same each time for the same value, as a request is sent again to see whether it fails again.
    every_other = zlib.crc32(value.encode(errors="surrogatepass")) % 2 == 0
    if name == "messageId" and MESSAGE_ID.fullmatch(value):
        return message_id()
    if name == "cursor" and BASE64.fullmatch(value):
        return ""
    if name == "seq" and SEQ.fullmatch(value):
        return "1"
    if every_other and name in somebody.known and ID.fullmatch(value):
        return somebody.known[name]
    return value


def _number_as(name, value):
    if name == "seq" and value > 0 and value == int(value):
        return 1
    if isinstance(value, int):
        # Longer ones are no numbers to most who read JSON (RFC 8259, section 6), which the document can't say.
        return max(-NUMBER_MAX, min(value, NUMBER_MAX))
    # 1.0 is 1 to JSON Schema, and no number of 64 bits to protobuf's JSON.
    return int(value) if value.is_integer() and abs(value) < NUMBER_MAX else value


def message_id():
    """RFC 9562, section 5.7."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return base64.b64encode(int(time.time() * 1000).to_bytes(6, "big") + random).decode()
