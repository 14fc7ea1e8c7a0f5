"""Answers to surveys."""

from uuid import UUID

from django.db import IntegrityError, transaction

from channels_partners.errors import AlreadyAnswered
from channels_partners.models import SurveyAnswer
from millrace.kernel import clock
from millrace.kernel.audit import Actor


def survey_answer(*, tenant_id: UUID, kind: str, score: int, actor: Actor, comment: str = "") -> SurveyAnswer:
    """Keep one answer of one person for this month (UTC). AlreadyAnswered for a second: an answer is final."""
    now = clock.now()
    try:
        with transaction.atomic():
            return SurveyAnswer.objects.create(
                tenant_id=tenant_id,
                kind=kind,
                respondent=str(actor),
                month=now.date().replace(day=1),
                score=score,
                comment=comment,
                answered_at=now,
            )
    except IntegrityError as error:
        if "one_answer_per_person_and_month" not in str(error):
            raise
        raise AlreadyAnswered("Thank you: you may answer again next month.") from error
