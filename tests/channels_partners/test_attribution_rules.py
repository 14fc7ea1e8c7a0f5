"""The rules of attribution."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_partners.attribution import (
    CLICK_WINDOW,
    ORDER,
    Candidate,
    choose,
    domain_of,
    normal_mailbox,
    self_referral_reasons,
)

AT = datetime(2026, 1, 28, tzinfo=UTC)


def click(days_ago: float, window: timedelta = CLICK_WINDOW) -> Candidate:
    at = AT - timedelta(days=days_ago)
    return Candidate("click", uuid4(), at, at + window)


def test_precedence_is_reseller_deal_coupon_click_direct() -> None:
    found = [Candidate(kind, uuid4(), AT - timedelta(days=1)) for kind in reversed(ORDER)]

    while found:
        assert choose(found, at=AT) == found.pop()
    assert choose([], at=AT) is None


def test_the_last_click_within_the_window_wins() -> None:
    first, last, outside = click(20), click(2), click(31)

    assert choose([first, last, outside], at=AT) == last
    assert choose([outside], at=AT) is None


def test_the_first_registered_deal_wins_and_an_expired_one_does_not_count() -> None:
    early = Candidate("deal", uuid4(), AT - timedelta(days=9), AT + timedelta(days=1))
    late = Candidate("deal", uuid4(), AT - timedelta(days=3), AT + timedelta(days=1))
    expired = Candidate("deal", uuid4(), AT - timedelta(days=90), AT - timedelta(seconds=1))

    assert choose([late, expired, early], at=AT) == early


candidates = st.builds(
    lambda kind, hours, window: Candidate(
        kind, uuid4(), AT - timedelta(hours=hours), AT + timedelta(hours=window) if window is not None else None
    ),
    st.sampled_from(ORDER),
    st.integers(-48, 24 * 60),
    st.none() | st.integers(-24 * 60, 48),
)


@given(found=st.lists(candidates, max_size=12), seed=st.randoms())
def test_the_choice_depends_on_the_evidence_and_not_on_its_order(found: list[Candidate], seed) -> None:
    chosen = choose(found, at=AT)
    shuffled = list(found)
    seed.shuffle(shuffled)

    assert choose(shuffled, at=AT) == chosen
    valid = [one for one in found if one.at <= AT and (one.until is None or one.until >= AT)]
    if chosen is None:
        assert not valid
    else:
        assert chosen in valid
        assert ORDER.index(chosen.kind) == min(ORDER.index(one.kind) for one in valid)


@pytest.mark.parametrize(
    ("email", "same_user", "reasons"),
    [
        ("someone@customer.test", False, []),
        ("second@partner.test", False, ["same_mail_domain"]),
        ("BOSS+mill@partner.test", False, ["same_mailbox", "same_mail_domain"]),
        ("stranger@gmail.com", False, []),
        ("b.o.s.s.home+x@googlemail.com", False, ["same_mailbox"]),
        ("other@customer.test", True, ["same_user"]),
        ("", False, []),
    ],
)
def test_c5_a_partner_that_refers_itself_is_noticed(email: str, same_user: bool, reasons: list[str]) -> None:
    boss, home = uuid4(), uuid4()
    members = [(boss, "boss@partner.test"), (home, "bosshome@gmail.com")]

    user_id = boss if same_user else uuid4()
    assert self_referral_reasons(email=email, user_id=user_id, members=members) == reasons


def test_addresses_are_taken_apart_safely() -> None:
    assert domain_of("A@B.Test") == "b.test"
    assert domain_of("nothing") == ""
    assert normal_mailbox("A.B+c@x.test") == "a.b@x.test"
