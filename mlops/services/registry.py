"""Models: versions made by jobs, and which of them answers."""

from typing import TYPE_CHECKING, Any

from django.db import transaction

from billing import selectors as prices
from millrace.kernel import outbox
from millrace.kernel.audit import Actor, record
from mlops.models import Job, Model, ModelVersion
from mlops.recipes import load_recipe
from mlops.services.jobs import next_number

if TYPE_CHECKING:
    from mlops.services.outcomes import Artifact


def version_create(*, job: Job, result: dict[str, Any], weights: "Artifact", card: str) -> ModelVersion:
    """An immutable version from a training's output. The first of a model answers at once; later ones challenge it."""
    recipe = load_recipe(job.recipe)
    with transaction.atomic():
        model = _locked_model(job)
        cost = prices.quote(job.tenant_id, job.meter, job.billed_ms, counted=job.billed_ms)
        version = ModelVersion.objects.create(
            tenant_id=job.tenant_id,
            model=model,
            number=next_number(model),
            job=job,
            recipe=recipe.name,
            recipe_version=recipe.version,
            params=job.params,
            shape=job.dataset_version.shape,
            weights_key=weights.storage_key,
            weights_hash=weights.sha256,
            weights_size=weights.size,
            metrics=result["metrics"],
            primary_metric=recipe.primary_metric,
            result={key: value for key, value in result.items() if key != "metrics"},
            dataset_version=job.dataset_version,
            dataset_hash=job.dataset_version.content_hash,
            code_version=str(result.get("code_version", "")),
            device_ms=job.billed_ms,
            cost_amount=cost.amount,
            cost_currency=cost.currency,
            card=card,
        )
        if model.champion_id is None:
            model_promote(model=model, version=version, actor=Actor.system("first version"))
    return version


def model_promote(*, model: Model, version: ModelVersion, actor: Actor) -> Model:
    """Let a version of the model answer from now on. Safe to repeat. Announces `model.promoted`."""
    if version.model_id != model.pk:
        raise ValueError(f"{version.public_id} is not of {model.public_id}")
    with transaction.atomic():
        locked = Model.objects.select_for_update().get(pk=model.pk)
        if locked.champion_id == version.pk:
            return locked
        before = locked.champion
        locked.champion = version
        locked.save(update_fields=["champion"])
        payload = {
            "model_id": str(locked.pk),
            "version": version.number,
            "before": before.number if before else None,
            "metric": version.primary_metric,
            "value": version.metrics.get(version.primary_metric),
        }
        outbox.announce("model.promoted", tenant_id=locked.tenant_id, payload=payload)
        record(actor=actor, action="model.promote", target=version, tenant_id=locked.tenant_id, data=payload)
    return locked


def _locked_model(job: Job) -> Model:
    """The model that the job's result goes to, made if need be, locked so that versions are numbered one at a time."""
    if job.model_id is not None:
        return Model.objects.select_for_update().get(pk=job.model_id)
    fresh = Model(tenant_id=job.tenant_id, name=job.model_name, recipe=job.recipe)
    Model.objects.bulk_create([fresh], ignore_conflicts=True)
    found = Model.objects.select_for_update().get(tenant_id=job.tenant_id, name=job.model_name)
    if found.recipe != job.recipe:
        # The name was taken by another recipe's model while the job ran.
        found = Model.objects.create(
            tenant_id=job.tenant_id, name=f"{job.model_name[:80]} {job.public_id[-8:]}", recipe=job.recipe
        )
    return found
