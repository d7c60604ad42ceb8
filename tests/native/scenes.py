"""Scenes with a real PJSIP, each in a process of its own, for test_pcm_port.py: `python scenes.py NAME` prints JSON."""

import contextlib
import gc
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pjsua2 as pj

RATE = 8000
FRAME = 160


@contextlib.contextmanager
def endpoint(max_ports: int = 256, max_calls: int = 32, quality: int = 4) -> Iterator[Any]:
    """The one Endpoint of this process, with the media clock of a gateway."""
    ep = pj.Endpoint()
    ep.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 1
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.maxCalls = max_calls
    media = config.medConfig
    media.clockRate = media.sndClockRate = RATE
    media.audioFramePtime, media.maxMediaPorts, media.quality = 20, max_ports, quality
    media.hasIoqueue, media.threadCnt, media.noVad, media.ecTailLen, media.sndAutoCloseTime = True, 1, True, 0, -1
    ep.libInit(config)
    ep.audDevManager().setNullDev()
    ep.libStart()
    yield ep
    gc.collect()
    ep.libDestroy()


def port(hub: Any, number: int, rate: int = RATE, capture_ms: int = 2000) -> Any:
    made = pj.PcmPort(hub, number, capture_ms)
    made.createPort(rate, rate // 50)
    return made


def noise(samples: int, seed: int = 1) -> bytes:
    """PCM in which every stretch is unlike any other."""
    return np.random.default_rng(seed).integers(-9000, 9000, samples, dtype=np.int16).tobytes()


def drain_for(hub: Any, seconds: float) -> tuple[dict[int, bytes], list[tuple[Any, ...]]]:
    """Audio by port, and all else that happened, as an event loop would take it."""
    audio: dict[int, bytes] = {}
    others = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([hub.fd()], [], [], left)[0]:
            for number, kind, value, data in hub.drain():
                if kind == pj.PCM_AUDIO:
                    audio[number] = audio.get(number, b"") + data
                else:
                    others.append((number, kind, value, data))
    return audio, others


def settle() -> None:
    """Long enough for the bridge, which connects at its next tick."""
    time.sleep(0.1)


@contextlib.contextmanager
def busy_python() -> Iterator[None]:
    """Three threads that want the interpreter all the time; one keeps it for long, as a large json.loads() does."""
    stop = threading.Event()

    def turns() -> None:
        n = 0
        while not stop.is_set():
            n += 1

    def keeps() -> None:
        while not stop.is_set():
            sum(range(6_000_000))

    threads = [threading.Thread(target=f, daemon=True) for f in (turns, turns, keeps)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


# ── the media clock and a busy interpreter ──────────────────────────────────────────────────────────────────────────


def clock_native() -> dict[str, Any]:
    """A prompt was handed over, the interpreter is busy: what did the bridge and the listener get?"""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2, capture_ms=8000)
        listener.set_capture(True)
        speaker.startTransmit(listener)
        prompt = noise(RATE * 8)
        speaker.write(prompt, tag=1, more=True)
        settle()
        before, began = speaker.stats(True), time.monotonic()
        listener.stats(True), hub.stats(True)
        with busy_python():
            time.sleep(4)
        took, after = time.monotonic() - began, speaker.stats()
        heard = b"".join(e[3] for e in hub.drain() if e[:2] == (2, pj.PCM_AUDIO))
        result = {
            "frames_per_second": (after.framesOut - before.framesOut) / took,
            "max_gap_ms": max(after.maxGapOutUs, listener.stats().maxGapInUs, hub.stats().maxGapUs) / 1000,
            "underruns": speaker.underruns(),
            "dropped": listener.stats().dropped,
            "whole": prompt.startswith(heard.lstrip(b"\0")),
            "heard_seconds": len(heard) / 2 / RATE,
        }
        speaker.close(), listener.close()
    return result


class _PythonPort(pj.AudioMediaPort):
    """The same in Python: a callback on the media clock for each frame and direction."""

    def __init__(self, pcm: bytes) -> None:
        super().__init__()
        self.pcm, self.at, self.times = pcm, 0, [time.monotonic()]
        fmt = pj.MediaFormatAudio()
        fmt.init(pj.PJMEDIA_FORMAT_L16, RATE, 1, 20000, 16)
        self.createPort("python", fmt)

    def onFrameRequested(self, frame: Any) -> None:
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = pj.ByteVector(self.pcm[self.at : self.at + 2 * FRAME])
        self.at = (self.at + 2 * FRAME) % (len(self.pcm) - 2 * FRAME)

    def onFrameReceived(self, frame: Any) -> None:
        self.times.append(time.monotonic())


def clock_python() -> dict[str, Any]:
    """The control: the same measurement on Python's AudioMediaPort, and on a native port beside it."""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = _PythonPort(noise(RATE)), _PythonPort(noise(RATE))
        bystander = port(hub, 1)
        speaker.startTransmit(listener)
        settle()
        bystander.stats(True)
        listener.times.clear()
        began, frames = time.monotonic(), bystander.stats().framesIn
        with busy_python():
            time.sleep(4)
        took = time.monotonic() - began
        times = list(listener.times)
        gaps = [b - a for a, b in zip([began, *times], [*times, began + took], strict=True)]
        result = {
            "frames_per_second": len(times) / took,
            "max_gap_ms": max(gaps) * 1000,
            "bystander_max_gap_ms": bystander.stats().maxGapInUs / 1000,
            "bystander_frames_per_second": (bystander.stats().framesIn - frames) / took,
        }
        speaker.stopTransmit(listener)
        settle()
        bystander.close()
        del speaker, listener
    return result


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────


def queue_order() -> dict[str, Any]:
    """Tags are told in order, an empty buffer is a mark, positions add up, what was heard is what was written."""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2)
        speaker.startTransmit(listener)
        listener.set_capture(True)
        settle()
        first, second, third = noise(1000, 1), noise(333, 2), noise(4, 3)
        ends = [
            speaker.write(first, tag=11, more=True),
            speaker.write(bytearray(second), more=True),
            speaker.write(b"", tag=12, more=True),
            speaker.write(memoryview(third), 13),
        ]
        waiting = speaker.queued()
        audio, others = drain_for(hub, 0.5)
        result = {
            "ends": ends,
            "waiting": waiting,
            "played": [[kind == pj.PCM_PLAYED, tag, position] for number, kind, tag, position in others if number == 1],
            "exact": first + second + third in audio[2],
            "silence_around": audio[2].replace(first + second + third, b"").strip(b"\0") == b"",
            "position": speaker.position(),
            "queued": speaker.queued(),
            "underruns": speaker.underruns(),
        }
        speaker.close(), listener.close()
    return result


def flush() -> dict[str, Any]:
    """Barge-in: nothing that was queued is heard after flush(), and every tag is told, with what was played."""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2)
        speaker.startTransmit(listener)
        listener.set_capture(True)
        settle()
        short, prompt, never = noise(160, 1), noise(RATE * 2, 2), noise(RATE, 3)
        speaker.write(short, tag=1)
        speaker.write(prompt, tag=2)
        speaker.write(never, tag=3)
        speaker.write(b"", tag=4)
        drain_for(hub, 0.3)
        began = time.perf_counter()
        stopped = speaker.flush()
        flush_ms = (time.perf_counter() - began) * 1000
        position, queued = speaker.position(), speaker.queued()
        _, told = drain_for(hub, 0.06)
        audio, _ = drain_for(hub, 0.2)
        after = noise(400, 4)
        end = speaker.write(after, tag=5)
        later, played = drain_for(hub, 0.2)
        result = {
            "flush_ms": flush_ms,
            "stopped": stopped,
            "position": position,
            "queued": queued,
            "told": [[kind == pj.PCM_FLUSHED, tag, data] for _, kind, tag, data in told],
            "silent": audio[2].strip(b"\0") == b"",
            "end": end,
            "played": [[kind == pj.PCM_PLAYED, tag, data] for _, kind, tag, data in played],
            "after_heard": after in later[2],
        }
        speaker.close(), listener.close()
    return result


def loop() -> dict[str, Any]:
    """A loop repeats without a seam until flush(), and what is written after that plays."""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2)
        speaker.startTransmit(listener)
        listener.set_capture(True)
        settle()
        music, after = noise(333), noise(500, 2)
        speaker.loop(pj.PcmBuffer(music))
        audio, _ = drain_for(hub, 0.6)
        speaker.flush()
        drain_for(hub, 0.1)
        speaker.write(after)
        later, _ = drain_for(hub, 0.2)
        heard = audio[2].lstrip(b"\0")
        errors = []
        for bad in (b"", pj.PcmBuffer(b"")):
            with contextlib.suppress(ValueError):
                speaker.loop(bad)
                errors.append("taken")
        result = {
            "rounds": len(heard) // len(music),
            "seamless": heard == (music * (len(heard) // len(music) + 1))[: len(heard)],
            "after_heard": after in later[2],
            "errors": errors,
        }
        speaker.close(), listener.close()
    return result


def underruns() -> dict[str, Any]:
    """Running dry counts only when the writer said that more follows."""
    hub = pj.PcmHub()
    counts = []
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2)
        speaker.startTransmit(listener)
        settle()
        speaker.write(noise(400))
        time.sleep(0.2)
        counts.append(speaker.underruns())  # the end of a stream: none
        speaker.write(noise(400), more=True)
        time.sleep(0.25)
        counts.append(speaker.underruns())  # a gap of some 10 frames
        speaker.write(noise(400), more=True)
        speaker.write(b"")  # the stream ends: no more
        time.sleep(0.1)
        closed = speaker.underruns()
        time.sleep(0.2)
        counts.append(speaker.underruns() - closed)
        speaker.write(noise(400), more=True)
        speaker.flush()
        time.sleep(0.1)
        flushed = speaker.underruns()
        time.sleep(0.1)
        counts.append(speaker.underruns() - flushed)  # dropped by the writer: none
        speaker.close(), listener.close()
    return {"counts": counts}


def nobody_listens() -> dict[str, Any]:
    """A parked voice does not run on, and can be flushed all the same."""
    hub = pj.PcmHub()
    with endpoint():
        speaker = port(hub, 1)
        settle()
        speaker.write(noise(800), tag=1)
        time.sleep(0.2)
        position, queued = speaker.position(), speaker.queued()
        stopped = speaker.flush()
        told = [[kind == pj.PCM_FLUSHED, tag, data] for _, kind, tag, data in hub.drain()]
        speaker.close()
    return {"position": position, "queued": queued, "stopped": stopped, "told": told}


def shared_buffer() -> dict[str, Any]:
    """One prompt queued on many ports is in memory once."""
    hub = pj.PcmHub()
    with endpoint(max_ports=400):
        ports = [port(hub, n) for n in range(300)]
        prompt = pj.PcmBuffer(noise(RATE * 30))
        before = _rss_mb()
        for each in ports:
            each.write(prompt)
        grown = _rss_mb() - before
        for each in ports:
            each.close()
    return {"grown_mb": grown, "prompt_mb": prompt.samples() * 2 / 1e6}


# ── capture ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def capture_off_and_full() -> dict[str, Any]:
    """Nothing is stored until asked for; what does not fit is counted and told, not waited for."""
    hub = pj.PcmHub()
    with endpoint():
        speaker, listener = port(hub, 1), port(hub, 2, capture_ms=200)
        speaker.startTransmit(listener)
        settle()
        speaker.loop(noise(RATE))
        time.sleep(0.2)
        unasked = [e for e in hub.drain() if e[0] == 2]
        listener.set_capture(True)
        time.sleep(0.8)  # four times what fits
        first = hub.drain()
        time.sleep(0.1)
        second = hub.drain()
        listener.set_capture(False)
        settle()
        hub.drain()
        time.sleep(0.1)
        off = hub.drain()
        kept = sum(len(d) // 2 for _, kind, _, d in first if kind == pj.PCM_AUDIO)
        lost = sum(v for _, kind, v, _ in first if kind == pj.PCM_DROPPED)
        result = {
            "unasked": len(unasked),
            "kept": kept,
            "lost": lost,
            "kinds": [kind for _, kind, _, _ in first],
            "second_starts": next(v for _, kind, v, _ in second if kind == pj.PCM_AUDIO),
            "counted": listener.stats().dropped,
            "off": len(off),
        }
        speaker.close(), listener.close()
    return result


def other_rates() -> dict[str, Any]:
    """A 16 kHz port on the 8 kHz bridge: the bridge resamples both ways; the tone is found by its pitch."""
    hub = pj.PcmHub()
    with endpoint():
        wide, narrow, wide_ear = port(hub, 1, 16000), port(hub, 2), port(hub, 3, 16000)
        wide.startTransmit(narrow), wide.startTransmit(wide_ear)
        narrow.set_capture(True), wide_ear.set_capture(True)
        settle()
        tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16).tobytes()
        wide.write(tone, tag=1)
        audio, others = drain_for(hub, 1.4)
        result = {"tags": [value for _, kind, value, _ in others if kind == pj.PCM_PLAYED]}
        for number, rate in ((2, RATE), (3, 16000)):
            heard = np.frombuffer(audio[number].strip(b"\0") + b"\0", dtype=np.int16, count=int(0.8 * rate), offset=0)
            spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
            result[f"peak_hz_{rate}"] = float(np.argmax(spectrum) * rate / len(heard))
            result[f"share_{rate}"] = float(np.sort(spectrum**2)[-5:].sum() / (spectrum**2).sum())
        for each in (wide, narrow, wide_ear):
            each.close()
    return result


# ── the hub ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def one_wake_up_per_tick() -> dict[str, Any]:
    """Fifty ports that capture: one wake-up per tick finds them all."""
    hub = pj.PcmHub()
    with endpoint():
        speaker = port(hub, 1)
        listeners = [port(hub, 10 + n) for n in range(50)]
        for listener in listeners:
            speaker.startTransmit(listener)
            listener.set_capture(True)
        speaker.loop(noise(RATE))
        time.sleep(0.3)
        hub.drain()
        before = hub.stats(True)
        sizes = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            if select.select([hub.fd()], [], [], 0.5)[0]:
                sizes.append(sum(1 for e in hub.drain() if e[1] == pj.PCM_AUDIO))
        after = hub.stats()
        ticks = after.ticks - before.ticks
        result = {
            "ticks": ticks,
            "signals": after.signals - before.signals,
            "full_share": sizes.count(50) / len(sizes),
            "ports": after.ports,
        }
        for each in (speaker, *listeners):
            each.close()
    return result


def churn() -> dict[str, Any]:
    """A thousand ports made and closed, three times: no descriptor, no slot and no memory stays."""
    hub = pj.PcmHub()
    rounds = []
    with endpoint(max_ports=1100):
        silence = noise(1600)
        for _ in range(4):
            ports = [port(hub, n) for n in range(1000)]
            for left, right in zip(ports[::2], ports[1::2], strict=True):
                left.startTransmit(right)
                right.set_capture(True)
                left.write(silence, tag=1)
            time.sleep(0.8)
            hub.drain()
            for n, each in enumerate(ports):
                if n % 2:
                    each.close()
            del each, left, right, ports
            gc.collect()
            time.sleep(0.8)  # the bridge removes at most 100 ports per tick
            rounds.append({"rss_mb": _rss_mb(), "fds": len(os.listdir("/proc/self/fd")), "ports": hub.stats().ports})
    return {"rounds": rounds}


def lifetimes() -> dict[str, Any]:
    """Ports, hub and endpoint may go in any order, with other threads at work on them."""
    hub = pj.PcmHub()
    with endpoint():
        ports = {n: port(hub, n) for n in range(20)}
        for n in range(0, 20, 2):
            ports[n].startTransmit(ports[n + 1])
            ports[n + 1].set_capture(True)
        stop = threading.Event()
        failures: list[str] = []

        def worker(work: Callable[[], object]) -> None:
            try:
                while not stop.is_set():
                    work()
            except Exception as e:  # noqa: BLE001
                failures.append(repr(e))

        def play() -> None:
            for each in list(ports.values()):
                each.write(b"\1\0" * 100, tag=5)
                each.loop(b"\1\0" * 100)
                each.flush()

        threads = [threading.Thread(target=worker, args=(work,), daemon=True) for work in (hub.drain, play)]
        for thread in threads:
            thread.start()
        for n in range(20, 220):
            ports[n] = port(hub, n)
            ports[n].set_capture(True)
            ports[n - 20].startTransmit(ports[n])
            time.sleep(0.005)
            gone = ports.pop(n - 20)
            if n % 3:
                gone.close()
                gone.write(b"\1\0", tag=1), gone.flush(), gone.set_capture(True), gone.loop(b"\1\0")
            elif n % 7 == 0:  # the garbage collector may run in any thread, one that PJSIP does not know included
                box = [gone]
                del gone
                remover = threading.Thread(target=box.clear)
                remover.start()
                remover.join()
            gone = None
        stop.set()
        for thread in threads:
            thread.join()
        orphan, survivor = ports.popitem()[1], ports.popitem()[1]
        ports.clear()
        del hub  # before its ports
        orphan.write(b"\1\0" * 4000, tag=3)
        settle()
        orphan.close()
    survivor.write(b"\1\0")  # after libDestroy()
    survivor.close()
    del survivor
    return {"failures": failures}


def errors() -> dict[str, Any]:
    """What a programmer does wrong raises what Python would raise."""
    seen = {}

    def note(name: str, work: Callable[[], object]) -> None:
        try:
            work()
            seen[name] = "nothing"
        except Exception as e:  # noqa: BLE001
            seen[name] = type(e).__name__

    hub = pj.PcmHub()
    early = pj.PcmPort(hub, 9)
    note("before libCreate", lambda: early.createPort(RATE, FRAME))
    with endpoint():
        speaker = port(hub, 1)
        note("odd", lambda: speaker.write(b"abc"))
        note("odd buffer", lambda: pj.PcmBuffer(b"abc"))
        note("text", lambda: speaker.write("abc"))
        note("number", lambda: speaker.loop(5))
        note("twice", lambda: speaker.createPort(RATE, FRAME))
        note("no rate", lambda: pj.PcmPort(hub, 2).createPort(0, FRAME))
        speaker.close()
        note("closed", lambda: speaker.write(b"ab", tag=1))
        note("closed twice", speaker.close)
    return seen


# ── the build ───────────────────────────────────────────────────────────────────────────────────────────────────────


def build() -> dict[str, Any]:
    """What this build is able to do, and the descriptor that wakes the PJSIP thread."""
    before = pj.sipPollFd()
    with endpoint(max_calls=1100) as ep:
        fd = pj.sipPollFd()
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress = 0, "127.0.0.1"
        made = ep.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        host, number = ep.transportGetInfo(made).localName.rsplit(":", 1)
        while ep.libHandleEvents(0) > 0:
            pass
        idle = select.select([fd], [], [], 0)[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"\r\n\r\n", (host, int(number)))
        woken = select.select([fd], [], [], 2)[0]
        codecs = [c.codecId.rpartition("/")[0] for c in ep.codecEnum2()]
        return {
            "version": [ep.libVersion().major, ep.libVersion().minor],
            "before": before,
            "kind": os.readlink(f"/proc/self/fd/{fd}"),
            "idle": bool(idle),
            "woken": bool(woken),
            "calls": pj.MAX_CALLS,
            "codecs": codecs,
        }


def _rss_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    outcome = globals()[sys.argv[1]]()
    print("\nRESULT " + json.dumps(outcome), flush=True)
