"""How many legs may be dialled: for one call, on the node within a minute, across reloads; calls are forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.model import CallId
from gateway.dialplan.people import DestinationLimits
from gateway.engine.dialling import Dialling

A, B = CallId("call_a"), CallId("call_b")


class Node:
    """A node with a plan that can be replaced."""

    def __init__(self, per_call: int = 10, per_minute: int = 60) -> None:
        self.limits = DestinationLimits(per_call=per_call, per_minute=per_minute)
        self.dialling = Dialling(lambda: self.limits)

    def dials(self, call_id: CallId, now: float = 0.0) -> bool:
        if self.dialling.may(call_id, now) is not None:
            return False
        self.dialling.dialled(call_id, now)
        return True


def test_each_call_has_its_own_count_and_waiting_does_not_help():
    node = Node(per_call=2)
    assert [node.dials(A, now) for now in (0.0, 1.0, 2.0, 5000.0)] == [True, True, False, False]
    assert node.dials(B, 5000.0)


def test_the_node_dials_so_many_within_any_minute():
    node = Node(per_call=100, per_minute=3)
    assert [node.dials(A, now) for now in (0.0, 30.0, 59.0, 59.9)] == [True, True, True, False]
    assert not node.dials(B, 59.99), "all calls together"
    assert [node.dials(B, now) for now in (60.0, 60.1, 90.0)] == [True, False, True]


def test_what_is_refused_does_not_count():
    node = Node(per_call=1, per_minute=2)
    assert node.dials(A) and not any(node.dials(A) for _ in range(9))
    assert node.dials(B)


def test_what_may_be_dialled_and_is_not_does_not_count_either():
    node = Node(per_call=1, per_minute=1)
    assert [node.dialling.may(A, 0.0) for _ in range(3)] == [None] * 3
    assert len(node.dialling) == 0 and node.dials(A)


def test_a_call_that_is_over_is_forgotten_but_its_legs_still_count_for_the_minute():
    node = Node(per_call=1, per_minute=2)
    assert node.dials(A) and node.dials(B)
    node.dialling.over(A)
    node.dialling.over(A)
    node.dialling.over(CallId("call_never_seen"))
    assert len(node.dialling) == 1
    assert not node.dials(A, 59.0) and node.dials(A, 60.0)
    for call_id in (A, B):
        node.dialling.over(call_id)
    assert len(node.dialling) == 0


def test_a_call_that_only_asked_in_vain_leaves_nothing():
    node = Node(per_minute=1)
    assert node.dials(A) and not node.dials(B)
    assert len(node.dialling) == 1


def test_another_plan_holds_at_once_and_counts_on():
    node = Node(per_call=3)
    assert [node.dials(A) for _ in range(4)] == [True, True, True, False]
    node.limits = DestinationLimits(per_call=4)
    assert [node.dials(A) for _ in range(2)] == [True, False]
    node.limits = DestinationLimits(per_call=1, per_minute=4)
    assert not node.dials(A) and not node.dials(B)


def test_a_refusal_names_the_limit():
    node = Node(per_call=1, per_minute=2)
    assert node.dials(A)
    refusal = node.dialling.may(A, 0.0)
    assert refusal is not None and refusal.reason == "blocked"
    assert refusal.detail == "nothing more may be dialled now: destinations.limits.per_call allows 1 legs for one call"
    assert node.dials(B)
    refusal = node.dialling.may(CallId("call_c"), 0.0)
    assert refusal is not None and "limits.per_minute allows 2 legs a minute" in refusal.detail


@given(
    st.integers(1, 5), st.integers(1, 8), st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 40)), max_size=80)
)
def test_no_sixty_seconds_and_no_call_have_more(per_call: int, per_minute: int, wishes: list[tuple[str, float]]):
    node, now, dialled = Node(per_call, per_minute), 1000.0, []
    for name, pause in wishes:
        now += pause
        if node.dials(CallId(name), now):
            dialled.append((name, now))
    for name in "abcd":
        assert sum(who == name for who, _ in dialled) <= per_call
    for _, begin in dialled:
        assert sum(begin <= at < begin + 59.999 for _, at in dialled) <= per_minute
