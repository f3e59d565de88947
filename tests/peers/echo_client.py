"""A WebSocket client that talks to a server that echoes. Arguments: URL, and for wss the file of its authority.

Tells what was negotiated, how many messages came back as they were sent, and how it ended.
"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect

LARGE = b"sluicegate " * (1024 * 1024 // 11)
MESSAGES = ["grüß dich", bytes([0, 255, 1, 254]), ["in ", "three ", "frames"], LARGE, ""]


async def main():
    trust = {"ssl": ssl.create_default_context(cafile=sys.argv[2])} if len(sys.argv) > 2 else {}
    async with connect(sys.argv[1], **trust, max_size=16 * 1024 * 1024, subprotocols=["chat.v1", "chat.v2"]) as socket:
        echoed = 0
        for message in MESSAGES:
            await socket.send(message)
            whole = "".join(message) if isinstance(message, list) else message
            assert await socket.recv() == whole, f"message {echoed} came back changed"
            echoed += 1
        await (await socket.ping("are you there"))
        await socket.close(3000, "done")
    extensions = [extension.name for extension in socket.protocol.extensions]
    result = {"extensions": extensions, "protocol": socket.subprotocol, "echoed": echoed}
    print(json.dumps(result | {"code": socket.close_code, "reason": socket.close_reason}))


asyncio.run(main())
