"""Bare aiohttp GETs at a steady rate: `plain_getter.py URL TASKS PERIOD fresh|kept` (connections)."""

import asyncio
import sys

from aiohttp import ClientSession, TCPConnector


async def grid(session: ClientSession, url: str, start: float, period: float) -> None:
    loop = asyncio.get_running_loop()
    due = start
    while True:
        await asyncio.sleep(due - loop.time())
        async with session.get(url) as answer:
            await answer.read()
        due = max(due + period, loop.time())


async def main(url: str, tasks: int, period: float, *, fresh: bool) -> None:
    start = asyncio.get_running_loop().time()
    async with ClientSession(connector=TCPConnector(force_close=fresh)) as session, asyncio.TaskGroup() as group:
        for k in range(tasks):
            group.create_task(grid(session, url, start + k * period / tasks, period))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), fresh=sys.argv[4] == "fresh"))
