"""Identifiers: time-ordered inside, self-describing outside."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Tenant, User
from millrace.kernel import ids
from millrace.kernel.errors import NotFound


def test_new_ones_are_version_seven_and_ascend() -> None:
    made = [ids.uuid7() for _ in range(1000)]

    assert {one.version for one in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert type(made[0]) is UUID


@given(st.uuids())
def test_the_public_spelling_leads_back(value: UUID) -> None:
    assert ids.parse("job", ids.typeid("job", value)) == value


@given(st.text(max_size=60))
def test_any_other_text_names_nothing(text: str) -> None:
    with pytest.raises(NotFound):
        ids.parse("job", text)


@pytest.mark.parametrize(
    "text",
    ["", "job", "job_", "ten_01h455vb4pex5vsknk084sn02q", "JOB_01h455vb4pex5vsknk084sn02q", "job_81h455vb4pex5vsknk084sn02q",
     "job_01h455vb4pex5vsknk084sn02", None, 7, "job_01h455vb4pex5vsknk084sn02q\n"],
)  # fmt: skip
def test_a_spelling_of_another_kind_names_nothing(text: object) -> None:
    with pytest.raises(NotFound):
        ids.parse("job", text)


def test_a_complaint_repeats_no_more_than_a_line_of_what_was_sent() -> None:
    with pytest.raises(NotFound) as caught:
        ids.parse("job", "x" * 10_000)

    assert len(caught.value.detail) < 120


def test_every_kind_has_a_prefix_of_its_own() -> None:
    from django.apps import apps

    from millrace.kernel.models import Model

    kinds = [model for model in apps.get_models() if issubclass(model, Model)]
    prefixes = [model.PREFIX for model in kinds]

    assert all(prefix.islower() and prefix.isalpha() for prefix in prefixes), prefixes
    assert sorted(prefixes) == sorted(set(prefixes))
    assert (Tenant.PREFIX, User.PREFIX) == ("ten", "usr")
