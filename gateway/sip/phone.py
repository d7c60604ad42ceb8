"""The SIP half of the terminal phone: one call, out or in, on an endpoint of its own; gateway/phone/call.py drives it.

What happens comes out as PhoneEvents, on the event loop: `sip` (a message, as told by PJSIP's states), `calling`,
`incoming`, `ringing`, `answered`, `digit-sent`, `dtmf-received`, `played`, `ended`. What is heard comes out as PCM.
"""

import asyncio
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pjsua2 as pj

from gateway.calls.model import JsonObject
from gateway.sip.endpoint import Endpoint, SipSettings
from gateway.sip.headers import Message
from gateway.sip.phone_call import DigitsBy, PhoneCall, PhoneLine

__all__ = ["CLOCK_RATE", "Dial", "DigitsBy", "Direction", "PhoneError", "PhoneEvent", "SipPhone"]

CLOCK_RATE: Final = 8000
_FRAME: Final = CLOCK_RATE // 50
_LOOK_AGAIN: Final = 0.02
_HEARD: Final = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_LOCAL_HOLD, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)


class PhoneError(Exception):
    """What was asked for cannot be done now; the text says why."""


class Direction(StrEnum):
    """What a re-INVITE of ours asks for (RFC 3264 §8.4)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Dial:
    """Whom to call and how. `proxy` is where the INVITE goes when `uri` holds a name, which PJSIP shall not resolve."""

    uri: str
    from_uri: str
    proxy: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    late_offer: bool = False


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """Something that happened at `at` (seconds since the epoch); `fields` are what its JSON line holds."""

    type: str
    at: float
    fields: JsonObject = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """The line that --json and --script print."""
        return {"type": self.type, "at": round(self.at, 4), **self.fields}


class SipPhone:
    """Start it, dial once or wait for one call, stop it. All methods are called on the event loop."""

    def __init__(
        self, settings: SipSettings, on_event: Callable[[PhoneEvent], None], on_heard: Callable[[bytes, int], None]
    ) -> None:
        """`on_heard` takes PCM and the index of its first sample; an index that jumps says that some were lost."""
        self._endpoint = Endpoint(settings)
        self._on_event, self._on_heard = on_event, on_heard
        self._account: Any = None
        self._call: PhoneCall | None = None
        self._hub: Any = None
        self._port: Any = None
        self._watched = -1
        self._tags = 0

    async def start(self) -> None:
        """Take ports. Raises OSError when an address cannot be had."""
        await self._endpoint.start()
        self._endpoint.at_stop(self._hang_up, lambda: self._call is None, self._release)
        await self._endpoint.run(self._open_port)
        self._watched = self._hub.fd()
        asyncio.get_running_loop().add_reader(self._watched, self._drain)

    async def stop(self) -> None:
        """Hang up, and leave nothing behind; safe to call twice."""
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1
        await self._endpoint.stop()
        self._hub = None

    async def dial(self, dial: Dial) -> None:
        """Send the INVITE. Raises PhoneError when PJSIP will not."""
        await self._do(self._dial, dial)

    async def wait(self) -> int:
        """From now on take a call: `incoming` comes, then say `ring` and `answer`, or `refuse`. The UDP port."""
        await self._do(self._wait)
        return self._endpoint.udp_port or 0

    async def ring(self) -> None:
        """180. Raises PhoneError when no call is to be answered."""
        await self._do(self._respond, pj.PJSIP_SC_RINGING)

    async def answer(self) -> None:
        """200. Raises PhoneError when no call is to be answered."""
        await self._do(self._respond, pj.PJSIP_SC_OK)

    async def refuse(self, status: int) -> None:
        """A final response of 400 to 699. Raises PhoneError when no call is to be answered."""
        await self._do(self._refuse, status)

    async def press(self, digit: str, by: DigitsBy, ms: int) -> None:
        """Send one digit of 0-9 * # A-D."""
        await self._do(self._press, digit, by, ms)

    async def direct(self, direction: Direction) -> None:
        """Send a re-INVITE: hold, or back."""
        await self._do(self._direct, direction)

    async def hang_up(self) -> None:
        """BYE, or CANCEL before the answer; `ended` follows. Nothing happens when there is no call."""
        await self._do(self._hang_up)

    def play(self, pcm: bytes) -> int:
        """Say it after what is being said; the number comes back in `played`."""
        self._tags += 1
        if self._port is not None:
            self._port.write(pcm, self._tags)
        return self._tags

    def loop(self, pcm: bytes) -> None:
        """Say it again and again, after what is being said, until `silence`."""
        if self._port is not None:
            self._port.loop(pcm)

    def silence(self) -> None:
        """Stop saying anything."""
        if self._port is not None:
            self._port.flush()

    def _drain(self) -> None:
        for _, kind, value, data in self._hub.drain():
            if kind == pj.PCM_AUDIO:
                self._on_heard(data, value)
            elif kind == pj.PCM_PLAYED:
                self._on_event(PhoneEvent("played", time.time(), {"number": value}))

    async def _do(self, fn: Callable[..., None], *args: object) -> None:
        try:
            await self._endpoint.run(fn, *args)
        except pj.Error as error:
            raise PhoneError(error.reason) from None

    # ── in the PJSIP thread ─────────────────────────────────────────────────────────────────────────

    def _open_port(self) -> None:
        self._hub = pj.PcmHub()
        self._port = pj.PcmPort(self._hub, 1)
        self._port.createPort(CLOCK_RATE, _FRAME)
        self._port.set_capture(True)

    def _dial(self, dial: Dial) -> None:
        if self._call is not None:
            raise PhoneError("there is a call already")
        config = self._endpoint.account(dial.from_uri)
        if dial.proxy:
            config.sipConfig.proxies.push_back(dial.proxy)
        self._account = pj.Account()
        self._account.create(config)
        options = pj.CallOpParam(True)
        options.opt.audioCount, options.opt.videoCount, options.opt.textCount = 1, 0, 0
        if dial.late_offer:
            options.opt.flag |= pj.PJSUA_CALL_NO_SDP_OFFER
        for name, value in dial.headers:
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            options.txOption.headers.push_back(header)
        self._call = PhoneCall(self._account, self._tell, self._connect, self._over)
        try:
            self._call.makeCall(dial.uri, options)
        except pj.Error:
            self._over()
            raise

    def _wait(self) -> None:
        self._account = PhoneLine(self._take)
        self._account.create(self._endpoint.account(f"<sip:phone@{self._endpoint.settings.bind}>"))

    def _take(self, call_id: int, invite: Message) -> None:
        if self._call is not None:
            return  # PJSUA ends what nobody takes
        self._call = PhoneCall(self._account, self._tell, self._connect, self._over, call_id)
        self._call.offered(invite)

    def _respond(self, status: int) -> None:
        options = pj.CallOpParam(True)
        options.opt.audioCount, options.opt.videoCount, options.opt.textCount = 1, 0, 0
        options.statusCode = status
        self._offered().answer(options)

    def _refuse(self, status: int) -> None:
        call = self._offered()
        call.hung_up = True
        options = pj.CallOpParam(True)
        options.statusCode = status
        call.hangup(options)

    def _offered(self) -> PhoneCall:
        if self._call is None or not self._call.incoming or self._call.confirmed or self._call.hung_up:
            raise PhoneError("no call is to be answered")
        return self._call

    def _press(self, digit: str, by: DigitsBy, ms: int) -> None:
        param = pj.CallSendDtmfParam()
        info = by is DigitsBy.INFO
        param.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if info else pj.PJSUA_DTMF_METHOD_RFC2833
        param.duration, param.digits = ms, digit
        self._live().sendDtmf(param)
        if info:
            self._tell("sip", {"dir": "sent", "what": "INFO"})
        self._tell("digit-sent", {"digit": digit, "by": by.value})

    def _direct(self, direction: Direction) -> None:
        options = pj.CallOpParam(True)
        options.opt.audioCount, options.opt.videoCount, options.opt.textCount = 1, 0, 0
        options.opt.flag = pj.PJSUA_CALL_SET_MEDIA_DIR | pj.PJSUA_CALL_UNHOLD
        options.opt.mediaDir.push_back(
            {
                Direction.SENDRECV: pj.PJMEDIA_DIR_ENCODING_DECODING,
                Direction.SENDONLY: pj.PJMEDIA_DIR_ENCODING,
                Direction.INACTIVE: pj.PJMEDIA_DIR_NONE,
            }[direction]
        )
        self._live().reinvite(options)
        self._tell("sip", {"dir": "sent", "what": f"INVITE ({direction})"})

    def _live(self) -> PhoneCall:
        if self._call is None:
            raise PhoneError("there is no call")
        if not self._call.confirmed:
            raise PhoneError("the call is not answered yet")
        return self._call

    def _hang_up(self) -> None:
        call = self._call
        if call is None or call.hung_up:
            return
        call.hung_up = True
        if call.confirmed or not call.incoming:  # a refusal shows itself at the end
            self._tell("sip", {"dir": "sent", "what": "BYE" if call.confirmed else "CANCEL"})
        call.hangup(pj.CallOpParam(True))

    def _connect(self, call: PhoneCall) -> None:
        """After each negotiation: the leg's slot in the bridge may be a new one, without our edges (pjsip.md)."""
        info = call.getInfo()  # `media` is a view into it: without a name for it, it would be freed first
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status in _HEARD and media.dir != pj.PJMEDIA_DIR_NONE:
                audio = call.getAudioMedia(index)
                self._port.startTransmit(audio)
                audio.startTransmit(self._port)
                return

    def _over(self, ended: JsonObject | None = None) -> None:
        """PJSIP is done with the call. For a hang-up of ours it says so before the BYE or CANCEL is answered, and
        nothing afterwards: so look until the call's slot is free, and tell only then."""
        if ended is not None and pj_calls() > 0:
            self._endpoint.later(_LOOK_AGAIN, lambda: self._over(ended))
            return
        if self._call is not None and ended is not None:
            self._tell("ended", ended)
        self._endpoint.bury(self._call)
        self._call = None

    def _release(self) -> None:
        self._call = None
        if self._port is not None:
            port, self._port = self._port, None
            port.close()
        if self._account is not None:
            self._account.shutdown()
            self._account = None

    def _tell(self, kind: str, fields: JsonObject) -> None:
        self._endpoint.emit(self._on_event, PhoneEvent(kind, time.time(), fields))


def pj_calls() -> int:
    """How many calls PJSUA has, those included whose BYE is under way; pjsua2 has no such method."""
    count: int = ctypes.CDLL(pj._pjsua2.__file__).pjsua_call_get_count()
    return count
