"""Status webhooks in a plan: what may be asked for, and where each mistake is."""

import pytest

from gateway.calls.history import Type
from gateway.dialplan.event_names import EVENT_TYPES
from gateway.dialplan.parse import load_text
from gateway.dialplan.problems import DialplanError

CHANNELS = "channels:\n  reception: {bot: {type: builtin, name: echo}}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(DialplanError) as refused:
        load_text(CHANNELS + "webhooks:\n" + text, {"S": "whsec_c2VjcmV0"})
    return [str(problem) for problem in refused.value.problems]


def test_the_names_are_those_of_the_core() -> None:
    assert {type_.value for type_ in Type} == set(EVENT_TYPES), "write them into gateway/dialplan/event_names.py"


def test_a_webhook_with_everything() -> None:
    plan = load_text(
        CHANNELS + "webhooks:\n"
        '  - {url: "https://crm.example/calls", secret: {env: S}, events: ["transfer.*", call.ended],\n'
        "     channels: [reception]}\n"
        '  - {url: "https://all.example/"}\n',
        {"S": "whsec_c2VjcmV0"},
    )
    first, second = plan.webhooks
    assert first.secret is not None and first.secret.reveal() == "whsec_c2VjcmV0"
    assert (first.events, first.channels) == (("transfer.*", "call.ended"), ("reception",))
    assert (second.secret, second.events, second.channels) == (None, (), ())


@pytest.mark.parametrize("name", [*EVENT_TYPES, "call.*", "leg.*", "consult.*"])
def test_every_type_and_family_may_be_asked_for(name: str) -> None:
    plan = load_text(f'webhooks: [{{url: "https://a.example/", events: ["{name}"]}}]')
    assert plan.webhooks[0].events == (name,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("call.endet", 'did you mean "call.ended"?'),
        ("transfers.*", 'did you mean "transfer.*"?'),
        ("Call.Ended", 'did you mean "call.ended"?'),
        ("*", "write one like call.ended"),
        ("", "write one like call.ended"),
    ],
)
def test_an_event_that_is_none_is_told_with_its_line_and_the_nearest_name(name: str, hint: str) -> None:
    (problem,) = problems(f'  - url: "https://a.example/"\n    events:\n      - call.started\n      - "{name}"\n')
    assert problem.startswith(f'dialplan.yaml:7: webhooks[0].events[1]: "{name}" is no event; {hint}')


def test_a_channel_that_is_not_there() -> None:
    (problem,) = problems('  - url: "https://a.example/"\n    channels: [reception, recepton]\n')
    assert problem.startswith('dialplan.yaml:5: webhooks[0].channels[1]: there is no channel "recepton"; did you mean')


def test_the_same_url_twice() -> None:
    (problem,) = problems('  - {url: "https://a.example/"}\n  - {url: "https://a.example/", events: [call.ended]}\n')
    assert problem == (
        "dialplan.yaml:5: webhooks[1].url: is the url of another webhook already, at dialplan.yaml:4; make them one"
    )


@pytest.mark.parametrize("text", ['  - {url: "ftp://a.example/"}\n', '  - {url: "https://a.example/", secret: abc}\n'])
def test_urls_and_secrets_are_checked_as_everywhere(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("dialplan.yaml:4: webhooks[0].") and "abc" not in problem


def test_a_secret_that_cannot_sign_is_told() -> None:
    with pytest.raises(DialplanError) as refused:
        load_text('webhooks:\n  - {url: "https://a.example/", secret: {env: S}}\n', {"S": "whsec_not base64!"})
    (problem,) = refused.value.problems
    assert "dialplan.yaml:2: webhooks[0].secret" in str(problem) and "base64!" not in str(problem)
