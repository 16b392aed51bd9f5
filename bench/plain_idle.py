"""What any agent of this kind needs and no more: aiohttp.web, a client session, yaml, prometheus_client, all in use.

`plain_idle.py PORT TARGET_URL DOCUMENT`: reads the document, asks the target every ten seconds, serves /ready, /status
and /metrics.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import prometheus_client
import yaml
from aiohttp import ClientSession, web

registry = prometheus_client.CollectorRegistry()
prometheus_client.ProcessCollector(registry=registry)
rounds = prometheus_client.Counter("rounds", "Rounds.", ["result"], registry=registry)
seconds = prometheus_client.Histogram("seconds", "Their durations.", registry=registry)


async def ready(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def metrics(_request: web.Request) -> web.Response:
    return web.Response(body=prometheus_client.generate_latest(registry))


async def status(_request: web.Request) -> web.Response:
    return web.json_response(document)


async def ask(session: ClientSession, url: str) -> None:
    while True:
        with seconds.time():
            async with session.get(url) as answer:
                await answer.read()
        rounds.labels(str(answer.status)).inc()
        await asyncio.sleep(10)


async def asking(_app: web.Application) -> AsyncIterator[None]:
    async with ClientSession() as session:
        task = asyncio.create_task(ask(session, sys.argv[2]))
        yield
        task.cancel()


if __name__ == "__main__":
    document = yaml.safe_load(Path(sys.argv[3]).read_text(encoding="utf-8"))
    app = web.Application()
    app.cleanup_ctx.append(asking)
    app.add_routes([web.get("/ready", ready), web.get("/metrics", metrics), web.get("/status", status)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
