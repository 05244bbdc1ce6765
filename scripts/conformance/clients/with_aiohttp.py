"""The transcript on `aiohttp`: with_aiohttp.py <url> <encoding>"""

import asyncio
import sys

import aiohttp
import transcript


class Connection:
    def __init__(self, socket):
        self.socket = socket

    async def send(self, message):
        await (self.socket.send_str if isinstance(message, str) else self.socket.send_bytes)(message)

    async def _next(self):
        return await self.socket.receive(timeout=transcript.PATIENCE_S)

    async def receive(self):
        message = await self._next()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        return message.data

    async def ping(self, payload):
        await self.socket.ping(payload)
        message = await self._next()
        assert message.type == aiohttp.WSMsgType.PONG and message.data == payload, message

    async def close(self, code):
        await self.socket.close(code=code)
        return self.socket.close_code


async def main(url, encoding):
    async with aiohttp.ClientSession() as session:

        async def open():
            # Pings and pongs are handed to us, so that we see the pong; the server sends no WebSocket ping.
            return Connection(await session.ws_connect(url, protocols=[encoding.subprotocol], autoping=False))

        print(f"{await transcript.play(open, encoding)} steps")


asyncio.run(main(sys.argv[1], transcript.encoding(sys.argv[2])))
