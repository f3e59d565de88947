"""A WebSocket server that sends every message back.

Tells its port, then of each connection what was negotiated and how it was closed.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def tell(**value):
    print(json.dumps(value), flush=True)


async def echo(socket):
    tell(opened={"protocol": socket.subprotocol, "path": socket.request.path})
    # Any close but 1000 and 1001 is an exception here.
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)
    tell(closed={"code": socket.close_code, "reason": socket.close_reason})


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=16 * 1024 * 1024, subprotocols=["chat.v2"]) as server:
        tell(port=server.sockets[0].getsockname()[1])
        await server.serve_forever()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main())
