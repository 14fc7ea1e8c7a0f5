"""This room's reads. The tenant comes first; a stranger's thing does not exist."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model as DjangoModel
from django.db.models import QuerySet

from millrace.kernel import ids
from millrace.kernel.errors import NotFound
from millrace.kernel.models import TenantModel
from mlops.models import Checkpoint, Dataset, DatasetVersion, Job, JobEvent, Model, ModelVersion, Prediction, Segment

Row = TypeVar("Row", bound=DjangoModel)


def datasets(tenant_id: UUID) -> QuerySet[Dataset]:
    """A tenant's data sets with their versions."""
    return Dataset.objects.filter(tenant_id=tenant_id).prefetch_related("versions")


def dataset(tenant_id: UUID, public_id: str) -> Dataset:
    """One data set; NotFound for a stranger's."""
    return _one(datasets(tenant_id), Dataset, public_id)


def dataset_versions(tenant_id: UUID, dataset_id: UUID) -> QuerySet[DatasetVersion]:
    """The versions of a data set."""
    return DatasetVersion.objects.filter(tenant_id=tenant_id, dataset_id=dataset_id).select_related("dataset")


def dataset_version(tenant_id: UUID, public_id: str, number: str = "") -> DatasetVersion:
    """A version by its data set's id (the latest, or `number`) or by its own id (`dsv_…`)."""
    versions = DatasetVersion.objects.filter(tenant_id=tenant_id).select_related("dataset")
    if public_id.startswith(f"{DatasetVersion.PREFIX}_"):
        return _one(versions, DatasetVersion, public_id)
    found = dataset_versions(tenant_id, ids.parse(Dataset.PREFIX, public_id)).order_by("-number")
    if number:
        found = found.filter(number=whole(number))
    return _first(found, f"There is no such version of {public_id[:64]!r}.")


def jobs(tenant_id: UUID) -> QuerySet[Job]:
    """A tenant's jobs, with what their answers show."""
    return Job.objects.filter(tenant_id=tenant_id).select_related(
        "dataset_version__dataset", "model", "model_version", "made__model", "session__device"
    )


def job(tenant_id: UUID, public_id: str) -> Job:
    """One job."""
    return _one(jobs(tenant_id), Job, public_id)


def job_events(tenant_id: UUID, job_id: UUID, *, after: int = 0, kinds: tuple[str, ...] = ()) -> QuerySet[JobEvent]:
    """A job's events behind number `after`, in order."""
    found = JobEvent.objects.filter(tenant_id=tenant_id, job_id=job_id, sequence__gt=after).order_by("sequence")
    return found.filter(kind__in=kinds) if kinds else found


def job_segments(tenant_id: UUID, job_id: UUID) -> QuerySet[Segment]:
    """The stretches of devices that a job held, in order."""
    found = Segment.objects.filter(tenant_id=tenant_id, job_id=job_id).select_related("device")
    return found.order_by("epoch", "sequence")


def checkpoints(tenant_id: UUID, job_id: UUID) -> QuerySet[Checkpoint]:
    """What a job can go on from, the latest first."""
    found = Checkpoint.objects.filter(tenant_id=tenant_id, job_id=job_id, expired_at=None)
    return found.order_by("-epoch", "-step")


def models(tenant_id: UUID) -> QuerySet[Model]:
    """A tenant's models."""
    return Model.objects.filter(tenant_id=tenant_id).select_related("champion__dataset_version__dataset")


def model(tenant_id: UUID, public_id: str) -> Model:
    """One model."""
    return _one(models(tenant_id), Model, public_id)


def model_versions(tenant_id: UUID, model_id: UUID) -> QuerySet[ModelVersion]:
    """A model's versions."""
    found = ModelVersion.objects.filter(tenant_id=tenant_id, model_id=model_id)
    return found.select_related("model", "dataset_version__dataset", "job")


def model_version(tenant_id: UUID, model_public_id: str, number: str) -> ModelVersion:
    """A version by its model and number."""
    found = model_versions(tenant_id, ids.parse(Model.PREFIX, model_public_id)).filter(number=whole(number))
    return _first(found, f"There is no version {number[:12]!r} of {model_public_id[:64]!r}.")


def model_version_by_id(tenant_id: UUID, version_id: UUID) -> ModelVersion:
    """A version by its own identifier."""
    return _first(ModelVersion.objects.filter(tenant_id=tenant_id, pk=version_id), "There is no such version.")


def prediction(tenant_id: UUID, public_id: str) -> Prediction:
    """One answered prediction."""
    return _one(Prediction.objects.filter(tenant_id=tenant_id).select_related("model_version__model"),
                Prediction, public_id)  # fmt: skip


def whole(text: str) -> int:
    """A small whole number of an address; NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise NotFound(f"There is no version {text[:12]!r}.")
    return int(text)


def _one(rows: QuerySet[Row], kind: type[TenantModel], public_id: str) -> Row:
    key = ids.parse(kind.PREFIX, public_id)
    return _first(rows.filter(pk=key), f"There is no {kind.PREFIX} {public_id[:64]!r}.")


def _first(rows: QuerySet[Row], missing: str) -> Row:
    found = rows.first()
    if found is None:
        raise NotFound(missing)
    return found
