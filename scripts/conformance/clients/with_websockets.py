"""The transcript on `websockets`: with_websockets.py <url> <encoding>"""

import asyncio
import sys

import transcript
from websockets.asyncio.client import connect


class Connection:
    def __init__(self, socket):
        self.socket = socket

    async def send(self, message):
        await self.socket.send(message)

    async def receive(self):
        return await asyncio.wait_for(self.socket.recv(), transcript.PATIENCE_S)

    async def ping(self, payload):
        await asyncio.wait_for(await self.socket.ping(payload), transcript.PATIENCE_S)

    async def close(self, code):
        await self.socket.close(code)
        return self.socket.protocol.close_rcvd.code


async def main(url, encoding):
    async def open():
        return Connection(await connect(url, subprotocols=[encoding.subprotocol]))

    print(f"{await transcript.play(open, encoding)} steps")


asyncio.run(main(sys.argv[1], transcript.encoding(sys.argv[2])))
