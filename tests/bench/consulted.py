"""What a capture says of the orders of agents: when each was sent, and what it led to on the wire; for consults.py."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.bot import CALL_HEADER
from tests.bench.capture import Datagram
from tests.bench.desk import Desk
from tests.bench.rtp import HEADER, is_pcmu
from tests.bench.scene import Scene
from tests.bench.tones import AGENT_HZ, CONSULTANT_HZ, has_tone

_CALL_ID = re.compile(rb"^call-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_FOR_CALL = re.compile(rb"^%s:\s*(\S+)" % CALL_HEADER.encode(), re.MULTILINE)
_OF_INVITE = re.compile(rb"^cseq:\s*\d+\s+INVITE", re.IGNORECASE | re.MULTILINE)
_MEDIA = re.compile(rb"^m=audio (\d+)", re.MULTILINE)
_ORDER = re.compile(rb"POST /v1/calls/([^/ ]+)/(consult|swap|merge|forward) ")
_NEW_TO_CUSTOMER = {"swap": AGENT_HZ, "merge": CONSULTANT_HZ, "forward": CONSULTANT_HZ}


@dataclass(slots=True)
class Ordered:
    """One order; times in seconds since the epoch by the kernel."""

    at: float
    """The request left its client."""
    done: float | None = None
    """A consult: the INVITE left us. Else: the first packet to the customer with the tone of whom they now hear."""
    heard_already: bool = False
    """The customer heard that tone before, so `done` says nothing."""


class Reader:
    """Tells the calls apart: the INVITE to a consultant names the customer's Call-ID, RTP goes by our ports."""

    def __init__(self, scene: Scene, desk: Desk, calls: dict[str, str]) -> None:
        """`calls` as the desk's."""
        self._scene, self._desk, self._calls = scene, desk, calls
        self.orders: defaultdict[str, list[Ordered]] = defaultdict(list)
        """By what was ordered."""
        self._consulting: dict[str, Ordered] = {}
        self._joining: dict[str, tuple[Ordered, int]] = {}
        """Those that are not heard yet, with the tone; both by the customer's Call-ID."""
        self._customers_media: dict[int, str] = {}
        self._last_heard: dict[str, bytes] = {}

    @staticmethod
    def wanted(scene: Scene, desk: Desk) -> str:
        """What must be captured, from before the calls are placed."""
        return f"tcp dst port {desk.port} or udp port {scene.sip_port} or udp dst port {scene.rtp_port}"

    def read(self, datagrams: Iterable[Datagram]) -> dict[str, list[Ordered]]:
        """All orders."""
        for datagram in datagrams:
            if datagram.port == self._scene.rtp_port:
                self._customer_hears(datagram)
            elif datagram.port == self._desk.port:
                self._ordered(datagram)
            else:
                self._sip(datagram)
        return self.orders

    def _ordered(self, datagram: Datagram) -> None:
        found = _ORDER.match(datagram.data)
        if found is None:
            return
        what, sip_call_id = found[2].decode(), self._calls[found[1].decode()]
        order = Ordered(datagram.at)
        self.orders[what].append(order)
        if what == "consult":
            self._consulting[sip_call_id] = order
        else:
            hz = _NEW_TO_CUSTOMER[what]
            order.heard_already = has_tone(self._last_heard.get(sip_call_id, b""), hz)
            self._joining[sip_call_id] = (order, hz)

    def _sip(self, datagram: Datagram) -> None:
        found, media = _CALL_ID.search(datagram.data), _MEDIA.search(datagram.data)
        if found is None or media is None:
            return
        if datagram.data.startswith(b"INVITE ") and datagram.port == self._scene.consultants_sip_port:
            for_call = _FOR_CALL.search(datagram.data)
            order = self._consulting.pop(for_call[1].decode(), None) if for_call else None
            if order is not None:
                order.done = datagram.at
        elif self._we_answer(datagram):
            self._customers_media[int(media[1])] = found[1].decode()

    def _we_answer(self, datagram: Datagram) -> bool:
        ours = datagram.source_port == self._scene.sip_port and datagram.data.startswith(b"SIP/2.0 200")
        return ours and _OF_INVITE.search(datagram.data) is not None

    def _customer_hears(self, datagram: Datagram) -> None:
        sip_call_id = self._customers_media.get(datagram.source_port)
        if sip_call_id is None or not is_pcmu(datagram):
            return
        self._last_heard[sip_call_id] = sound = datagram.data[HEADER:]
        if sip_call_id in self._joining and has_tone(sound, self._joining[sip_call_id][1]):
            self._joining.pop(sip_call_id)[0].done = datagram.at
