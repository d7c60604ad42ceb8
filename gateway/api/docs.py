"""/openapi.json and /docs: the document, and a page to read that is made from it; mounted by v1.py.

The page is one HTML file without scripts, fonts or anything from elsewhere.
"""

import base64
import hashlib
import json
from collections.abc import Sequence

from aiohttp import web

from gateway.api.docs_page import STYLE, page
from gateway.api.openapi import build
from gateway.api.operations import Operation


class DocsPages:
    """Both; they say nothing that is not in the source, so they need no key."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        document = build(operations)
        self._json = json.dumps(document, ensure_ascii=False).encode()
        self._html = page(document).encode()
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        self._policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"

    def install(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/docs", self._docs)

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._json, content_type="application/json")

    async def _docs(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._policy, "Referrer-Policy": "no-referrer"}
        return web.Response(body=self._html, content_type="text/html", charset="utf-8", headers=headers)
