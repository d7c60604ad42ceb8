"""Calls to somebody who talks before his 200 is here, in a process of its own for test_media_start.py.

`python early_rtp.py gateway|upstream`, with give_way.c preloaded, prints how many of them heard nothing.
"""

import asyncio
import contextlib
import ctypes
import json
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pjsua2 as pj

from gateway.sip.endpoint import Endpoint, SipSettings

CALLS = 10
US = "sip:us@127.0.0.1"
_KEPT = re.compile(r"^(?:via|from|to|call-id|cseq):[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_MEDIA = re.compile(r"^m=audio (\d+)", re.MULTILINE)


class Talker:
    """Whom we call: SIP by hand, and RTP from the moment when it knows where to."""

    def __init__(self) -> None:
        self.sip, self._rtp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for each in (self.sip, self._rtp):
            each.bind(("127.0.0.1", 0))
        self._to = 0
        self._seq = 0

    @property
    def uri(self) -> str:
        return f"sip:talker@127.0.0.1:{self.sip.getsockname()[1]}"

    def answer(self) -> None:
        """Take what has come."""
        while select.select([self.sip], [], [], 0)[0]:
            data, source = self.sip.recvfrom(65536)
            request = data.decode()
            if request.startswith("INVITE"):
                self._to = int(_MEDIA.findall(request)[0])
                self.talk()
            if request.startswith(("INVITE", "BYE")):
                self.sip.sendto(self._ok(request).encode(), source)

    def talk(self) -> None:
        """20 ms of sound."""
        self._seq += 1
        head = bytes([0x80, 0]) + self._seq.to_bytes(2) + (self._seq * 160).to_bytes(4) + b"talk"
        self._rtp.sendto(head + b"\x80" * 160, ("127.0.0.1", self._to))

    def _ok(self, request: str) -> str:
        body = ""
        if request.startswith("INVITE"):
            sdp = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0")
            body = "\r\n".join((*sdp, f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0", ""))
        kept = [
            line + ";tag=t" if line[:3].lower() == "to:" and "tag=" not in line else line
            for line in _KEPT.findall(request)
        ]
        head = ("SIP/2.0 200 OK", *kept, f"Contact: <{self.uri}>", "Content-Type: application/sdp")
        return "\r\n".join((*head, f"Content-Length: {len(body)}", "", body))


class Call(pj.Call):  # type: ignore[misc]
    """Ours."""

    started = False
    over = False

    def onCallMediaState(self, prm: Any) -> None:
        self.started = True

    def onCallState(self, prm: Any) -> None:
        self.over = not self.isActive()

    def heard(self) -> bool:
        counted = self.getStreamStat(0)  # must outlive the look: its parts are not copies
        return bool(counted.rtcp.rxStat.pkt)


def pump(ep: Any, talker: Talker, until: Callable[[], bool], seconds: float) -> bool:
    """Turn both ends until something is so; whether it came to be."""
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            return False
        ep.libHandleEvents(1)
        talker.answer()
    return True


@contextlib.contextmanager
def giving_way() -> Iterator[None]:
    """This thread lets the others go first whenever it lets go of a lock (give_way.c)."""
    preloaded = ctypes.CDLL(None)
    preloaded.give_way(1)
    try:
        yield
    finally:
        preloaded.give_way(0)


def open_account(settings: Any) -> Any:
    account = pj.Account()
    account.create(settings)
    return account


def place_all(account: Any) -> int:
    """Place CALLS calls: how many were deaf. In the PJSIP thread, which it keeps meanwhile."""
    talker, ep = Talker(), pj.Endpoint.instance()
    return sum(not place(ep, account, talker) for _ in range(CALLS))


def place(ep: Any, account: Any, talker: Talker) -> bool:
    """One call; whether its media heard anything of a fifth of a second of talk."""
    call = Call(account)
    order = pj.CallOpParam(True)
    call.makeCall(talker.uri, order)
    with giving_way():
        if not pump(ep, talker, lambda: call.started, 10):
            raise RuntimeError("no media")
    heard = False
    for _ in range(10):
        talker.talk()
        heard = pump(ep, talker, call.heard, 0.02) or heard
        if heard:
            break
    call.hangup(pj.CallOpParam())
    if not pump(ep, talker, lambda: call.over, 10):
        raise RuntimeError("no end")
    return heard


def deaf_with_upstream() -> int:
    """How many of CALLS calls are deaf on PJSUA's own endpoint, as upstream wrote it."""
    ep = pj.Endpoint()
    ep.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 1
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.medConfig.hasIoqueue, config.medConfig.threadCnt = True, 1
    ep.libInit(config)
    wire = pj.TransportConfig()
    wire.port, wire.boundAddress = 0, "127.0.0.1"
    ep.transportCreate(pj.PJSIP_TRANSPORT_UDP, wire)
    ep.libStart()
    ep.audDevManager().setNullDev()
    settings = pj.AccountConfig()
    settings.idUri = US
    settings.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    account = open_account(settings)
    deaf = place_all(account)
    account.shutdown()
    ep.libDestroy()
    return deaf


async def deaf_with_gateway() -> int:
    """How many of CALLS calls are deaf on the gateway's endpoint."""
    endpoint = Endpoint(SipSettings(bind="127.0.0.1", udp_port=0, tcp_port=None, rtp_ports=(21000, 29000)))
    await endpoint.start()
    account = await endpoint.run(lambda: open_account(endpoint.account(US)))
    endpoint.at_stop(lambda: None, lambda: True, account.shutdown)
    deaf = await endpoint.run(place_all, account)
    await endpoint.stop()
    return deaf


if __name__ == "__main__":
    deaf = asyncio.run(deaf_with_gateway()) if sys.argv[1] == "gateway" else deaf_with_upstream()
    print("\nRESULT " + json.dumps({"deaf": deaf}), flush=True)
