"""SIPp as the phone of somebody who is called: scenarios put together from small pieces; for tests/transfer_rows.py.

async with SippAgent(folder, address, port, (INVITED, says("180 Ringing"), pause(1500), *ANSWERS, *HANGS_UP)) as agent:
    ...
    await agent.is_through()          # the scenario went as it was written
    agent.at("> 200")                 # time.monotonic() of what it sent (>) and received (<)
"""

import asyncio
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.ear import Ear
from tests.sipp import messages_in
from tests.wire import Wire, ladder

USER, REALM, PASSWORD = "gw", "people.example", "open sesame"
_CHALLENGE: Final = f'Digest realm="{REALM}", nonce="5ae3", algorithm=MD5, qop="auth"'
_TO: Final = ";tag=[pid]agent[call_number]"
_CONTACT: Final = "<sip:agent@[local_ip]:[local_port];transport=[transport]>"

# ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────


def _message(start: str, *headers: str, body: str = "", retransmitted: bool = False) -> str:
    kind = ("Content-Type: application/sdp", "Content-Length: [len]") if body else ("Content-Length: 0",)
    text = "\n".join((start, *headers, *kind, "", body))
    again = ' retrans="500"' if retransmitted else ""
    return f"<send{again}><![CDATA[\n\n{text}\n]]></send>"


def audio(direction: str = "sendrecv", version: int = 1) -> str:
    """PCMU where the agent's ear is."""
    return "\n".join((
        "v=0", f"o=agent 1 {version} IN IP4 [local_ip]", "s=-", "c=IN IP4 [local_ip]", "t=0 0",
        "m=audio [ear] RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
        f"a={direction}", "",
    ))  # fmt: skip


def says(
    status: str,
    *headers: str,
    sdp: str = "",
    contact: str = _CONTACT,
    late: bool = False,
    inside: bool = False,
    repeated: bool = True,
) -> str:
    """A response to the last request; `late`: to the INVITE, after other requests; `inside`: of a dialog that is up.

    A final one is repeated until the ACK comes (RFC 3261 §13.3.1.4), and SIPp waits for that before it goes on.
    """
    final = repeated and not status.startswith("1")
    lines = [
        "[last_Via:]",  # a CANCEL has that of its INVITE (RFC 3261 §9.1)
        "[last_From:]",
        "[last_To:]" + ("" if inside else _TO),
        "[last_Call-ID:]",
        "CSeq:[$cseq]" if late else "[last_CSeq:]",
        f"Contact: {contact}",
        *headers,
    ]
    return _message(f"SIP/2.0 {status}", *lines, body=sdp, retransmitted=final and (bool(sdp) or late))


def gets(what: str, more: str = "", actions: str = "") -> str:
    """Wait for a request, or for a response by its number."""
    kind = "response" if what.isdigit() else "request"
    return f'<recv {kind}="{what}" {more}>{actions}</recv>' if actions else f'<recv {kind}="{what}" {more}/>'


def pause(ms: int) -> str:
    """Let time pass."""
    return f'<pause milliseconds="{ms}"/>'


def asks(method: str, cseq: int, sdp: str = "") -> str:
    """A request of the agent in the dialog that is up."""
    lines = (
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        f"From:[$to]{_TO}",
        "To:[$from]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        f"Contact: {_CONTACT}",
        "Max-Forwards: 70",
    )
    return _message(f"{method} [next_url] SIP/2.0", *lines, body=sdp, retransmitted=method != "ACK")


def _kept(header: str, name: str) -> str:
    return f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{name}"/>'


INVITED: Final = gets(
    "INVITE", 'rrs="true"', f"<action>{_kept('From', 'from')}{_kept('To', 'to')}{_kept('CSeq', 'cseq')}</action>"
)
"""The INVITE; everything below follows it."""
ANSWERS: Final = (says("200 OK", sdp=audio()), gets("ACK"))
HANGS_UP: Final = (asks("BYE", 9), gets("200"))
IS_CANCELLED: Final = (gets("CANCEL"), says("200 OK"), says("487 Request Terminated", late=True), gets("ACK"))
IS_HUNG_UP: Final = (gets("BYE"), says("200 OK", inside=True))


def refuses(status: str, *headers: str, contact: str = _CONTACT) -> tuple[str, ...]:
    """A final failure, or a redirection to a `contact`, and its ACK."""
    return says(status, *headers, contact=contact), gets("ACK")


def challenges(status: str, name: str) -> tuple[str, ...]:
    """401 or 407, and the INVITE that comes next."""
    return *refuses(status, f"{name}: {_CHALLENGE}"), INVITED


def reinvites(cseq: int, sdp: str, answer: str = "") -> tuple[str, ...]:
    """A re-INVITE; one without an offer of its own (RFC 3261 §14.1) has the `answer` in its ACK."""
    return asks("INVITE", cseq, sdp), gets("100", 'optional="true"'), gets("200"), asks("ACK", cseq, answer)


def _scenario(steps: tuple[str, ...]) -> str:
    body = "\n".join((*steps, '<Reference variables="from,to,cseq"/>'))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="agent">\n{body}\n</scenario>\n'


# ── The phone ───────────────────────────────────────────────────────────────────────────────────────


class SippAgent:
    """One phone at `address`, over UDP or TCP, called once; it sings `hz` from its first RTP on, and hears in `ear`."""

    def __init__(
        self, folder: Path, address: str, port: int, steps: tuple[str, ...], *, hz: float, tcp: bool = False
    ) -> None:
        self.ear, self.messages = Ear(address), tuple[Wire, ...]()
        self._folder, self._where, self._tcp, self._hz = folder, (address, port), tcp, hz
        name = f"agent-{address}-{port}"
        self._scenario, self._trace = folder / f"{name}.xml", folder / f"{name}.messages"
        self._scenario.write_text(_scenario(steps))

    async def __aenter__(self) -> Self:
        await self.ear.__aenter__()
        self.ear.sings(self._hz)
        address, port = self._where
        self._process = await asyncio.create_subprocess_exec(
            *("sipp", "-sf", str(self._scenario), "-i", address, "-p", str(port), "-m", "1", "-nostdin", "-nd"),
            *("-t", "t1" if self._tcp else "u1", "-trace_msg", "-message_file", str(self._trace)),
            *("-recv_timeout", "60000", "-key", "ear", str(self.ear.port)),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(10):
            while not self._listens():
                await asyncio.sleep(0.02)
        return self

    def _listens(self) -> bool:
        """SIPp has taken its port: a connection that came before would be refused. Binding it to see would be in its
        way."""
        assert self._process.returncode is None, "SIPp has ended"
        address, port = self._where
        taken = f" {int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X} "
        return taken in Path("/proc/net/tcp" if self._tcp else "/proc/net/udp").read_text()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ear.close()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    async def is_through(self, timeout_s: float = 20.0) -> None:
        """Wait for the end of its scenario, which must have gone as it was written."""
        output = b""
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self.messages = tuple(Wire(one.sent, one.text, _monotonic(one.at_s)) for one in messages_in(self._trace))
        code = self._process.returncode
        assert code == 0, f"SIPp ended with {code}:\n{ladder(self.messages)}\n{output.decode(errors='replace')[-2000:]}"

    def at(self, what: str) -> float | None:
        """When it first sent (`> 180`, `> BYE`) or received (`< ACK`) this; None if it did not. Its own re-INVITEs have
        their number: `> INVITE 2`. A response is to the INVITE, unless it says to what: `< 200 BYE`."""
        return next((one.at_s for one in self.messages if what == _name(one)), None)


def _name(message: Wire) -> str:
    way = ">" if message.sent else "<"
    if message.status:
        return f"{way} {message.status}" + ("" if message.method == "INVITE" else f" {message.method}")
    number = (message.header("CSeq") or "").partition(" ")[0]
    return f"{way} {message.method}" + (f" {number}" if message.sent and message.method == "INVITE" else "")


def _monotonic(at_s: float) -> float:
    """Of a time of day."""
    now = time.time()
    local = time.localtime(now)
    today = local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1
    return time.monotonic() - (today - at_s) % 86400
