"""The engine's Bridge port: voices on native PcmPorts, hold music, edges; the event loop's half (other: mixer.py)."""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import pjsua2 as pj

from gateway.calls.model import RINGBACK_TONE, CallId, Edge, MusicParty
from gateway.engine.ports import VoiceSink
from gateway.sip.endpoint import Endpoint, reason_of
from gateway.sip.mixer import Mixer
from gateway.telemetry.log import get_logger

log = get_logger(__name__)

_SAMPLE_BYTES: Final = 2
_PULSE: Final = 0
_WORTH_SHARING: Final = 4_000
_MOST_SHARED: Final = 64 << 20


class SipBridge:
    """`Bridge`. Playback belongs to the media clock: what was written plays on, however busy Python is.

    A voice that nobody hears any more plays on silently, so its marks come when they would have come.
    """

    def __init__(self, endpoint: Endpoint, music: Callable[[str], bytes]) -> None:
        """`music` gives the PCM (at `clock_rate`) of a name; it is called in a worker thread, once per name."""
        self.mixer = Mixer(endpoint)
        self._endpoint = endpoint
        self._load_music = music
        self._sink: VoiceSink = lambda call_id, mark, played, flushed: None
        self._hub: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = itertools.count(1)
        self._voices: dict[CallId, _Voice] = {}
        self._by_number: dict[int, tuple[CallId, _Voice]] = {}
        self._music: set[str] = set()
        self._shared = _SharedBuffers()
        self._past_underruns = 0
        self._unwatched = True
        """Since the longest gap was asked for last, there was a moment without any voice."""

    @property
    def clock_rate(self) -> int:
        """Samples per second of all PCM."""
        return self._endpoint.settings.clock_rate

    def start(self, voices: VoiceSink) -> None:
        """Take up work; the endpoint runs already."""
        self._sink = voices
        self._hub = pj.PcmHub()
        self._loop = asyncio.get_running_loop()
        self._endpoint.submit(self.mixer.add_pulse, pj.PcmPort(self._hub, _PULSE), self.clock_rate)
        self._loop.add_reader(self._hub.fd(), self._drain)

    def stop(self) -> None:
        """Listen to the ports no more; the mixer closes them when the endpoint ends."""
        if self._loop is not None and self._hub is not None:
            self._loop.remove_reader(self._hub.fd())
        self._loop = self._hub = None
        self._voices.clear()
        self._by_number.clear()
        self._music.clear()

    # ── the port ────────────────────────────────────────────────────────────────────────────────────

    def open_voice(self, call_id: CallId) -> None:
        """Make the call's voice; what is written before it is in the bridge waits in it."""
        if self._hub is None or call_id in self._voices:
            return
        number = next(self._numbers)
        voice = self._voices[call_id] = _Voice(pj.PcmPort(self._hub, number), number)
        self._by_number[number] = (call_id, voice)
        self._endpoint.submit(self.mixer.add_voice, call_id, voice.port, self.clock_rate)

    def write(self, call_id: CallId, pcm: bytes, mark: int, more: bool) -> None:
        """Queue a whole buffer."""
        voice = self._voices.get(call_id)
        if voice is None:
            return
        if mark:
            voice.lengths[mark] = len(pcm) // _SAMPLE_BYTES
        voice.port.write(self._shared.of(pcm), mark, more)

    def flush(self, call_id: CallId) -> None:
        """Drop all that is queued."""
        voice = self._voices.get(call_id)
        if voice is not None:
            voice.port.flush()

    def set_hearing(self, call_id: CallId, edges: frozenset[Edge]) -> None:
        """Make these, and only these, edges."""
        for edge in edges:
            if isinstance(edge.source, MusicParty) and edge.source.name not in self._music:
                self._fetch_music(edge.source.name)
        self._endpoint.submit(self.mixer.want, call_id, edges)

    def close_voice(self, call_id: CallId) -> None:
        """Disconnect and release."""
        voice = self._voices.pop(call_id, None)
        if voice is not None:
            del self._by_number[voice.number]
            self._unwatched = self._unwatched or not self._voices
            self._past_underruns += int(voice.port.underruns())
        self._endpoint.submit(self.mixer.close_call, call_id)

    def counts(self) -> dict[str, int]:
        """What is held, for tests and metrics."""
        return {"voices": len(self._voices), "ports": self.mixer.ports}

    @property
    def underruns(self) -> int:
        """Ticks of 20 ms, over all calls so far, in which a voice ran dry although more was to follow."""
        return self._past_underruns + sum(int(voice.port.underruns()) for voice in self._voices.values())

    def longest_gap_s(self) -> float:
        """The longest time between two ticks of the media clock since this was asked last; 0.02 is the rule. 0 if there
        was a moment without any voice: nobody sees the clock then, and that is no gap."""
        if self._hub is None:
            return 0.0
        gap_s, watched = self._hub.stats(True).maxGapUs / 1e6, not self._unwatched
        self._unwatched = not self._voices
        return gap_s if watched else 0.0

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _drain(self) -> None:
        if self._hub is None:
            return
        for number, kind, value, data in self._hub.drain():
            found = self._by_number.get(number)
            if found is None or kind not in (pj.PCM_PLAYED, pj.PCM_FLUSHED):
                continue
            call_id, voice = found
            length = voice.lengths.pop(value, 0)
            flushed = kind == pj.PCM_FLUSHED
            try:
                self._sink(call_id, value, data if flushed else length, flushed)
            except Exception:
                log.exception("bridge.listener_error", call_id=call_id)

    def _fetch_music(self, name: str) -> None:
        if self._loop is None:
            return
        self._music.add(name)
        loading = self._loop.run_in_executor(None, self._load_music, name)
        loading.add_done_callback(lambda done: self._add_music(name, done))

    def _add_music(self, name: str, loading: "asyncio.Future[bytes]") -> None:
        if self._hub is None or loading.cancelled():
            return
        error = loading.exception()
        if error is not None:
            self._music.discard(name)  # the next call that wants it tries again
            log.error("bridge.music_failed", music=name, detail=reason_of(error))
            return
        hub, loop = self._hub, pj.PcmBuffer(loading.result())

        def looping() -> Any:
            port = pj.PcmPort(hub, next(self._numbers))
            port.loop(loop)
            return port

        if name == RINGBACK_TONE.name:
            self._endpoint.submit(self.mixer.add_tone, name, looping, self.clock_rate)
        else:
            self._endpoint.submit(self.mixer.add_music, name, looping(), self.clock_rate)


class _SharedBuffers:
    """Native copies of what many calls play at a time: a prompt lies in memory once, not once for each caller.

    `Sounds` gives the same bytes object for the same prompt while it is hot, so the object itself is the key; it is
    kept with its copy, else another object could take its id.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[int, tuple[bytes, Any]] = OrderedDict()
        self._bytes = 0

    def of(self, pcm: bytes) -> Any:
        """What to give to PcmPort.write for these samples."""
        if not _WORTH_SHARING <= len(pcm) <= _MOST_SHARED // 4:
            return pcm
        held = self._held.get(id(pcm))
        if held is None:
            held = self._held[id(pcm)] = (pcm, pj.PcmBuffer(pcm))
            self._bytes += len(pcm)
            while self._bytes > _MOST_SHARED:
                self._bytes -= len(self._held.popitem(last=False)[1][0])
        else:
            self._held.move_to_end(id(pcm))
        return held[1]


class _Voice:
    """A call's port, its number in the hub, and the lengths of its marked buffers."""

    __slots__ = ("lengths", "number", "port")

    def __init__(self, port: Any, number: int) -> None:
        self.port = port
        self.number = number
        self.lengths: dict[int, int] = {}
