"""Any order of events: what must hold for every call whatever everybody does (house.md, "Properties to prove")."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from gateway.calls.commands import AskBot
from gateway.calls.events import DtmfReceived
from gateway.calls.model import ChannelPolicy, PostSession
from tests.any_call import AnyCall, switches
from tests.any_hop import AnyHop
from tests.scripted_call import LEG, ScriptedCall

AnyCall.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCall = AnyCall.TestCase


class AnyTransfer(AnyHop):
    """From where people are called on."""

    @initialize(switch=switches, patience=st.integers(1, 3), survey=st.booleans(), calm=st.integers(0, 15))
    def an_invite_comes(self, switch: dict, patience: int, survey: bool, calm: int) -> None:
        self.calm = calm
        after = PostSession("sales") if survey else None
        self.begins(ChannelPolicy("reception", fallback_after=patience, post_session=after))
        self.call.acked()
        self.call.bot_replies(switch)


AnyTransfer.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyTransfer = AnyTransfer.TestCase


class AnyTalk(AnyHop):
    """From where the customer talks to somebody who was called."""

    @initialize(switch=switches, calm=st.integers(3, 20))
    def an_invite_comes(self, switch: dict, calm: int) -> None:
        self.calm = calm
        self.begins(ChannelPolicy("reception"))
        self.call.acked()
        self.call.bot_replies({"type": "switch", "phoneNumber": "+4915", **talks(switch)})
        self.people_answer()


def talks(switch: dict) -> dict:
    """What lasts beyond the bridge."""
    return {key: switch[key] for key in ("continueCall", "maxTalkMs", "onFail", "ringback") if key in switch}


AnyTalk.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyTalk = AnyTalk.TestCase


def test_a_key_before_the_ack_is_nobodys():
    call = ScriptedCall().offered()
    assert call.happens(DtmfReceived(LEG, "1")) == []
    assert not call.did(AskBot)
