"""What customers say."""

from django.db import models

from millrace.kernel.models import TenantModel, append_only


class SurveyKind(models.TextChoices):
    """CSAT is 1 to 5, NPS 0 to 10."""

    CSAT = "csat"
    NPS = "nps"


class SurveyAnswer(TenantModel):
    """One answer of one person in one month; final once given. `respondent` is the caller's label (user or key)."""

    PREFIX = "svy"

    kind = models.CharField(max_length=8, choices=SurveyKind)
    respondent = models.CharField(max_length=80)
    month = models.DateField()
    score = models.PositiveSmallIntegerField()
    comment = models.CharField(max_length=1000, default="", blank=True)
    answered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kind", "respondent", "month"], name="one_answer_per_person_and_month"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="csat", score__gte=1, score__lte=5)
                | models.Q(kind="nps", score__gte=0, score__lte=10),
                name="survey_score_in_range",
            ),
        ]
        indexes = [models.Index(fields=["kind", "answered_at"], name="survey_by_time")]
        triggers = append_only()
