"""REFER and its NOTIFYs for the phones of the tests, both ways; part of caller.py and callee.py.

refer = await customer.is_referred()            # REFER came and got a 202
await customer.notifies("200 OK", last=True)    # also when the dialog is over
answer = await agent.refers("<sip:101@127.0.0.1>")
await agent.is_notified(200)
"""

from tests.wire import Correspondent, Wire


class Referring(Correspondent):
    """A phone that is referred, and refers. A REFER waits for `is_referred`; other requests are answered at once."""

    notify_answer = "200 OK"
    """What a NOTIFY gets."""

    # ── it is referred ──────────────────────────────────────────────────────────────────────────────

    async def is_referred(
        self, answer: str | None = "202 Accepted", *headers: str, count: int = 1, timeout_s: float = 10.0
    ) -> Wire:
        """Wait for the `count`th REFER (no retransmission), and answer it, or not at all (None)."""
        await self.comes(lambda: len(self.referrals) >= count, f"REFER {count}", timeout_s)
        refer = self.referrals[count - 1]
        if answer is not None:
            self.replies(refer, answer, *headers)
        return refer

    @property
    def referrals(self) -> list[Wire]:
        """The REFERs that came, each once."""
        return self._each("REFER")

    async def notifies(
        self, status: str | None, *headers: str, last: bool = False, event: str = "refer", body: str | None = None
    ) -> Wire:
        """NOTIFY with this status ("180 Ringing"), without a body (None), or with another `body`; the answer to it."""
        line = body if body is not None else f"SIP/2.0 {status}\r\n" if status is not None else ""
        state = "terminated;reason=noresource" if last else "active;expires=60"
        kind = ("Content-Type: message/sipfrag;version=2.0",) if line else ()
        return await self.asks("NOTIFY", f"Event: {event}", f"Subscription-State: {state}", *kind, *headers, body=line)

    # ── it refers ───────────────────────────────────────────────────────────────────────────────────

    async def refers(self, refer_to: str, *headers: str) -> Wire:
        """REFER to this Refer-To value; the final response."""
        return await self.asks("REFER", f"Refer-To: {refer_to}", *headers)

    @property
    def notified(self) -> list[str]:
        """The status lines of the NOTIFYs that came, each once."""
        return [message.body.split("\n")[0].strip() for message in self._each("NOTIFY")]

    async def is_notified(self, status: int, timeout_s: float = 10.0) -> Wire:
        """Wait for a NOTIFY that tells of this status."""

        def found() -> list[Wire]:
            return [message for message in self._each("NOTIFY") if message.body.startswith(f"SIP/2.0 {status} ")]

        await self.comes(lambda: bool(found()), f"NOTIFY of {status}", timeout_s)
        return found()[0]

    # ── the wire ────────────────────────────────────────────────────────────────────────────────────

    async def asks(self, method: str, *headers: str, body: str = "", timeout_s: float = 10.0) -> Wire:
        """A request in the dialog; the final response."""
        cseq = f"{self.requests(method, *headers, body=body)} {method}"

        def answered(message: Wire) -> bool:
            return not message.sent and message.status >= 200 and message.header("CSeq") == cseq

        await self.comes(lambda: any(map(answered, self.messages)), f"the answer to {method}", timeout_s)
        return next(filter(answered, self.messages))

    def requests(self, method: str, *headers: str, body: str = "") -> int:
        """Send a request in the dialog; its CSeq."""
        raise NotImplementedError

    def replies(self, request: Wire, status: str, *headers: str) -> None:
        """Answer a request of the gateway."""
        raise NotImplementedError

    def _each(self, method: str) -> list[Wire]:
        seen: dict[str, Wire] = {}
        for message in self.messages:
            if not message.sent and message.start.startswith(f"{method} "):
                seen.setdefault(message.header("CSeq") or "", message)
        return list(seen.values())
