"""A floor of streaming: a model server's events in, Unix socket out, and nothing else: `SOCKET PORT WIRE`.

No agent, no session, no log. A client sends its prompt as one line and gets `{"text": ...}` for each read, then `{"end": true}`.
"""

from __future__ import annotations

import sys

import msgspec
import trio

from benchmarks.wires import BY_NAME, Wire


async def serve(client: trio.SocketStream, wire: Wire, port: int) -> None:
    """One client. Its connection to the model server is kept between its prompts."""
    server = await trio.open_tcp_stream("127.0.0.1", port)
    pending = b""
    while prompt := await client.receive_some():
        await server.send_all(wire.post(prompt.decode().strip()))
        ended = False
        while not ended:
            *lines, pending = (pending + await server.receive_some(65536)).split(b"\n")
            ended = b"0\r" in lines
            if text := "".join(map(wire.said, lines)):
                await client.send_all(msgspec.json.encode({"text": text}) + b"\n")
        await client.send_all(b'{"end":true}\n')


async def main(path: str, port: int, wire: Wire) -> None:
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(path)
    listening.listen(512)
    print("ready", flush=True)
    async with trio.open_nursery() as nursery:
        while True:
            client, _ = await listening.accept()
            nursery.start_soon(serve, trio.SocketStream(client), wire, port)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), BY_NAME[sys.argv[3]])
