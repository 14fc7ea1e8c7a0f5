"""Data sets: a name, and immutable versions known by the hash of their content."""

from django.db import models

from millrace.kernel.models import TenantModel, append_only


class Dataset(TenantModel):
    """A named line of versions."""

    PREFIX = "ds"

    name = models.CharField(max_length=120)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="one_dataset_per_name")]


class DatasetVersion(TenantModel):
    """Examples that passed every check. The same content in one data set is the same version."""

    PREFIX = "dsv"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=200)
    source = models.CharField(max_length=120)
    licence = models.CharField(max_length=300, blank=True, default="")
    rows = models.PositiveIntegerField()
    # mlops.recipes.DataShape as JSON: layout, input_shape, class_names, examples.
    shape = models.JSONField()
    statistics = models.JSONField()
    report = models.JSONField()
    created_by = models.CharField(max_length=80)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "content_hash"], name="one_version_per_content"),
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_per_number"),
        ]
        triggers = append_only()
