"""What the terminal phone refuses before it sends a packet, and what it makes of what it accepts."""

from pathlib import Path
from typing import Any

import pytest

from gateway.audio.wav import write_wav
from gateway.phone.options import Answering, CallOptions, NoRoute, UsageError, plan


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "nonsense:"}, "SIP URI"),
        ({"target": "sip:"}, "SIP URI"),
        ({"target": "sip:a b@127.0.0.1"}, "SIP URI"),
        ({"target": "sip:a@127.0.0.1\r\nX: y"}, "SIP URI"),
        ({"target": "sip:a@127.0.0.1?X=y"}, "SIP URI"),
        ({"target": "sips:a@127.0.0.1"}, "TLS"),
        ({"target": "sip:a@127.0.0.1;transport=tls"}, "transport=tls"),
        ({"target": "sip:a@[::1]"}, "IPv4"),
        ({"target": "sip:a@127.0.0.1:70000"}, "70000"),
        ({"digits": "12x"}, "'12x'"),
        ({"dtmf": "inband"}, "--dtmf inband"),
        ({"tone": 5000.0}, "5000"),
        ({"codec": "gsm"}, "--codec gsm"),
        ({"from_user": "a>b"}, "--from"),
        ({"from_user": ""}, "--from"),
        ({"name": "A\nB"}, "--name"),
        ({"headers": ("Via: x",)}, "Via"),
        ({"headers": ("X-One",)}, "Name: value"),
        ({"headers": ("X-One: a\r\nVia: b",)}, "X-One"),
        ({"play": Path("/nowhere.wav")}, "/nowhere.wav"),
        ({"play": Path(__file__)}, "not a WAV file"),
        ({"record": Path("/nowhere/x.wav")}, "/nowhere"),
        ({"hangup_after": -1.0}, "-1"),
        ({"max_seconds": float("nan")}, "nan"),
        ({"answering": Answering(ring_s=-1.0)}, "-1"),
        ({"answering": Answering(refuse=200)}, "--refuse 200"),
        ({"answering": Answering(refuse=700)}, "--refuse 700"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=r".*" + says.replace("?", r"\?")):
        await plan(CallOptions(**{"target": "sip:a@127.0.0.1", **options}))


async def test_a_host_that_does_not_exist_is_no_mistake_of_usage() -> None:
    with pytest.raises(NoRoute, match=r"host\.invalid"):
        await plan(CallOptions("sip:a@host.invalid"))


async def test_an_address_needs_no_proxy_and_a_name_gets_one_that_stays_off_the_wire() -> None:
    by_address = await plan(CallOptions("100@127.0.0.1"))
    assert (by_address.dial.uri, by_address.dial.proxy, by_address.bind) == ("sip:100@127.0.0.1", "", "127.0.0.1")
    by_name = await plan(CallOptions("SIP:100@localhost:5070;transport=TCP"))
    assert by_name.dial.uri == "sip:100@localhost:5070;transport=TCP"
    assert by_name.dial.proxy == "<sip:127.0.0.1:5070;lr;hide;transport=tcp>"


async def test_the_name_is_quoted() -> None:
    assert (await plan(CallOptions("sip:a@127.0.0.1", name='A "B" \\'))).dial.from_uri == (
        '"A \\"B\\" \\\\" <sip:phone@127.0.0.1>'
    )


async def test_a_file_is_brought_to_the_phone_s_rate(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(write_wav(bytes(32000), 16000))
    assert len((await plan(CallOptions("sip:a@127.0.0.1", play=path))).play) == 16000


async def test_one_codec_or_all() -> None:
    assert (await plan(CallOptions("sip:a@127.0.0.1", codec="g722"))).codecs == ("G722",)
    assert (await plan(CallOptions("sip:a@127.0.0.1"))).codecs[0] == "PCMU"


async def test_who_waits_to_be_called_needs_no_target_and_is_on_loopback() -> None:
    waiting = await plan(CallOptions("", answering=Answering()))
    assert (waiting.dial, waiting.bind) == (None, "127.0.0.1")
    assert (await plan(CallOptions("", bind="127.0.0.9", answering=Answering()))).bind == "127.0.0.9"
