"""Plans as operators write them, and what they are told about their mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.dialplan.parse import load, load_text
from gateway.dialplan.problems import DialplanError
from gateway.dialplan.schema import AnswerAfter, BuiltinBot, Dialplan, WebhookBot

ROOT = Path(__file__).parents[3]
TRUNK = "trunks: {acme: {host: 203.0.113.5}}\n"
CHANNEL = "channels: {reception: {bot: {type: builtin, name: reception}}}\n"


def complaints(text: str, **env: str) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        load_text(text, env, file="x.yaml")
    return [str(one) for one in caught.value.problems]


def channel(keys: str) -> str:
    return "channels:\n  reception:\n    bot: {type: builtin, name: reception}\n    " + keys + "\n"


def trunk(keys: str) -> str:
    return "trunks:\n  acme:\n    host: 203.0.113.5\n    " + keys + "\n"


def bot(keys: str) -> str:
    return f"channels:\n  reception:\n    bot: {{{keys}}}\n"


def route(keys: str) -> str:
    return CHANNEL + TRUNK + f"routes:\n  - {{{keys}}}\n"


# ── plans that are right ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trunk_that_registers() -> None:
    auth = "auth: {username: gw, realm: acme.example, password: {env: P}}"
    plan = load_text(
        f"trunks:\n  acme: {{host: Sip.Acme.Example, {auth}, register: true, options_interval: 30}}", {"P": "x"}
    )
    acme = plan.trunks["acme"]
    assert (acme.host.name, acme.host.port, acme.host.ip, acme.networks) == ("sip.acme.example", None, None, ())
    assert (acme.contact_user, acme.auth and acme.auth.password.reveal()) == ("gw", "x")


@pytest.mark.parametrize("other", ["sip.acme.example:5070", "sip.acme.example"])
def test_two_trunks_at_one_name_are_told_apart_by_port_or_by_user(other: str) -> None:
    first = (
        "trunks:\n  a: {host: sip.acme.example, auth: {username: a, realm: r, password: {env: P}}, register: true}\n"
    )
    second = f"  b: {{host: '{other}', auth: {{username: b, realm: r, password: {{env: P}}}}, register: true}}\n"
    assert list(load_text(first + second, {"P": "x"}).trunks) == ["a", "b"]
    alone = first.replace("username: a", "username: b")
    assert "sip.acme.example belongs to trunk" in complaints(alone + second, P="x")[0]


def test_a_small_plan_has_the_defaults_of_the_design() -> None:
    plan = load_text(TRUNK + CHANNEL + 'routes: [{to: "*", channel: reception}]')
    acme, reception = plan.trunks["acme"], plan.channels["reception"]
    assert (str(acme.host), acme.host.port) == ("203.0.113.5", None)
    assert [str(network) for network in acme.networks] == ["203.0.113.5/32"]
    assert (acme.transport, acme.dtmf, acme.codecs, acme.headers.to_bot) == ("udp", "auto", ("PCMU", "PCMA"), ())
    assert reception.bot == BuiltinBot(type="builtin", name="reception")
    assert reception.filler is not None
    assert (reception.filler.prompt, reception.filler.after_ms) == ("one-moment", 2000)
    assert (reception.fallback.then, reception.fallback_after, reception.answer) == ("hangup", 2, "immediately")
    assert (reception.voice.language, reception.voice.tts, reception.voice.voice) == ("en-US", "espeak", "en-us")
    assert str(plan.where("routes", 0)) == "dialplan.yaml:3"


def test_yaml_words_are_words() -> None:
    plan = load_text(
        "trunks:\n  acme: {host: '[2001:db8::1]:5062', srtp: off, region: NO}\n"
        "channels:\n  on:\n    bot: {type: builtin, name: echo}\n    filler: off\n    answer: {after_ms: 1500}\n"
    )
    assert plan.trunks["acme"].srtp == "off"
    assert plan.trunks["acme"].region == "NO"
    assert str(plan.trunks["acme"].host) == "[2001:db8::1]:5062"
    assert plan.channels["on"].filler is None
    assert plan.channels["on"].answer == AnswerAfter(after_ms=1500)


def test_what_says_that_a_feature_is_not_used_is_accepted() -> None:
    load_text(trunk("register: false\n    extensions: false\n    srtp: off") + channel("recording: {mode: never}"))


def test_an_anchor_is_written_out() -> None:
    shared = "channels:\n  a: {bot: &b {type: builtin, name: echo}}\n  c: {bot: *b}\n"
    assert load_text(shared).channels["c"].bot == BuiltinBot(type="builtin", name="echo")


def test_the_sounds_that_a_plan_names_have_places() -> None:
    text = channel("fallback: {prompt: sorry}") + "routes:\n  - {to: '1', prompt: closed}\n"
    sounds = {name: str(place) for name, place in load_text(text, file="x.yaml").sounds().items() if place}
    assert sounds == {
        "prompts/one-moment": "x.yaml:2",
        "prompts/sorry": "x.yaml:4",
        "hold/calm": "x.yaml:2",
        "prompts/closed": "x.yaml:6",
    }


def test_the_demo_needs_nothing() -> None:
    plan = load(ROOT / "dialplans" / "demo.yaml", {})
    assert set(plan.channels) == {"reception", "echo"}


def test_the_example_is_right_and_both_go_together() -> None:
    env = {"FRONTDESK_SECRET": "hunter2", "MOBILE_PASSWORD": "hunter3"}
    assert "frontdesk" in load(ROOT / "dialplans" / "example.yaml", env).channels
    assert {"frontdesk", "echo"} <= set(load(ROOT / "dialplans", env).channels)


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_is_fetched_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("whsec_from-file\n")
    text = (
        "channels:\n  a: {bot: {type: webhook, url: 'http://b/', secret: {env: BOT_SECRET}}}\n"
        f"  b: {{bot: {{type: webhook, url: 'http://b/', secret: {{file: {tmp_path / 'key'}}}}}}}\n"
    )
    plan = load_text(text, {"BOT_SECRET": "whsec_from-env"})
    secrets = [one.bot.secret for one in plan.channels.values() if isinstance(one.bot, WebhookBot)]
    assert [secret.reveal() for secret in secrets if secret] == ["whsec_from-env", "whsec_from-file"]
    assert "whsec" not in repr(plan) + str(plan) + plan.model_dump_json(exclude={"trunks"}) + repr(secrets)


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("hunter2", "a secret is never written here; write {env: NAME} or {file: path}"),
        ("12345678", "a secret is never written here; write {env: NAME} or {file: path}"),
        ("{env: hunter2}", "env takes the name of a variable (capitals, digits, _), not the secret itself"),
        ("{env: BOT_SECRET}", "the environment variable BOT_SECRET is not set; set it before the start"),
        ("{file: /no/such}", 'the file "/no/such" cannot be read; write the path of a text file'),
        ("{env: A, file: b}", "write either {env: NAME} or {file: path}"),
        ("", "is empty; write a value, or remove the key"),
    ],
)
def test_a_secret_that_is_not_there(secret: str, message: str) -> None:
    said = complaints(bot(f"type: webhook, url: 'http://b/', secret: {secret}"))
    assert said == [f"x.yaml:3: channels.reception.bot.secret: {message}"]
    assert "hunter2" not in "".join(said)


# ── mistakes, and exactly what is said about them ────────────────────────────────────────────────────────────────────

MISTAKES = [
    (channel("anwser: bot"), '4: channels.reception.anwser: unknown key; did you mean "answer"?'),
    (channel("recording: {mode: always}"), "4: channels.reception.recording: is not available yet; remove it"),
    (
        channel("post_session: {parameters: {a: 1}}"),
        "4: channels.reception.post_session.channel: is missing; write the channel whose bot takes the customer, such "
        "as a survey",
    ),
    (
        channel("post_session: {channel: recepion}"),
        '4: channels.reception.post_session.channel: there is no channel "recepion"; did you mean "reception"?',
    ),
    (trunk("accept_refer: 1.5"), "4: trunks.acme.accept_refer: write true or false"),
    (
        "channels:\n  agent: {bot: {type: builtin, name: echo}}",
        "2: channels.agent: is the name that calls without a channel are shown by; write another one",
    ),
    (channel("trunk: acm") + TRUNK, '4: channels.reception.trunk: there is no trunk "acm"; did you mean "acme"?'),
    (channel("answer: later"), '4: channels.reception.answer: "later" is not known; write one of immediately, bot'),
    (channel("filler: {after_ms: 5s}"), "4: channels.reception.filler.after_ms: write a whole number, without quotes"),
    (
        channel("fallback_after: 0"),
        "4: channels.reception.fallback_after: 0 is out of range; write a number of at least 1",
    ),
    (channel("voice: {tts: piper}"), "4: channels.reception.voice.tts: is not available yet; write espeak"),
    (channel("limits: {calls: }"), "4: channels.reception.limits.calls: is empty; write a value, or remove the key"),
    (
        channel("hold_music: ../x"),
        '4: channels.reception.hold_music: "../x" is not a name from media/; write one like '
        '"one-moment" or "hold/calm"',
    ),
    (
        channel("fallback: {say: Sorry, then: {queue: sales}}"),
        "4: channels.reception.fallback.then.queue: is not available yet; write then: hangup",
    ),
    (
        channel("fallback: {say: a, prompt: b}"),
        "4: channels.reception.fallback: write either `say: a text` or `prompt: a name from media/prompts`",
    ),
    (bot("type: webhok"), '3: channels.reception.bot.type: "webhok" is not known; did you mean "webhook"?'),
    (
        bot("type: stream, url: 'ws://b/'"),
        "3: channels.reception.bot.type: is not available yet; write webhook or builtin",
    ),
    (bot("type: webhook"), "3: channels.reception.bot.url: is missing; write where events are POSTed: http or https"),
    (
        bot("type: webhook, url: bots.example"),
        "3: channels.reception.bot.url: is not a web address; write one like https://bots.example/reception",
    ),
    (
        bot("type: webhook, url: 'http://u:hunter2@b/'"),
        "3: channels.reception.bot.url: holds a user name or password; remove it, requests are signed with `secret`",
    ),
    (
        "trunks: {acme: {host: sip_acme.example}}",
        "1: trunks.acme.host: is neither a host name nor an IP address; write one like sip.acme.example or "
        "203.0.113.5, with :port if need be",
    ),
    (trunk("transport: tls"), "4: trunks.acme.transport: is not available yet; write udp or tcp"),
    (trunk("transport: upd"), '4: trunks.acme.transport: "upd" is not known; did you mean "udp"?'),
    (trunk("srtp: required"), "4: trunks.acme.srtp: is not available yet; write off or remove it"),
    (
        trunk('auth: {username: gw, realm: "*", password: {file: LICENSE}}'),
        '4: trunks.acme.auth.realm: "*" would answer any challenger; write the realm of the carrier\'s 401, such as '
        '"acme.example"',
    ),
    (
        trunk('auth: {username: "g w", realm: acme.example, password: {file: LICENSE}}'),
        '4: trunks.acme.auth.username: "g w" cannot stand in a SIP URI; write the user name that the carrier gave you',
    ),
    (
        trunk("register: true"),
        "2: trunks.acme: has register: true but no auth; write auth: {username: …, realm: …, password: {env: NAME}}",
    ),
    (
        trunk("inbound_auth: {username: gw, realm: acme.example, password: {file: LICENSE}}"),
        "4: trunks.acme.inbound_auth: is not available yet; remove it",
    ),
    (
        trunk("allow: [203.0.113.5/24]"),
        "4: trunks.acme.allow[0]: the address has bits beyond its mask; write 203.0.113.0/24",
    ),
    (
        trunk("allow: [0.0.0.0/0]"),
        "4: trunks.acme.allow[0]: means everybody on the internet; write your carrier's networks",
    ),
    (trunk("allow: 203.0.113.0/24"), "4: trunks.acme.allow: write a list, such as [a, b]"),
    (trunk("codecs: [PCMA, PCMA]"), "2: trunks.acme: codecs names PCMA twice; remove one"),
    (trunk("codecs: [opsu]"), '4: trunks.acme.codecs[0]: "opsu" is not known; did you mean "opus"?'),
    (trunk("region: UK"), '4: trunks.acme.region: "UK" is not a country; write its ISO 3166 code, such as US or NO'),
    (
        trunk('headers: {to_bot: ["X Y"]}'),
        '4: trunks.acme.headers.to_bot[0]: "X Y" is not a header name; write one like "X-CRM-Id" or "X-*"',
    ),
    (trunk("host: 10.0.0.1"), "4: trunks.acme.host: is written twice (first in line 3); remove one"),
    (
        "trunks: {my trunk: {host: 10.0.0.1}}",
        '1: trunks.my trunk: "my trunk" is not a name; write letters, digits, "-", "_" and "." only, at most 64',
    ),
    ("trunks: {5: {host: 10.0.0.1}}", '1: trunks: write the key in quotes: "5"'),
    ("chanels: {}", '1: chanels: unknown key; did you mean "channels"?'),
    (
        trunk("caller_id: customer\n    auth: {username: gw, realm: acme.example, password: {file: LICENSE}}"),
        "4: trunks.acme.caller_id: cannot be customer: it has auth or register: true, and a carrier that knows us by "
        "an account shows no other number; write bot or {number: …}",
    ),
    (
        trunk('caller_id: {number: "2125550100"}'),
        '4: trunks.acme.caller_id.number: "2125550100" is not a number; write it in E.164, such as '
        '"+16125550111", or an '
        'extension, "812"',
    ),
    (trunk("show_in: [form]"), '4: trunks.acme.show_in[0]: "form" is not known; did you mean "from"?'),
    (trunk("show_in: [pai, pai]"), "2: trunks.acme: show_in names pai twice; remove one"),
    (
        trunk("number_format: national"),
        "4: trunks.acme.number_format: national needs a country; write region: US, or your own",
    ),
    (
        trunk('prefix: "9"'),
        "4: trunks.acme.prefix: does not go with number_format: e164, where + and the country code come first; write "
        "digits",
    ),
    (
        trunk("strip: 1"),
        "4: trunks.acme.strip: does not go with number_format: e164, where + and the country code come first; write "
        "digits",
    ),
    (
        trunk('number_format: digits\n    prefix: "+"'),
        '5: trunks.acme.prefix: "+" is not digits; write up to 15 of them, such as "9"',
    ),
    (
        TRUNK + 'agents:\n  ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: acm}',
        '3: agents.ann.trunk: there is no trunk "acm"; did you mean "acme"?',
    ),
    (
        TRUNK + "agents:\n  ann: {name: Ann, target: ann@10.0.0.5, trunk: acme}",
        '3: agents.ann.target: is not a SIP URI; write one like "sip:ann@10.0.0.5"',
    ),
    (
        TRUNK + 'agents:\n  ann: {name: Ann, target: "sip:ann@10.0.0.5?X=y", trunk: acme}',
        "3: agents.ann.target: holds header fields (?…); remove them, and give them as headers",
    ),
    (
        TRUNK + 'agents:\n  ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: acme, may: [dance]}',
        '3: agents.ann.may[0]: "dance" is not known; write one of consult, forward, external',
    ),
    (
        TRUNK + 'contacts:\n  w: {phoneNumber: "+16125550111", trunk: acm}',
        '3: contacts.w.trunk: there is no trunk "acm"; did you mean "acme"?',
    ),
    (
        TRUNK + 'contacts:\n  w: {phoneNumber: "6125550111", trunk: acme}',
        '3: contacts.w.phoneNumber: "6125550111" is not a number; write it in E.164, such as "+16125550111", or an '
        'extension, "812"',
    ),
    (
        TRUNK + "contacts:\n  w: {trunk: acme}",
        "3: contacts.w.phoneNumber: is missing; write the number in E.164, or an extension if the trunk says "
        "`extensions: true`",
    ),
    (
        TRUNK + 'contacts:\n  w: {phoneNumber: "812", trunk: acme}',
        '3: contacts.w.phoneNumber: is an extension; write extensions: true at trunk "acme", or the number in E.164',
    ),
    (
        TRUNK + 'contacts:\n  w: {phoneNumber: "+19005550111", trunk: acme}\ndestinations: {deny: ["+1900"]}',
        '3: contacts.w.phoneNumber: destinations.deny has "+1900", which nothing may be dialled against; remove one of '
        "the two",
    ),
    (
        trunk("region: US") + 'agents:\n  a: {name: A, target: "sip:9005550111@10.0.0.5", trunk: acme}\n'
        'destinations: {deny: ["+1900"]}',
        '6: agents.a.target: destinations.deny has "+1900", which nothing may be dialled against; remove one '
        "of the two",
    ),
    (
        'destinations:\n  allow: ["1"]',
        '2: destinations.allow[0]: "1" is not the beginning of an E.164 number; write one like "+1" or "+1900"',
    ),
    ("destinations:\n  allow: [+1]", '2: destinations.allow[0]: write it in quotes: "+1"'),
    (
        'destinations:\n  hosts: ["sip.acme.example:5060"]',
        "2: destinations.hosts[0]: names a port; write sip.acme.example alone, any port of it is meant",
    ),
    (
        "destinations:\n  limits: {per_call: 0}",
        "2: destinations.limits.per_call: 0 is out of range; write a number of at least 1",
    ),
    ("queues: {sales: {agents: [ann]}}", "1: queues: is not available yet; remove it"),
    (route("to: +12125550100, channel: reception"), '4: routes[0].to: write it in quotes: "+12125550100"'),
    (
        route('to: "100", channel: recepion'),
        '4: routes[0].channel: there is no channel "recepion"; did you mean "reception"?',
    ),
    (
        route('to: "100", hours: "mon-fri 09:00-18:00", channel: reception, otherwise: {channel: x}'),
        '4: routes[0].otherwise.channel: there is no channel "x"; write one of reception',
    ),
    (
        TRUNK + 'agents:\n  ann: {name: Ann, target: "sip:ann@10.0.0.5", trunk: acme}\n'
        'routes:\n  - {to: "100", agent: anm}',
        '5: routes[0].agent: there is no agent "anm"; did you mean "ann"?',
    ),
    (
        route('to: "100", reject: 404, hours: "mon 09:00-18:00", otherwise: {agent: ann}'),
        '4: routes[0].otherwise.agent: there is no agent "ann"; the plan has no agents',
    ),
    (
        route('to: "100", queue: sales'),
        "4: routes[0].queue: is not available yet; write channel, agent, prompt, say or reject",
    ),
    (route('to: "100"'), "4: routes[0]: goes nowhere; write exactly one of channel, agent, prompt, say, reject"),
    (
        route('to: "100", reject: 404, prompt: closed'),
        "4: routes[0]: has prompt and reject; write exactly one of channel, agent, prompt, say, reject",
    ),
    (route('to: "100", reject: 200'), "4: routes[0].reject: 200 is out of range; write a number of at least 400"),
    (
        route('to: "8xx", reject: 404'),
        '4: routes[0].to: "8xx" is not a pattern; write X (capital) for any digit, and * at the end for any rest',
    ),
    (route('to: "1*2", reject: 404'), '4: routes[0].to: "1*2": * may only be the last character; X is any one digit'),
    (
        route('to: "+1 (212) 555-0100", reject: 404'),
        '4: routes[0].to: write the number without spaces and marks: "+12125550100"',
    ),
    (
        route('to: "1", reject: 404, hours: "mon-fry 09:00-18:00"'),
        '4: routes[0].hours: "mon-fry" is not a day; write mon, tue, wed, thu, fri, sat, sun or mon-fri',
    ),
    (
        route('to: "1", reject: 404, hours: "mon 09:00-18:00 Amerca/New_York"'),
        '4: routes[0].hours: there is no time zone "Amerca/New_York"; did you mean "America/New_York"?',
    ),
    (
        route('to: "1", channel: reception, otherwise: {reject: 480}'),
        "4: routes[0]: has `otherwise` but no `hours`; write the hours, or remove `otherwise`",
    ),
    (
        route('to: "*", reject: 404}\n  - {to: "1", channel: reception'),
        "5: routes[1]: is never reached: the route at x.yaml:4 takes every call; move it up",
    ),
    (
        "trunks: {a: {host: 10.0.0.1}, b: {host: 10.0.0.1}}",
        '1: trunks.b.host: 10.0.0.1/32 belongs to trunk "a" already; a call from there would have two trunks',
    ),
    ("routes: {to: 1}", "1: routes: write a list, such as [a, b]"),
    ("channels: [a]", "1: channels: write a mapping (`name: {key: value}`)"),
    ("- a", "1: write sections at the top, such as `trunks:`, each with its entries below it"),
    ("trunks:\n\tacme: 1", "2: not valid YAML: a tab; indent with spaces"),
    ("trunks: {a: [}", "1: not valid YAML: expected the node content, but found '}'"),
    (
        "trunks: !!python/name:os.system x",
        "1: trunks: the tag tag:yaml.org,2002:python/name:os.system is not understood; write a plain value",
    ),
    ("a: &a {<<: *a}", "1: a: merge keys (<<) are not understood; write the keys out"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message[:60] for _, message in MISTAKES])
def test_a_mistake_is_named_with_what_to_write_instead(text: str, message: str) -> None:
    assert f"x.yaml:{message}" in complaints(text)


def test_one_mistake_is_one_problem() -> None:
    alone = [(text, message) for text, message in MISTAKES if text.startswith(("channels:\n", "trunks:\n  acme"))]
    for text, message in alone:
        assert complaints(text) == [f"x.yaml:{message}"]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = trunk("srtp: required\n    dmtf: info") + route("to: 100, channel: recepion").replace(TRUNK, "")
    assert [line.split(": ")[1] for line in complaints(text)] == [
        "trunks.acme.srtp", "trunks.acme.dmtf", "routes[0].to", "routes[0].channel",
    ]  # fmt: skip


# ── files and folders ────────────────────────────────────────────────────────────────────────────────────────────────


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def told(folder: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        load(folder, {})
    return [str(one).replace(str(folder), "plan") for one in caught.value.problems]


def test_the_files_of_a_folder_are_one_plan(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=TRUNK + 'routes:\n  - {to: "1", channel: reception}',
        b=CHANNEL + 'routes:\n\n  - {to: "*", reject: 404}',
    )
    plan = load(tmp_path, {})
    assert [one.to for one in plan.routes] == ["1", "*"]
    assert str(plan.where("routes", 1)) == f"{tmp_path}/b.yaml:4"
    assert str(plan.where("channels", "reception")) == f"{tmp_path}/b.yaml:1"


def test_trunks_keep_the_order_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, a="trunks: {z: {host: 10.0.0.1}}", b="trunks: {a: {host: 10.0.0.2}}")
    assert list(load(tmp_path, {}).trunks) == ["z", "a"]


def test_the_same_name_twice_names_both_places(tmp_path: Path) -> None:
    write(tmp_path, a=TRUNK + CHANNEL, b="\n" + CHANNEL.replace("name: reception", "name: echo"))
    assert told(tmp_path) == [
        "plan/b.yaml:2: channels.reception: is defined already at plan/a.yaml:2; rename or remove one"
    ]


def test_problems_of_the_second_file_keep_their_lines(tmp_path: Path) -> None:
    write(
        tmp_path,
        a='routes: [{to: "1", reject: 404}]',
        b='routes:\n  - {to: "2", reject: 404}\n  - {to: 3, reject: 404}',
    )
    assert told(tmp_path) == ['plan/b.yaml:3: routes[2].to: write it in quotes: "3"']


def test_folders_that_hold_no_plan(tmp_path: Path) -> None:
    assert told(tmp_path) == ["plan: the folder has no .yaml file; write one (see dialplans/example.yaml)"]
    (tmp_path / "a.yml").write_text("")
    assert told(tmp_path)[0] == "plan/a.yml: is not read; rename it to end in .yaml"
    assert told(tmp_path / "none") == [
        "plan: there is no such file or folder; name a .yaml file or a folder of them (--dialplans)"
    ]


def test_files_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"trunks:\n  a: \xff")
    (tmp_path / "b.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "c.yaml").mkdir()
    (tmp_path / "d.yaml").write_bytes(b"a: \x00")
    said = told(tmp_path)
    assert "plan/a.yaml:2: is not UTF-8 text; save it as UTF-8" in said
    assert "plan/b.yaml:1: is larger than 1 MiB; split it" in said
    assert "plan/c.yaml: cannot be read (Is a directory)" in said
    assert any(line.startswith("plan/d.yaml:1: not valid YAML: ") for line in said)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + below] * 10)}]\n" for below, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "a: " + "[" * 60 + "]" * 60, "[" * 100_000])
def test_what_would_grow_without_bound_is_refused(text: str) -> None:
    assert any("nested too deep" in line for line in complaints(text))


# ── whatever is written, the answer is a plan or problems ────────────────────────────────────────────────────────────

words = st.sampled_from(
    re.findall(
        r"\w+",
        """
        trunks channels routes acme reception host bot type webhook builtin name to from channel
        reject hours otherwise srtp allow codecs PCMU answer filler voice secret env file then
        fallback prompt say limits calls queues stream echo word mapping recording mode headers
        to_bot after_ms
        """,
    )
)
scalars = st.one_of(words, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
trees = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=4), max_leaves=25
)


def is_plan_or_problems(text: str) -> None:
    try:
        assert isinstance(load_text(text, file="x.yaml"), Dialplan)
    except DialplanError as error:
        assert error.problems
        assert all(one.file == "x.yaml" and one.line and one.message for one in error.problems)


@given(trees)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tree(tree: object) -> None:
    is_plan_or_problems(yaml.safe_dump(tree))


@given(
    st.dictionaries(words, trees, max_size=3),
    st.dictionaries(words, trees, max_size=3),
    st.lists(st.dictionaries(words, trees, max_size=3), max_size=2),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_tree_in_the_right_places(trunk: object, channel: object, routes: object) -> None:
    is_plan_or_problems(yaml.safe_dump({"trunks": {"a": trunk}, "channels": {"b": channel}, "routes": routes}))


@given(st.text(alphabet=st.sampled_from("ab:- \n{}[]\"'#&*!|>%@`,?\t0+\\\x00\ud800é<="), max_size=60))
@example("? [a]\n: b")
@example("a: !!int x")
@example("!!set {a, b}")
@example("a: !!timestamp 2020-01-01")
@example("a: !!int '" + "9" * 5000 + "'")
@settings(max_examples=500, deadline=None)
def test_any_text(text: str) -> None:
    is_plan_or_problems(text)
