"""Forwards connections to the local AWS from an address that containers reach.

    python3 forwarder.py ADDRESS PORT UPSTREAM_PID

Containers cannot connect to 127.0.0.1 of their machine, only to the gateway of their engine's network, an address that exists on
this machine alone. It prints `ready`, or why it cannot listen, and ends when the local AWS has ended.
"""

import asyncio
import contextlib
import os
import socket
import sys

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
LOOK_SECONDS = 1
# Another forwarder on this address notices within LOOK_SECONDS that its local AWS has ended.
LISTEN_TRIES = 10
# Linux's socket option by which an address can be bound before its interface exists: podman creates its bridge with the first container.
IP_FREEBIND = 15


async def main(address: str, port: int, upstream_pid: int) -> None:
    listener = await listening(address, port)
    server = await asyncio.start_server(lambda reader, writer: forward(reader, writer, port), sock=listener)
    print("ready", flush=True)
    async with server:
        while runs(upstream_pid):
            await asyncio.sleep(LOOK_SECONDS)


async def listening(address: str, port: int) -> socket.socket:
    for tries_left in reversed(range(LISTEN_TRIES)):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        try:
            listener.bind((address, port))
            return listener
        except OSError as error:
            listener.close()
            if not tries_left:
                sys.exit(f"{address}:{port}: {error.strerror}")
            await asyncio.sleep(LOOK_SECONDS / 4)
    raise AssertionError("the last try returns or exits")


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with contextlib.suppress(ConnectionError):
        upstream_reader, upstream_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(copy(reader, upstream_writer), copy(upstream_reader, writer), return_exceptions=True)
        upstream_writer.close()
    writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the sender's end, and passes the end on."""
    while content := await reader.read(CHUNK_BYTES):
        writer.write(content)
        await writer.drain()
    writer.write_eof()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
