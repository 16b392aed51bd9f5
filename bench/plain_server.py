"""The least aiohttp server: /ready answers ok. `plain_server.py PORT`."""

import sys

from aiohttp import web


async def ready(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/ready", ready)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
