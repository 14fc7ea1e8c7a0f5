"""The demo's cast adds up before the curtain rises; what it comes to on stage, the reports say."""

from millrace.story.cast import ANSWERS, CONTENT, REFUND, REVENUE, WAYS, company


def test_a_thousand_people_of_whom_three_hundred_pay() -> None:
    cast = company()

    assert sum(len(one.people) for one in cast) == sum(way.users for way in WAYS) == 1_000
    assert sum(len(one.people) for one in cast if one.plan) == sum(way.paying for way in WAYS) == 300
    assert len({email for one in cast for email, _ in one.people}) == 1_000


def test_the_month_comes_to_a_round_sum_with_any_seed() -> None:
    for seed in range(5):
        assert sum(one.owed for one in company(seed)) == REVENUE + REFUND


def test_every_special_part_is_played_once() -> None:
    parts = sorted(one.part for one in company() if one.part)

    assert parts == ["declined", "filler", "refunded", "reseller's", "trainer"]


def test_nine_in_ten_answers_are_content() -> None:
    scores = [one.score for one in company() if one.score]

    assert (len(scores), sum(score >= 4 for score in scores)) == (ANSWERS, CONTENT)


def test_the_same_seed_is_the_same_cast() -> None:
    assert company(7) == company(7)
    assert company(7) != company(8)
