"""A WebSocket server that sends every message back. The request's query says which parameters of permessage-deflate
(RFC 7692 §7.1) it answers with, or `off`.

Tells its port.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


def settings(path):
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    if "off" in query:
        return []

    def number(name):
        return int(query[name][0]) if name in query else None

    return [
        ServerPerMessageDeflateFactory(
            server_no_context_takeover="server_no_context_takeover" in query,
            client_no_context_takeover="client_no_context_takeover" in query,
            server_max_window_bits=number("server_max_window_bits"),
            client_max_window_bits=number("client_max_window_bits"),
        )
    ]


def choose(connection, request):
    connection.protocol.available_extensions = settings(request.path)


async def echo(socket):
    # Any close but 1000 and 1001 is an exception here.
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def main():
    options = {"compression": None, "process_request": choose, "max_size": None, "ping_interval": None}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main())
