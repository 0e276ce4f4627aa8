"""Requests at a constant rate, however long the answers take: an open loop.

wrk sends the next request when the last one was answered, so that a server that stalls
is asked less and looks better than it is. Here each latency counts from the moment when
the request was due. Written for this bench: wrk2, which does the same, is in no package.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import quantiles
from urllib.parse import urlsplit

CONNECTIONS = 64


def latencies_ms(
    base_url: str, per_second: float, seconds: float, request: Callable[[int], bytes]
) -> Sequence[float]:
    """Return the latency of each request; raise RuntimeError when an answer was no success."""
    requests = [request(number) for number in range(int(per_second * seconds))]
    return asyncio.run(_send_all(base_url, per_second, requests))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many per cent stay below."""
    return quantiles(values, n=100)[percent - 1]


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _send_all(base_url: str, per_second: float, requests: Sequence[bytes]) -> list[float]:
    parts = urlsplit(base_url)
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(parts.hostname, parts.port))
    began = time.perf_counter()
    tasks = []
    for number, request in enumerate(requests):
        due = began + number / per_second
        await asyncio.sleep(max(0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(free, request, due)))
    latencies = await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return list(latencies)


async def _send(free: "asyncio.LifoQueue[Connection]", request: bytes, due: float) -> float:
    reader, writer = await free.get()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    latency_ms = 1000 * (time.perf_counter() - due)
    free.put_nowait((reader, writer))
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    return latency_ms
