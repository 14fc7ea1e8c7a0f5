"""Models, their immutable versions, what they predicted, and what users said of it."""

from django.db import models
from django.db.models import Q

from millrace.kernel.models import TenantModel, append_only
from mlops.models.datasets import DatasetVersion
from mlops.models.devices import Segment
from mlops.models.jobs import Job


class Model(TenantModel):
    """A named line of versions; the champion answers predictions, the others are challengers."""

    PREFIX = "mdl"

    name = models.CharField(max_length=120)
    recipe = models.CharField(max_length=60)
    champion = models.ForeignKey("mlops.ModelVersion", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="one_model_per_name")]


class ModelVersion(TenantModel):
    """What a job made: weights, figures, and everything they came from."""

    PREFIX = "mv"

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="made")
    recipe = models.CharField(max_length=60)
    recipe_version = models.PositiveIntegerField()
    params = models.JSONField()
    shape = models.JSONField()
    weights_key = models.CharField(max_length=200)
    weights_hash = models.CharField(max_length=64)
    weights_size = models.BigIntegerField()
    metrics = models.JSONField()
    primary_metric = models.CharField(max_length=40)
    result = models.JSONField()
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="+")
    dataset_hash = models.CharField(max_length=64)
    code_version = models.CharField(max_length=80)
    device_ms = models.BigIntegerField()
    cost_amount = models.BigIntegerField()
    cost_currency = models.CharField(max_length=3)
    card = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="one_model_version_per_number")]
        triggers = append_only()


class Prediction(TenantModel):
    """One answered request: its inputs, its outputs, and its share of the batch's device time."""

    PREFIX = "prd"

    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="predictions")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="predictions")
    items = models.PositiveIntegerField()
    # The examples as the model's bytes (uint8 pictures or little-endian float32 rows), for corrections to learn from.
    inputs = models.BinaryField()
    outputs = models.JSONField()
    request_hash = models.CharField(max_length=64)
    device_ms = models.PositiveIntegerField()

    class Meta:
        triggers = append_only()


class Feedback(TenantModel):
    """A user's verdict on one output of a prediction. A later one replaces an earlier one in what is learned."""

    PREFIX = "fbk"

    prediction = models.ForeignKey(Prediction, on_delete=models.PROTECT, related_name="feedback")
    item = models.PositiveIntegerField(default=0)
    correct = models.BooleanField()
    label = models.CharField(max_length=200, blank=True, default="")
    rating = models.PositiveSmallIntegerField(null=True)
    given_by = models.CharField(max_length=80)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(rating__isnull=True) | Q(rating__range=(1, 5)), name="rating_1_to_5")
        ]
        triggers = append_only()
