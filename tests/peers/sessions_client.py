"""A WebSocket client that leads the sessions of a file, and checks what it hears. Arguments: URL, file.

The file and what is told: see sessions-client.js.
"""

import asyncio
import base64
import json
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

AT_ONCE = 16
TELL_EVERY = 50


def tell(**value):
    print(json.dumps(value), flush=True)


def build(message):
    unit = message["text"].encode() if "text" in message else base64.b64decode(message["binary"])
    size = message.get("size", len(unit))
    data = (unit * (size // max(len(unit), 1) + 1))[:size]
    return data.decode() if "text" in message else data


def pieces(message, data):
    count = message.get("pieces", 1)
    step = -(-len(data) // count)
    return data if count == 1 else [data[at * step : (at + 1) * step] for at in range(count)]


def prepare(rounds):
    for one in rounds:
        one["send"] = [pieces(message, build(message)) for message in one.get("send", [])]
        one["hear"] = [build(message) for message in one.get("hear", [])]
    return rounds


async def lead(base, session, rounds):
    deflate = [] if session["offer"] is None else [ClientPerMessageDeflateFactory(**session["offer"])]
    options = {"compression": None, "extensions": deflate, "max_size": None, "ping_interval": None, "proxy": None}
    async with connect(base + session["path"], **options) as socket:
        answer = socket.response.headers.get("Sec-WebSocket-Extensions", "")
        answer = "; ".join(sorted(parameter.strip() for parameter in answer.split(";")))
        assert answer == session["answer"], f"{session['answer']} was to be answered, found {answer}"
        for one in rounds:
            await asyncio.gather(say(socket, one["send"]), hear(socket, one["hear"]))
    assert socket.close_code == 1000, f"closed with {socket.close_code}"
    return bool(socket.protocol.extensions)


async def say(socket, messages):
    for message in messages:
        await socket.send(message)


async def hear(socket, messages):
    for wanted in messages:
        message = await socket.recv()
        assert message == wanted, f"{len(wanted)} were to come, found {len(message)}: {message[:40]}"


async def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        plan = json.load(file)
    scripts = {name: prepare(rounds) for name, rounds in plan["scripts"].items()}
    waiting = iter(plan["sessions"])
    led = compressed = 0

    async def lead_many():
        nonlocal led, compressed
        for session in waiting:
            try:
                was_compressed = await lead(sys.argv[1], session, scripts[session["script"]])
            except Exception as error:
                raise RuntimeError(f"{session}: {error!r}") from error
            led += 1
            compressed += was_compressed
            if led % TELL_EVERY == 0:
                tell(led=led)

    await asyncio.gather(*(lead_many() for _ in range(AT_ONCE)))
    tell(done={"led": led, "compressed": compressed})


try:
    asyncio.run(main())
except RuntimeError as error:
    tell(failed=str(error))
    sys.exit(1)
