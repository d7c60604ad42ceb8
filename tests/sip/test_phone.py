"""The terminal phone on the wire, against SIPp as the other side."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import spectrum
from tests.phone import ROOT, Phone

SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass
class Peer:
    """A SIPp that waits for one call."""

    port: int
    trace: Path
    process: asyncio.subprocess.Process

    @property
    def uri(self) -> str:
        return f"sip:100@127.0.0.1:{self.port}"

    async def messages(self) -> str:
        """What it received and sent, once its call is over; its scenario was followed to the end."""
        async with asyncio.timeout(10):
            assert await self.process.wait() == 0
        return self.trace.read_text(errors="replace").replace("\r", "")


StartPeer = Callable[..., Awaitable[Peer]]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def start_peer(tmp_path: Path) -> AsyncIterator[StartPeer]:
    started: list[asyncio.subprocess.Process] = []

    async def start(scenario: str = "phone_peer", tcp: bool = False, reason: str = "none") -> Peer:
        port = free_port(socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        trace = tmp_path / f"sipp-{port}.log"
        process = await asyncio.create_subprocess_exec(
            "sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-p", str(port), "-m", "1",
            "-t", "t1" if tcp else "u1", "-rtp_echo", "-mp", str(free_port(socket.SOCK_DGRAM) & ~1), "-nostdin",
            "-key", "reason", reason, "-timeout", "60", "-trace_msg", "-message_file", str(trace),
            cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        await _listening(port, tcp)
        return Peer(port, trace, process)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(port: int, tcp: bool) -> None:
    wanted = f":{port:04X} "
    async with asyncio.timeout(5):
        while wanted not in Path("/proc/net/tcp" if tcp else "/proc/net/udp").read_text():
            await asyncio.sleep(0.02)


async def run_phone(*args: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the phone without a script."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "call",
        *args,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_it_says_comes_back_and_is_heard_and_recorded(start_peer: StartPeer, tmp_path: Path) -> None:
    peer, wav = await start_peer(), tmp_path / "heard.wav"
    async with Phone(peer.uri, tone=440, record=wav) as phone:
        assert (await phone.answered())["codec"] == "PCMU"
        await phone.event("audio-started")
        heard = await phone.listen(1000)
        assert len(heard) == 16000
        assert spectrum.dominant_hz(heard) == pytest.approx(440, abs=1)
        assert spectrum.tone_db(heard, 440) == pytest.approx(-12, abs=1)
        assert spectrum.longest_gap(heard) < 0.03
        await phone.send("tone", hz=1000)
        await asyncio.sleep(0.3)
        assert spectrum.dominant_hz(await phone.listen(400)) == pytest.approx(1000, abs=2)
        await phone.send("silence")
        await asyncio.sleep(0.3)
        assert spectrum.rms_db(await phone.listen(300)) < -60
        ended = await phone.hang_up()
        assert (ended["by"], ended["status"], ended["answered"]) == ("phone", 200, True)
        assert await phone.wait() == 0
        assert phone.messages() == ["> INVITE", "< 180 Ringing", "< 200 OK", "> ACK", "> BYE"]
        assert phone.stderr == ""
    await peer.messages()
    samples, rate = spectrum.read(wav)
    assert rate == 8000
    assert samples.size / rate == pytest.approx(phone.of("recorded")[0]["seconds"], abs=0.01)
    assert spectrum.has_tone(samples, 440) and spectrum.has_tone(samples, 1000)


async def test_speech_and_files_are_played_one_after_the_other(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri, say="Good morning.", play=ROOT / "media" / "prompts" / "apology.wav") as phone:
        await phone.event("playing", number=1)
        assert (await phone.event("saying", number=2))["text"] == "Good morning."
        await phone.event("played", timeout=20, number=1)
        heard = await phone.listen(1000)
        assert spectrum.rms_db(heard) > -40
        await phone.event("played", timeout=20, number=2)
        await phone.send("say", text="And goodbye.")
        await phone.event("played", timeout=20, number=3)


async def test_digits_by_rtp_and_by_info(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri, digits="1w2", digits_after=0.3) as phone:
        await phone.event("digit-sent", digit="1", by="rfc4733")
        await phone.event("digit-sent", digit="2", by="rfc4733")
        await phone.event("dtmf-received", digit="2", by="rfc4733")  # SIPp echoes all RTP
        assert phone.digits_heard() == "12"
        await phone.digits("*#", by="info")
        await phone.send("digits", digits="1x")
        assert "1x" in (await phone.event("error"))["detail"]
        await phone.hang_up()
    sent = await peer.messages()
    assert re.findall(r"\nSignal=(.)\n", sent) == ["*", "#"]


async def test_hold_both_ways_and_back(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri, tone=440) as phone:
        await phone.answered()
        await phone.event("audio-started")
        for order, said in (("hold", "sendonly"), ("hold_inactive", "inactive"), ("unhold", "sendrecv")):
            await phone.send(order)
            await phone.event("sip", what=f"INVITE ({said})")
            await asyncio.sleep(0.5)
            if order == "hold_inactive":
                assert spectrum.rms_db(await phone.listen(300)) < -60, "without media, time passes as silence"
        assert spectrum.has_tone(await phone.listen(300), 440), "after unhold the new media is connected"
        await phone.hang_up()
    offers = re.findall(r"\nINVITE .*?(?=\n-----)", await peer.messages(), re.DOTALL)
    assert [re.findall(r"a=(send\w+|recv\w+|inactive)", offer)[-1:] for offer in offers] == [
        ["sendrecv"], ["sendonly"], ["inactive"], ["sendrecv"],
    ]  # fmt: skip


async def test_who_calls_and_extra_headers(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(
        peer.uri, from_="+12125550147", name='Ann "A" O\\Neil', header=["X-One: 1", "User-to-User: 56;encoding=hex"]
    ) as phone:
        await phone.answered()
    invite = (await peer.messages()).partition("\nACK ")[0]
    assert re.search(r'\nFrom: "Ann \\"A\\" O\\\\Neil" <sip:\+12125550147@127\.0\.0\.1>;tag=', invite)
    assert "\nX-One: 1\n" in invite
    assert "\nUser-to-User: 56;encoding=hex\n" in invite


async def test_late_offer(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri, late_offer=True, tone=440) as phone:
        assert (await phone.answered())["codec"] == "PCMU"
        await phone.event("audio-started")
        await phone.hang_up()
    invite, _, rest = (await peer.messages()).partition("\nSIP/2.0 200")
    assert "Content-Length: 0" in invite or "Content-Length:  0" in invite
    assert "m=audio" in rest.partition("\nACK ")[2].partition("\nBYE ")[0]


async def test_one_codec_only(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri, codec="pcmu") as phone:
        await phone.answered()
        await phone.hang_up()
    assert re.search(r"\nm=audio \d+ RTP/AVP 0 \d+\n", await peer.messages())


async def test_by_tcp(start_peer: StartPeer) -> None:
    peer = await start_peer(tcp=True)
    async with Phone(f"{peer.uri};transport=tcp", tone=440) as phone:
        await phone.event("audio-started")
        await phone.hang_up()
    assert "\nVia: SIP/2.0/TCP 127.0.0.1" in await peer.messages()


async def test_a_host_by_name_is_resolved_by_us_and_stays_in_the_uri(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(f"sip:100@localhost:{peer.port}") as phone:
        await phone.answered()
    invite = await peer.messages()
    assert f"\nINVITE sip:100@localhost:{peer.port} SIP/2.0\n" in invite
    assert "\nRoute:" not in invite


async def test_refused(start_peer: StartPeer) -> None:
    peer = await start_peer("phone_busy")
    async with Phone(peer.uri) as phone:
        ended = await phone.ended()
        assert (ended["status"], ended["answered"], ended["by"]) == (486, False, "peer")
        assert ended["reason_header"] == 'Q.850;cause=17;text="User busy"'
        assert await phone.wait() == 1
        assert phone.messages() == ["> INVITE", "< 486 Busy Here", "> ACK"]
    await peer.messages()


async def test_cancelled_while_it_rings(start_peer: StartPeer) -> None:
    peer = await start_peer("phone_rings")
    async with Phone(peer.uri) as phone:
        await phone.event("ringing", status=180)
        await phone.send("cancel")
        ended = await phone.ended()
        assert (ended["status"], ended["answered"], ended["by"]) == (487, False, "phone")
        assert await phone.wait() == 1
    await peer.messages()  # it had its 487 acknowledged


@pytest.mark.parametrize(
    ("reason", "code"), [('Q.850;cause=16;text="Terminated"', 0), ("SIP;cause=500", 1), ("Q.850;cause=41", 1)]
)
async def test_the_peer_hangs_up(start_peer: StartPeer, reason: str, code: int) -> None:
    peer = await start_peer("phone_hangs_up", reason=reason)
    async with Phone(peer.uri) as phone:
        ended = await phone.ended()
        assert (ended["by"], ended["answered"], ended["reason_header"]) == ("peer", True, reason)
        assert await phone.wait() == code
        assert phone.messages()[-2:] == ["< BYE", "> 200 OK"]
    await peer.messages()


async def test_ctrl_c_hangs_up(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri) as phone:
        await phone.answered()
        await phone.interrupt(signal.SIGINT)
        assert (await phone.ended())["by"] == "phone"
        assert await phone.wait() == 0
    assert "\nBYE " in await peer.messages()


async def test_a_second_ctrl_c_leaves_without_waiting_for_the_peer() -> None:
    async with Phone(f"sip:100@127.0.0.1:{free_port(socket.SOCK_DGRAM)}") as phone:
        await phone.event("calling")
        await phone.interrupt(signal.SIGINT)
        await phone.event("sip", what="CANCEL")
        await phone.interrupt(signal.SIGINT)
        assert await phone.wait(4.5) == 1  # an unanswered CANCEL alone is waited for longer


async def test_the_end_of_the_orders_hangs_up(start_peer: StartPeer) -> None:
    peer = await start_peer()
    async with Phone(peer.uri) as phone:
        await phone.answered()
    assert phone.exit_code == 0
    assert "\nBYE " in await peer.messages()


async def test_it_leaves_although_nobody_is_there() -> None:
    port = free_port(socket.SOCK_DGRAM)
    async with Phone(f"sip:100@127.0.0.1:{port}", max_seconds=0.5) as phone:
        assert await phone.wait() == 1
        assert "did not answer" in phone.of("error")[0]["detail"]


async def test_the_ladder_for_people(start_peer: StartPeer, tmp_path: Path) -> None:
    peer, wav = await start_peer(), tmp_path / "heard.wav"
    code, out, err = await run_phone(peer.uri, "--digits", "5", "--hangup-after", "1.5", "--record", str(wav))
    assert (code, err) == (0, "")
    for part in (
        "─── INVITE ─",
        "─ 200 OK ─",
        "answered, PCMU",
        "presses 5",
        "call ended by the phone, after 1.",
        str(wav),
    ):
        assert part in out
    assert "\x1b" not in out


async def test_a_mistake_on_the_command_line() -> None:
    code, out, err = await run_phone("sip:a@127.0.0.1", "--digits", "12x")
    assert (code, out) == (2, "")
    assert "digits '12x'" in err


async def test_a_host_that_does_not_exist() -> None:
    code, out, _ = await run_phone("sip:a@host.invalid", "--json")
    assert code == 1
    assert "host.invalid" in out
