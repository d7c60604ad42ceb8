"""The models of a whole dialplan (design: dialplan.md); filled by parse.py, read by routing, engine and adapters.

Everything of the design is described here; what is not built yet is refused by the table in not_yet.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from gateway.dialplan.addresses import AnyNetwork, Network
from gateway.dialplan.base import (
    DialledNumber,
    Digits,
    DisplayName,
    HeaderPattern,
    HoursText,
    Language,
    MediaName,
    Model,
    Name,
    NumberPattern,
    Params,
    Region,
    Secret,
    Spoken,
    Text,
    TrunkHost,
    WebUrl,
    exact_realm,
    kind,
    off_is_none,
    user_name,
)
from gateway.dialplan.people import Agent, Contact, Destinations, PostSession, Queue, Webhook
from gateway.dialplan.problems import KeyPath, Place

Codec = Literal["PCMU", "PCMA", "G722", "opus", "G729"]

HOLD_MUSIC: Final = "hold/calm"
"""What whoever is held hears, where the plan names nothing else."""

# ── trunks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class DigestAuth(Model):
    """Credentials for one exact realm (RFC 3261 §22): a challenge of any other realm is not answered."""

    username: Annotated[str, AfterValidator(user_name)]
    """the user name that the carrier gave you"""
    realm: Annotated[str, AfterValidator(exact_realm)]
    """the realm of its challenges, exactly as it writes it"""
    password: Secret
    """{env: NAME} or {file: path}"""


class CallerId(Model):
    """A fixed caller id."""

    number: DialledNumber
    """what is shown: a number in E.164, or an extension"""
    name: DisplayName | None = None
    """Name beside it. Default: none."""


class TrunkHeaders(Model):
    """Which SIP headers cross the gateway."""

    to_bot: tuple[HeaderPattern, ...] = ()
    """Names of INVITE headers that the bot gets; `*` at the end is any rest. None by default."""
    from_bot: tuple[HeaderPattern, ...] = ("*",)
    """Names of headers that a bot may set on calls to it; `*` at the end is any rest. Names that tell who somebody is
    (P-Asserted-Identity, Diversion, Privacy and the like) must stand here in full, no `*` covers them."""


class TrunkLimits(Model):
    """Most calls at a time and new calls per second. More inbound calls are refused with 503, without Retry-After."""

    channels: int | None = Field(None, ge=1)
    """Most legs on this trunk at the same time, inbound and outbound together."""
    cps: float | None = Field(None, gt=0, le=1000)
    """Most new calls per second, inbound and outbound each; 0.5 is one in two seconds."""


class Trunk(Model):
    """A carrier connection: where calls to it go, and who may send us calls for it."""

    host: TrunkHost
    """the carrier's host name or IP address; with `:port`, or without and then SRV records say (RFC 3263), else 5060"""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """Transport of calls in both directions; a UDP trunk's calls may come over TCP too (RFC 3261 §18.1.1)."""
    auth: DigestAuth | None = None
    """What we answer its challenges with, for one exact realm."""
    register_: bool = Field(False, alias="register")
    """Whether we register with it, as `auth.username` at `host`. false: an IP trunk."""
    inbound_auth: DigestAuth | None = None
    allow: Annotated[tuple[Network, ...], Field(min_length=1)] | None = None
    """Networks that may send us calls for this trunk. Default: the addresses of `host` alone."""
    region: Region | None = None
    """Country (ISO 3166) whose national numbers this trunk sends, such as `US`. Default: numbers carry their own."""
    caller_id: Annotated[
        Annotated[Literal["bot", "customer"], Tag("word")] | Annotated[CallerId, Tag("mapping")], Discriminator(kind)
    ] = "bot"
    """Who is shown to those whom we call: the number that the customer called (bot), the customer (only on an IP trunk
    without auth), or always `{number: …, name: …}`. A bot may ask for another one."""
    show_in: tuple[Literal["from", "pai", "rpid", "diversion"], ...] = ()
    """Where it is shown: From, P-Asserted-Identity, Remote-Party-ID; Diversion tells the number that the customer had
    called. Default: From alone."""
    privacy: bool = False
    """Ask the carrier to show nobody who calls (RFC 3325: `Privacy: id`, anonymous From)."""
    number_format: Literal["e164", "digits", "national"] = "e164"
    """How a number is written to it: +16125550111, 16125550111, or as dialled inside `region`. Extensions stay."""
    prefix: Digits = ""
    """Digits that are put before a number, such as "9" for an outside line; last of all. Not before extensions."""
    strip: int = Field(0, ge=0, le=15)
    """How many digits are first taken away from the number's beginning. Not from extensions."""
    trust_identity: bool = False
    """Believe its P-Asserted-Identity, Remote-Party-ID, History-Info and verstat. false: From alone tells who calls."""
    codecs: Annotated[tuple[Codec, ...], Field(min_length=1)] = ("PCMU", "PCMA")
    """Codecs that we offer and accept, best first."""
    srtp: Literal["off", "optional", "required"] = "off"
    dtmf: Literal["rfc4733", "info", "auto"] = "auto"
    """How digits travel: RFC 4733 events, SIP INFO (RFC 6086), or what the peer's SDP shows (auto)."""
    headers: TrunkHeaders = TrunkHeaders()
    extensions: bool = False
    """Whether extensions (2 to 6 digits) may be dialled on it."""
    accept_refer: bool = False
    """Carry out a REFER of the customer's side on it, as the destinations allow. false: it is refused with 603."""
    limits: TrunkLimits | None = None
    """What the carrier, or you, allow. Default: only the limits of the whole node."""
    session_timer: int | None = Field(None, ge=90, le=86_400)  # RFC 4028 §5
    """Seconds after which a session that nobody refreshes is over (RFC 4028). Default: only if the peer asks for it."""
    options_interval: int | None = Field(None, ge=5, le=3600)
    """Seconds between OPTIONS to the carrier, which tell whether it is up. Default: it is not asked."""

    @property
    def networks(self) -> tuple[AnyNetwork, ...]:
        """The networks that calls of this trunk come from, as the plan says: `allow`, or the host if it is an address.

        Without both they are the addresses that the host's name has now, which the plan does not know.
        """
        if self.allow is not None:
            return self.allow
        return (ip_network(self.host.ip),) if self.host.ip is not None else ()

    @property
    def contact_user(self) -> str:
        """The user part of the Contact that we register, to which its calls then come; "" for an IP trunk."""
        return self.auth.username if self.register_ and self.auth is not None else ""

    @model_validator(mode="after")
    def _registers_as_somebody(self) -> Self:
        if self.register_ and self.auth is None:
            raise ValueError(
                "has register: true but no auth; write auth: {username: …, realm: …, password: {env: NAME}}"
            )
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key, words in (("codecs", self.codecs), ("show_in", self.show_in)):
            for word in words:
                if words.count(word) > 1:
                    raise ValueError(f"{key} names {word} twice; remove one")
        return self


# ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class WebhookBot(Model):
    """A bot that answers webhooks (design: bot-protocol.md)."""

    type: Literal["webhook"]
    url: WebUrl
    """where events are POSTed: http or https"""
    secret: Secret | None = None
    """Key of the signature (Standard Webhooks): `whsec_` + base64, or any text. Without it requests are unsigned."""
    timeout_s: float = Field(5.0, gt=0, le=60)
    """Seconds to wait for the whole response."""


class BuiltinBot(Model):
    """A bot that is part of the gateway: a reception for the demo, an echo for tests."""

    type: Literal["builtin"]
    name: Literal["reception", "echo"]
    """which built-in bot: reception or echo"""


class StreamBot(Model):
    """A bot that streams audio over a WebSocket."""

    type: Literal["stream"]
    url: str
    dialect: Literal["twilio", "native"] = "twilio"
    rest: Params | None = None


class AnswerAfter(Model):
    """Let the caller hear ringing for some time before the answer."""

    after_ms: int = Field(ge=0, le=60_000)
    """milliseconds of ringing before the answer"""


class Filler(Spoken):
    """What the caller hears when the bot thinks for long."""

    after_ms: int = Field(2000, ge=100, le=60_000)
    """Milliseconds of silence in the bot's turn before it is played."""


class Voice(Model):
    """How the bot of a channel speaks and hears."""

    language: Language = "en-US"
    """Language tag (RFC 5646)."""
    tts: Literal["espeak", "piper", "openai"] = "espeak"
    asr: Literal["none", "whisper", "openai"] = "none"
    voice: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$")] = "en-us"
    """The TTS engine's name of the voice."""
    rate: float = Field(1.0, ge=0.5, le=2.0)
    """Speed of speech; 1.0 is the voice's own."""


class FallbackThen(Model):
    """Where a fallback hands the caller."""

    switch: Params | None = None
    queue: Name | None = None


class Fallback(Spoken):
    """What happens when the bot is in trouble: the caller hears something, and then the call goes on or ends."""

    then: Annotated[
        Annotated[Literal["hangup"], Tag("word")] | Annotated[FallbackThen, Tag("mapping")], Discriminator(kind)
    ] = "hangup"


class Recording(Model):
    """Whether and how calls are recorded."""

    mode: Literal["never", "always", "ask"] = "never"
    layout: Literal["stereo", "mono"] = "stereo"
    consult: bool = True
    announce: MediaName | None = None
    retention_days: int | None = Field(None, ge=1)


class ChannelLimits(Model):
    """Limits of one channel."""

    calls: int | None = Field(None, ge=1)
    """Most calls at a time; more are refused with 503."""


class Channel(Model):
    """A configured bot: how it answers, its voice, the trunk for its outbound legs, what happens when it fails."""

    bot: Annotated[WebhookBot | BuiltinBot | StreamBot, Field(discriminator="type")]
    """the bot, such as `{type: webhook, url: …}` or `{type: builtin, name: reception}`"""
    trunk: Name | None = None
    """Trunk of outbound legs."""
    answer: Annotated[
        Annotated[Literal["immediately", "bot"], Tag("word")] | Annotated[AnswerAfter, Tag("mapping")],
        Discriminator(kind),
    ] = "immediately"
    """When to answer: at once, when the bot says so (event `offered`), or `{after_ms: N}`."""
    filler: Annotated[Filler | None, BeforeValidator(off_is_none, json_schema_input_type=Filler | Literal["off"])] = (
        Filler(prompt="one-moment")
    )
    """What the caller hears when the bot thinks for long; `off` for nothing."""
    voice: Voice = Voice()
    recording: Recording = Recording()
    hold_music: MediaName = HOLD_MUSIC
    """What a held caller hears, from media/."""
    fallback: Fallback = Fallback(prompt="apology")
    """What happens when the bot is in trouble."""
    fallback_after: int = Field(2, ge=1, le=10)
    """Failures of the bot in a row, in one call, after which `fallback` runs."""
    post_session: PostSession | None = None
    """Where the customer goes on when the agent has ended the talk. Default: nowhere; a bot may ask for another one."""
    on_agent_hangup: Literal["forward", "end"] = "forward"
    """Whom an agent leaves who hangs up during a consult: `forward` gives the customer to the consultant."""
    limits: ChannelLimits = ChannelLimits()


# ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Target(Model):
    """Where a route sends a call: exactly one of these."""

    channel: Name | None = None
    """Name of a channel: its bot takes the call."""
    prompt: MediaName | None = None
    """Name of a prompt in media/prompts: the caller hears it, then the call ends."""
    say: Text | None = None
    """A text: the caller hears it, then the call ends."""
    reject: int | None = Field(None, ge=400, le=699)
    """A SIP status: the call is refused with it, unanswered."""
    queue: Name | None = None
    agent: Name | None = None
    """Name of an agent, whom the caller is connected with: for phones that dial one another through us."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [key for key in Target.model_fields if getattr(self, key) is not None]
        if len(given) != 1:
            problem = f"has {' and '.join(given)}" if given else "goes nowhere"
            raise ValueError(f"{problem}; write exactly one of channel, agent, prompt, say, reject")
        return self


class Route(Target):
    """A rule: which call goes where. The first that matches wins, in file order."""

    to: NumberPattern
    """the pattern of the called number, such as "+12125550100", "8XX" or "*" """
    from_: NumberPattern | None = Field(None, alias="from")
    """Pattern of the caller's number. Default: everybody."""
    trunk: Name | None = None
    """Only calls of this trunk. Default: all trunks."""
    hours: HoursText | None = None
    """When the route is open, such as `mon-fri 09:00-18:00 America/New_York`."""
    otherwise: Target | None = None
    """Where calls go outside the hours. Without it the route does not match then, and the next one is tried."""

    @model_validator(mode="after")
    def _otherwise_needs_hours(self) -> Self:
        if self.otherwise is not None and self.hours is None:
            raise ValueError("has `otherwise` but no `hours`; write the hours, or remove `otherwise`")
        return self


# ── the whole plan ───────────────────────────────────────────────────────────────────────────────────────────────────


_ALWAYS = ("tones/ringback", "prompts/accept", "prompts/apology", "prompts/caller-left", "prompts/one-moment")
"""Sounds that the gateway makes of its own accord."""


class Dialplan(Model):
    """A whole plan: all files of a folder, merged. Names are unique; routes stand in the order of the files."""

    trunks: dict[Name, Trunk] = Field(default_factory=dict)
    """Carrier connections by name."""
    channels: dict[Name, Channel] = Field(default_factory=dict)
    """Bots by name."""
    routes: tuple[Route, ...] = ()
    """Which call goes where; the first that matches wins."""
    queues: dict[Name, Queue] = Field(default_factory=dict)
    agents: dict[Name, Agent] = Field(default_factory=dict)
    """People with phones, by the name that a bot gives to reach them."""
    contacts: dict[Name, Contact] = Field(default_factory=dict)
    """Saved external destinations, by the name that a bot gives to reach them."""
    destinations: Destinations = Destinations()
    """Toll-fraud policy: what may be dialled. Default: nothing but the agents and contacts of this plan."""
    webhooks: tuple[Webhook, ...] = ()
    """Where status events are POSTed."""
    _places: Mapping[KeyPath, Place] = PrivateAttr(default_factory=dict)

    def where(self, *path: str | int) -> Place | None:
        """Where in the files this was written (`plan.where("routes", 0)`), or else what it belongs to was.

        None for a plan that came from no file.
        """
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path)

    def sounds(self) -> dict[str, Place | None]:
        """The files of media/ that the plan needs, without ending (`prompts/closed`, `hold/calm`), and who says so."""
        found: dict[str, Place | None] = {}
        for name, channel in self.channels.items():
            for key, spoken in (("filler", channel.filler), ("fallback", channel.fallback)):
                if spoken is not None and spoken.prompt is not None:
                    found.setdefault(f"prompts/{spoken.prompt}", self.where("channels", name, key, "prompt"))
            found.setdefault(channel.hold_music, self.where("channels", name, "hold_music"))
        for index, route in enumerate(self.routes):
            for below, target in (((), route), (("otherwise",), route.otherwise)):
                if target is not None and target.prompt is not None:
                    found.setdefault(f"prompts/{target.prompt}", self.where("routes", index, *below, "prompt"))
                if target is not None and target.agent is not None:
                    found.setdefault(HOLD_MUSIC, self.where("routes", index, *below, "agent"))
        return found | {name: None for name in _ALWAYS if name not in found}
