"""Series agree with the reports that they are drawn beside."""

from datetime import timedelta

import pytest

from channels_partners.reports import catalogue, series
from channels_partners.reports.params import Params
from millrace.kernel import clock
from tests.channels_partners.makers import make_channel, make_partner, sign_up
from tests.channels_partners.test_reports import come_by, give_back, settle

pytestmark = pytest.mark.django_db


def test_revenue_over_time_sums_to_the_reports_rows() -> None:
    customer = come_by(make_channel("social", "social"))
    settle(customer.tenant_id, 500, days_ago=3)
    give_back(settle(customer.tenant_id, 1000, days_ago=1), 200)
    settle(sign_up().tenant_id, 70, currency="USD")
    end = clock.now() + timedelta(minutes=1)
    start = end - timedelta(days=5)

    found = series.channel_revenue_series(start, end, currency="CNY")

    assert list(found) == ["social"]
    assert [amount for _, amount in found["social"]] == [0, 500, 0, 1000, -200]
    (row,) = catalogue.report("channel-revenue", Params(start, end, "channel", "CNY")).rows
    assert row["revenue"] == sum(amount for _, amount in found["social"])


def test_the_paying_ratio_over_time_is_the_reports_at_each_end() -> None:
    with clock.frozen(clock.now() - timedelta(days=2, hours=12)):
        customer = sign_up()
    settle(customer.tenant_id, 100, days_ago=1)
    end = clock.now() + timedelta(minutes=1)

    points = series.paying_ratio_series(end - timedelta(days=4), end)

    assert [(point["tenants"], point["paying_tenants"]) for point in points] == [(0, 0), (1, 0), (1, 1), (1, 1)]


def test_earnings_over_time() -> None:
    partner = make_partner()
    customer = come_by(partner.channel, partner)
    invoice = settle(customer.tenant_id, 1000, days_ago=1)
    give_back(invoice, 500)
    end = clock.now() + timedelta(minutes=1)

    points = series.earnings_series(partner, end - timedelta(days=2), end, currency="CNY")

    assert [point["net"] for point in points] == [200, -100]


def test_a_series_has_an_end() -> None:
    with pytest.raises(ValueError, match="400"):
        series.steps(clock.now() - timedelta(days=500), clock.now())
