"""What a capture says of calls that were switched to agents: when each thing was on the wire; for transfers.py."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.bot import CALL_HEADER
from tests.bench.capture import Datagram
from tests.bench.rtp import HEADER, is_pcmu
from tests.bench.scene import Scene
from tests.bench.tones import AGENT_HZ, CUSTOMER_HZ, has_tone

_CALL_ID = re.compile(rb"^call-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_FROM_BOT = re.compile(rb'"%s":\s*"([^"]+)"' % CALL_HEADER.encode())
_FOR_AGENT = re.compile(rb"^%s:\s*(\S+)" % CALL_HEADER.encode(), re.MULTILINE)
_OF_INVITE = re.compile(rb"^cseq:\s*\d+\s+INVITE", re.IGNORECASE | re.MULTILINE)
_MEDIA = re.compile(rb"^m=audio (\d+)", re.MULTILINE)


@dataclass(slots=True)
class Switched:
    """One call; times in seconds since the epoch by the kernel, None for what did not happen."""

    replied: float | None = None
    """The bot's reply left it."""
    invited: float | None = None
    """The first INVITE to the agent."""
    answered: float | None = None
    """The agent's first 200."""
    acked: float | None = None
    spoke: float | None = None
    """The agent's first RTP after the 200: it must be at once, else it is the agent who is late."""
    agent_heard: float | None = None
    """The first packet to the agent with the customer's tone."""
    customer_heard: float | None = None


class Reader:
    """Tells the calls apart: the bot names the customer's Call-ID in the INVITE, RTP goes by the gateway's ports."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.calls: dict[bytes, Switched] = {}
        """By the customer's Call-ID."""
        self._to_agent: dict[bytes, Switched] = {}
        self._agents_media: dict[int, Switched] = {}
        self._customers_media: dict[int, Switched] = {}

    @staticmethod
    def wanted(scene: Scene) -> str:
        """What must be captured."""
        rtp = f"udp port {scene.agents_rtp_port} or udp dst port {scene.rtp_port}"
        return f"tcp src port {scene.bot_port} or udp port {scene.sip_port} or {rtp}"

    def read(self, datagrams: Iterable[Datagram]) -> list[Switched]:
        """All calls that the bot switched."""
        scene = self._scene
        for datagram in datagrams:
            if datagram.port == scene.rtp_port:
                self._customer_hears(datagram)
            elif datagram.port == scene.agents_rtp_port:
                self._agent_hears(datagram)
            elif datagram.source_port == scene.agents_rtp_port:
                call = self._agents_media.get(datagram.port)
                if call is not None and call.answered is not None and call.spoke is None:
                    call.spoke = datagram.at
            elif datagram.source_port == scene.bot_port:
                for call_id in _FROM_BOT.findall(datagram.data):
                    self.calls.setdefault(call_id, Switched()).replied = datagram.at
            else:
                self._sip(datagram)
        return [call for call in self.calls.values() if call.replied is not None]

    def _sip(self, datagram: Datagram) -> None:
        found = _CALL_ID.search(datagram.data)
        if found is None:
            return
        call_id, media = found[1], _MEDIA.search(datagram.data)
        for_agent = _FOR_AGENT.search(datagram.data)
        if datagram.data.startswith(b"INVITE ") and for_agent is not None and media is not None:
            call = self.calls.setdefault(for_agent[1].rstrip(), Switched())
            if call.invited is None:
                call.invited = datagram.at
                self._to_agent[call_id] = self._agents_media[int(media[1])] = call
        elif datagram.data.startswith(b"ACK ") and call_id in self._to_agent:
            self._to_agent[call_id].acked = self._to_agent[call_id].acked or datagram.at
        elif datagram.data.startswith(b"SIP/2.0 200") and _OF_INVITE.search(datagram.data) and media is not None:
            if call_id in self._to_agent:
                self._to_agent[call_id].answered = self._to_agent[call_id].answered or datagram.at
            else:
                self._customers_media[int(media[1])] = self.calls.setdefault(call_id, Switched())

    def _customer_hears(self, datagram: Datagram) -> None:
        call = self._customers_media.get(datagram.source_port)
        if call is None or call.answered is None or call.customer_heard is not None:
            return
        if is_pcmu(datagram) and has_tone(datagram.data[HEADER:], AGENT_HZ):
            call.customer_heard = datagram.at

    def _agent_hears(self, datagram: Datagram) -> None:
        call = self._agents_media.get(datagram.source_port)
        if call is None or call.answered is None or call.agent_heard is not None:
            return
        if is_pcmu(datagram) and has_tone(datagram.data[HEADER:], CUSTOMER_HZ):
            call.agent_heard = datagram.at
