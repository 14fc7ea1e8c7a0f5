"""Jobs, as people submit, stop and resume them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from billing import selectors as prices
from billing.services.entitlements import check, spend_release, spend_reserve
from millrace.kernel import clock
from millrace.kernel.audit import Actor, record
from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money
from mlops import policy
from mlops.errors import JobStateRefused, ModelWithoutChampion, RecipeRefused
from mlops.models import DatasetVersion, Job, JobKind, JobState, Model, ModelVersion
from mlops.recipes import DataShape, RecipeProblem, load_recipe
from mlops.services.costs import ITEMS_METER, JobPrice, affordable_ms, items_price, job_price
from mlops.services.events import events_append
from mlops.services.transitions import job_become
from mlops.states import RESUMABLE

# What a plan must open for a job of the kind; measuring one's own model is open to all.
_FEATURES = {str(JobKind.TRAIN): "train", str(JobKind.BATCH_PREDICT): "batch_predict"}


@dataclass(frozen=True)
class JobRequest:
    """What somebody wants done, before anything was checked. Times in milliseconds.

    train: `recipe` and `params`, `model` to add a version to an existing model (else `model_name`, else the recipe's
    name), `model_version` to start from its weights. evaluate, batch_predict: `model_version`, or `model`'s champion.
    """

    kind: str
    dataset_version: DatasetVersion
    device_class: str = "cpu"
    recipe: str = ""
    params: dict[str, Any] | None = None
    model: Model | None = None
    model_name: str = ""
    model_version: ModelVersion | None = None
    spend_cap: Money | None = None
    time_limit_ms: int | None = None
    priority: int = 0


@dataclass(frozen=True)
class CheckedRequest:
    """The same with everything filled in, and its price."""

    request: JobRequest
    recipe: str
    params: dict[str, Any]
    model_version: ModelVersion | None
    price: JobPrice


def job_check(*, tenant_id: UUID, request: JobRequest) -> CheckedRequest:
    """Check parameters against the recipe's schema and data against its contract, and price the run.

    Raises RecipeRefused, ModelWithoutChampion, DeviceUnknown, CurrencyMismatch or SpendCapTooLow. Writes nothing.
    """
    shape = DataShape.from_json(request.dataset_version.shape)
    try:
        if request.kind == JobKind.TRAIN:
            recipe = load_recipe(request.recipe)
            params = recipe.resolve_params(request.params or {})
            recipe.check_data(shape)
            version = request.model_version
            _check_start(version, recipe.name, params, shape)
        else:
            version = _version_at_work(request, shape)
            recipe, params = load_recipe(version.recipe), version.params
    except RecipeProblem as refused:
        field = {"recipe_unknown": "recipe", "data_unsuitable": "dataset"}.get(refused.code, "params")
        where = f"{field}.{refused.field}" if refused.field else field
        raise RecipeRefused(refused.detail[:500], field=where, reason=refused.code) from refused
    if request.model is not None and request.model.recipe != recipe.name:
        raise RecipeRefused(f"{request.model.name} is made by {request.model.recipe}.", field="model")
    price = job_price(
        tenant_id=tenant_id,
        kind=request.kind,
        recipe=recipe.name,
        params=params,
        dataset_version=request.dataset_version,
        device_class=request.device_class,
        spend_cap=request.spend_cap,
        time_limit_ms=request.time_limit_ms,
    )
    return CheckedRequest(request, recipe.name, params, version, price)


def job_submit(*, tenant_id: UUID, request: JobRequest, actor: Actor) -> Job:
    """Queue a job. In one transaction: checked, priced, its worst case held, its row written; then the doorbell rings.
    The plan says whether such jobs are open to the tenant.

    Raises what `job_check` raises, and billing's refusals (402). Then nothing was written.
    """
    with transaction.atomic():
        checked = job_check(tenant_id=tenant_id, request=request)
        price = checked.price
        job = Job.objects.create(
            tenant_id=tenant_id,
            kind=request.kind,
            recipe=checked.recipe,
            params=checked.params,
            dataset_version=request.dataset_version,
            model=request.model,
            model_name=request.model_name or checked.recipe,
            model_version=checked.model_version,
            device_class=request.device_class,
            submitted_by=str(actor),
            meter=price.meter,
            currency=price.currency,
            spend_cap=request.spend_cap.amount if request.spend_cap else None,
            reserved=price.worst_case.amount,
            limit_ms=price.limit_ms,
            estimate_ms=price.estimate_ms,
            priority=request.priority,
        )
        _reserve(job, price.limit_ms)
        check(tenant_id=tenant_id, feature=_FEATURES.get(request.kind, ""))
        events_append(job, [("state", {"state": str(JobState.VALIDATING), "before": "", "code": "", "reason": ""})])
        job_become(job, JobState.QUEUED)
        record(actor=actor, action="job.submit", target=job, tenant_id=tenant_id,
               data={"kind": job.kind, "recipe": job.recipe, "reserved": price.worst_case.as_json()})  # fmt: skip
        transaction.on_commit(lambda: _ring(job.device_class), robust=True)
    return job


def job_cancel(*, job: Job, actor: Actor) -> Job:
    """Stop a job for good: at once when it waits, else its worker is told, and it ends after a last checkpoint.

    Safe to repeat. JobStateRefused when it has ended otherwise.
    """
    with transaction.atomic():
        locked = Job.objects.select_for_update().get(pk=job.pk)
        if locked.state == JobState.CANCELED or (locked.state == JobState.RUNNING and locked.stop_asked):
            return locked
        if locked.state == JobState.RUNNING:
            Job.objects.filter(pk=locked.pk).update(stop_asked="cancel")
            locked.stop_asked = "cancel"
            events_append(locked, [("stop_asked", {"by": str(actor)})])
        else:
            job_become(locked, JobState.CANCELED, code="canceled", reason=f"by {actor}")
            spend_release(tenant_id=locked.tenant_id, key=locked.reservation_key)
        record(actor=actor, action="job.cancel", target=locked, tenant_id=locked.tenant_id)
    return locked


def job_resume(*, job: Job, spend_cap: Money | None = None, actor: Actor) -> Job:
    """Queue a paused, failed or aborted job again, from its last checkpoint; a new cap replaces the old one.

    A job that used its spend cap up needs a higher one; one that used its time up gets as much again. Reserves anew:
    billing's refusals (402) apply.
    """
    with transaction.atomic():
        locked = Job.objects.select_for_update().get(pk=job.pk)
        if locked.state not in RESUMABLE:
            raise JobStateRefused(f"A job that is {locked.state} cannot be resumed.", state=locked.state)
        limit_ms = _limit_after(locked, spend_cap)
        locked.reservation += 1
        _reserve(locked, limit_ms - locked.billed_ms)
        changes: dict[str, Any] = {"limit_ms": limit_ms, "reservation": locked.reservation, "attempts": 0}
        if spend_cap is not None:
            changes["spend_cap"] = spend_cap.amount
        job_become(locked, JobState.QUEUED, stop_asked="", not_before=None, reserved=locked.reserved, **changes)
        record(actor=actor, action="job.resume", target=locked, tenant_id=locked.tenant_id)
        transaction.on_commit(lambda: _ring(locked.device_class), robust=True)
    return locked


def _limit_after(job: Job, spend_cap: Money | None) -> int:
    """The device time, in all, that a resumed job may have been billed in the end."""
    limit_ms = job.limit_ms
    if job.limit_ms - job.billed_ms < policy.SHORTEST_JOB_MS:
        if job.spend_cap is not None and spend_cap is None:
            raise Invalid("The spend cap is used up: name a higher one.", field="spend_cap")
        limit_ms = job.billed_ms + max(job.limit_ms, policy.LIMIT_FLOOR_MS)
    if spend_cap is not None:
        unit_price = prices.unit_price(job.tenant_id, job.meter)
        items = items_price(job.tenant_id, job.kind, job.dataset_version)
        limit_ms = affordable_ms(job.tenant_id, job.meter, unit_price, spend_cap, items=items)
    if limit_ms - job.billed_ms < policy.SHORTEST_JOB_MS:
        raise Invalid("The cap leaves no time to go on.", field="spend_cap")
    return limit_ms


def _reserve(job: Job, quantity_ms: int) -> None:
    """Hold the worst case of a run of that many milliseconds. QuotaExceeded where its items pass the plan's quota."""
    items = items_price(job.tenant_id, job.kind, job.dataset_version)
    if job.kind == JobKind.BATCH_PREDICT:
        check(tenant_id=job.tenant_id, meter=ITEMS_METER, quantity=job.dataset_version.rows)
    job.reserved = (prices.quote(job.tenant_id, job.meter, quantity_ms) + items).amount
    spend_reserve(
        tenant_id=job.tenant_id,
        amount=job.reserved,
        currency=job.currency,
        key=job.reservation_key,
        expires_at=clock.now() + timedelta(milliseconds=quantity_ms) + policy.RESERVATION_SPARE,
        meter=job.meter,
        quantity=quantity_ms,
    )


def _check_start(version: ModelVersion | None, recipe: str, params: dict[str, Any], shape: DataShape) -> None:
    """The weights that training starts from must be of the same net."""
    if version is None:
        return
    known = DataShape.from_json(version.shape)
    same_form = version.params.get("form") == params.get("form") and version.params.get("hidden") == params.get(
        "hidden"
    )
    if version.recipe != recipe or known.input_shape != shape.input_shape or not same_form:
        raise RecipeRefused("The version to start from is of another net.", field="version")
    if known.class_names != shape.class_names:
        raise RecipeRefused("The version to start from knows other classes.", field="version")


def _version_at_work(request: JobRequest, shape: DataShape) -> ModelVersion:
    """The version that evaluates or predicts, checked against the data."""
    version = request.model_version or (request.model.champion if request.model else None)
    if version is None:
        if request.model is None:
            raise Invalid("Name the model.", field="model")
        raise ModelWithoutChampion(f"{request.model.name} has no version yet.", field="model")
    known = DataShape.from_json(version.shape)
    if (known.layout, known.input_shape) != (shape.layout, shape.input_shape):
        raise RecipeRefused(
            f"The model takes {known.layout} of {known.input_shape}, the data are {shape.layout} of "
            f"{shape.input_shape}.", field="dataset", reason="data_unsuitable",
        )  # fmt: skip
    return version


def next_number(model: Model) -> int:
    """The number of a model's next version; call it with the model's row locked."""
    return (model.versions.aggregate(last=Max("number"))["last"] or 0) + 1


def _ring(device_class: str) -> None:
    """Wake the workers of a class. Should the ring be lost, they look by themselves (J5)."""
    from mlops.tasks import look

    if settings.OUTBOX_DOORBELL:
        look.apply_async(queue=f"jobs.{device_class}", expires=60)
