"""Messages that are wrong in one way each, and one that is right; for test_hostile.py and test_patience.py."""

import random

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
INVITE = (
    "{method} sip:100@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {here};branch=z9hG4bK{unique}\r\n"
    "From: <sip:1@127.0.0.2>;tag={unique}\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: {unique}\r\n"
    "CSeq: 1 {method}\r\nContact: <sip:1@{here}>\r\nMax-Forwards: 70\r\n{more}"
    "Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
)


def message(here: str, method: str = "INVITE", more: str = "", body: str = SDP) -> str:
    """A request that is right."""
    unique = f"x{random.getrandbits(64):x}"
    return INVITE.format(here=here, method=method, more=more, body=body, length=len(body), unique=unique)


def altered(old: str, new: str) -> object:
    """An INVITE with something changed."""
    return lambda here: message(here).replace(old, new)


MALFORMED = {
    "nothing": lambda here: "",
    "one-byte": lambda here: "\0",
    "keepalive": lambda here: "\r\n\r\n",
    "noise": lambda here: random.Random(1).randbytes(1200).decode("latin-1"),
    "http": lambda here: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "first-line-only": lambda here: "INVITE sip:100@127.0.0.1 SIP/2.0\r\n",
    "cut-short": lambda here: message(here)[:200],
    "no-version": altered(" SIP/2.0\r\nVia", "\r\nVia"),
    "version-9": altered(" SIP/2.0\r\nVia", " SIP/9.0\r\nVia"),
    "no-call-id": altered("Call-ID:", "X-Call-ID:"),
    "no-via": altered("Via:", "X-Via:"),
    "no-from": altered("From:", "X-From:"),
    "no-cseq": altered("CSeq:", "X-CSeq:"),
    "no-contact": altered("Contact:", "X-Contact:"),
    "cseq-of-another": altered("1 INVITE", "1 BYE"),
    "cseq-too-big": altered("1 INVITE", "99999999999999999999 INVITE"),
    "cseq-negative": altered("1 INVITE", "-1 INVITE"),
    "method-unknown": lambda here: message(here, method="FROBNICATE"),
    "method-lower-case": lambda here: message(here, method="invite"),
    "uri-none": altered("sip:100@127.0.0.1 SIP", "% SIP"),
    "uri-endless": altered("sip:100@127.0.0.1 SIP", f"sip:{'9' * 3000}@127.0.0.1 SIP"),
    "uri-nul": altered("sip:100@127.0.0.1 SIP", "sip:1%0000@127.0.0.1 SIP"),
    "max-forwards-0": altered("Max-Forwards: 70", "Max-Forwards: 0"),
    "max-forwards-text": altered("Max-Forwards: 70", "Max-Forwards: many"),
    "length-negative": altered("Content-Length: ", "Content-Length: -"),
    "length-too-big": altered("Content-Length: ", "Content-Length: 9"),
    "length-text": altered("Content-Length: ", "Content-Length: x"),
    "header-endless": lambda here: message(here, more=f"X-Long: {'a' * 9000}\r\n"),
    "headers-many": lambda here: message(here, more="".join(f"X-{n}: {n}\r\n" for n in range(400))),
    "header-folded": lambda here: message(here, more="Subject: a\r\n b\r\n\tc\r\n"),
    "header-no-colon": lambda here: message(here, more="this is no header\r\n"),
    "header-utf8-broken": lambda here: message(here, more="Subject: \udcff\udcfe\r\n"),
    "display-open-quote": altered("From: <", 'From: "Ann <'),
    "from-nothing": altered("From: <sip:1@127.0.0.2>", "From: "),
    "via-other": altered("SIP/2.0/UDP", "SIP/2.0/CARRIER-PIGEON"),
    "require-unknown": lambda here: message(here, more="Require: time-travel\r\n"),
    "sdp-empty": lambda here: message(here, body=" "),
    "sdp-noise": lambda here: message(here, body="hello world\r\n"),
    "sdp-no-c": altered("c=IN IP4 127.0.0.2\r\n", ""),
    "sdp-port-text": altered("m=audio 4000", "m=audio port"),
    "sdp-port-99999": altered("m=audio 4000", "m=audio 99999"),
    "sdp-address-none": altered("c=IN IP4 127.0.0.2", "c=IN IP4 300.1.1.1"),
    "sdp-ip6": altered("c=IN IP4 127.0.0.2", "c=IN IP6 ::1"),
    "sdp-100-media": lambda here: message(here, body=SDP + "m=audio 4002 RTP/AVP 0\r\n" * 100),
    "sdp-rtpmap-none": altered("RTP/AVP 0", "RTP/AVP 96 97 98"),
    "multipart-empty": altered("application/sdp", "multipart/mixed;boundary=x"),
    "multipart-no-boundary": altered("application/sdp", "multipart/mixed"),
    "replaces": lambda here: message(here, more="Replaces: a@b;to-tag=1;from-tag=2\r\nRequire: replaces\r\n"),
    "refer-out-of-dialog": lambda here: message(here, method="REFER", more="Refer-To: <sip:900@127.0.0.9>\r\n"),
    "subscribe": lambda here: message(here, method="SUBSCRIBE", more="Event: presence\r\n"),
    "notify": lambda here: message(here, method="NOTIFY", more="Event: refer\r\nSubscription-State: active\r\n"),
    "publish": lambda here: message(here, method="PUBLISH", more="Event: presence\r\n"),
    "message": lambda here: message(here, method="MESSAGE"),
    "register": lambda here: message(here, method="REGISTER", more="Expires: 60\r\n"),
    "bye-of-nothing": lambda here: message(here, method="BYE"),
    "ack-of-nothing": lambda here: message(here, method="ACK"),
    "cancel-of-nothing": lambda here: message(here, method="CANCEL"),
    "info-of-nothing": lambda here: message(here, method="INFO"),
    "response-of-nothing": lambda here: message(here).replace("INVITE sip:100@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK"),
}  # fmt: skip


def bytes_of(kind: str, here: str) -> bytes:
    """One of the above, as its bytes."""
    return MALFORMED[kind](here).encode("utf-8", "surrogateescape")


def ack_and_bye(answers: str) -> list[str]:
    """What ends the call of an INVITE that was only strange, and answered 200; nothing, if it was refused."""
    _, ok, answer = answers.partition("SIP/2.0 200 ")
    lines = answer.split("\r\n\r\n")[0].split("\r\n")
    if not ok or not any(line.startswith("CSeq:") and line.endswith("INVITE") for line in lines):
        return []
    kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID")]
    target = next(line for line in lines if line.startswith("Contact:")).partition("<")[2].partition(">")[0]
    requests = []
    for number, method in ((1, "ACK"), (2, "BYE")):
        end = [f"CSeq: {number} {method}", "Max-Forwards: 70", "Content-Length: 0", "", ""]
        text = "\r\n".join([f"{method} {target} SIP/2.0", *kept, *end])
        requests.append(text.replace("branch=z9hG4bK", f"branch=z9hG4bK{method}"))
    return requests
