"""Doors of the jobs: price, submit, look, stop, resume."""

from functools import partial
from typing import Any, cast
from uuid import UUID

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.fields import MoneyField, Serializer, TypeIdField
from millrace.api.schema import paged
from millrace.api.views import ApiView
from millrace.kernel import storage
from millrace.kernel.errors import Conflict, Invalid, NotFound
from millrace.kernel.money import Money
from mlops import selectors
from mlops.api.negotiation import AsItComes
from mlops.models import Job, JobEvent, JobKind, JobState, Quote
from mlops.services.costs import JobCosts, quote_make
from mlops.services.jobs import JobRequest, job_cancel, job_check, job_resume, job_submit


class JobIn(Serializer):
    """What is wanted. `dataset` is a data set (its latest version) or a version; `model` one to add to, or to use."""

    kind = serializers.ChoiceField(choices=JobKind.choices)
    recipe = serializers.CharField(max_length=60, required=False, default="")
    dataset = serializers.CharField(max_length=64)
    params = serializers.DictField(required=False, default=dict)
    model = serializers.CharField(max_length=64, required=False, default="")
    model_name = serializers.CharField(max_length=120, required=False, default="")
    version = serializers.IntegerField(min_value=1, max_value=10**9, required=False, default=None, allow_null=True)
    device = serializers.CharField(max_length=40, required=False, default="cpu")
    spend_cap = MoneyField(required=False, default=None, allow_null=True)
    time_limit_seconds = serializers.IntegerField(
        min_value=5, max_value=604_800, required=False, default=None, allow_null=True
    )
    priority = serializers.IntegerField(min_value=-10, max_value=10, required=False, default=0)


class ResumeIn(Serializer):
    """A new cap, where the old one is used up."""

    spend_cap = MoneyField(required=False, default=None, allow_null=True)


class QuoteOut(Serializer):
    """A price before the run, and how it was reached."""

    id = TypeIdField("quo", source="pk")
    meter = serializers.CharField()
    unit_price = serializers.DecimalField(max_digits=24, decimal_places=12)
    estimate = serializers.SerializerMethodField()
    worst_case = serializers.SerializerMethodField()
    estimate_ms = serializers.IntegerField()
    limit_ms = serializers.IntegerField()
    basis = serializers.JSONField()
    expires_at = serializers.DateTimeField()

    @extend_schema(responses=MoneyField)
    def get_estimate(self, quote: Quote) -> dict:
        """What the run should cost."""
        return Money(quote.estimate_amount, quote.currency).as_json()

    @extend_schema(responses=MoneyField)
    def get_worst_case(self, quote: Quote) -> dict:
        """What it can cost at most."""
        return Money(quote.worst_case_amount, quote.currency).as_json()


class JobOut(Serializer):
    """A job with its device time and cost so far."""

    id = TypeIdField("job", source="pk")
    kind = serializers.CharField()
    state = serializers.CharField()
    reason_code = serializers.CharField()
    reason = serializers.CharField()
    recipe = serializers.CharField()
    params = serializers.JSONField()
    dataset = TypeIdField("ds", source="dataset_version.dataset_id")
    dataset_version = TypeIdField("dsv", source="dataset_version_id")
    model = serializers.SerializerMethodField()
    device = serializers.CharField(source="device_class")
    priority = serializers.IntegerField()
    attempts = serializers.IntegerField()
    epoch = serializers.IntegerField()
    progress = serializers.JSONField()
    result = serializers.SerializerMethodField()
    estimate_ms = serializers.IntegerField()
    limit_ms = serializers.IntegerField()
    device_ms = serializers.IntegerField(source="billed_ms")
    lost_ms = serializers.IntegerField()
    cost = serializers.SerializerMethodField()
    worst_case = serializers.SerializerMethodField()
    spend_cap = serializers.SerializerMethodField()
    submitted_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_model(self, job: Job) -> dict | None:
        """The model version that the job made or used."""
        version = getattr(job, "made", None) or job.model_version
        if version is None:
            return None
        return {"model": _typeid("mdl", version.model_id), "version": version.number}

    def get_result(self, job: Job) -> dict | None:
        """Figures of a job that succeeded; where its files lie is nobody's business."""
        return {k: v for k, v in job.result.items() if k not in _INTERNAL} if job.result else None

    @extend_schema(responses=MoneyField)
    def get_cost(self, job: Job) -> dict:
        """What the settled device time and the predicted items cost at today's price."""
        costs = self.context.get("costs") or JobCosts(job.tenant_id)
        return costs.of(job).as_json()

    @extend_schema(responses=MoneyField)
    def get_worst_case(self, job: Job) -> dict:
        """What is held for it while it waits or runs."""
        return Money(job.reserved, job.currency).as_json()

    @extend_schema(responses=MoneyField)
    def get_spend_cap(self, job: Job) -> dict | None:
        """The most it may cost, if a cap was given."""
        return None if job.spend_cap is None else Money(job.spend_cap, job.currency).as_json()


class MetricOut(Serializer):
    """One figure of one epoch of training."""

    name = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    step = serializers.IntegerField()
    epoch = serializers.IntegerField()
    at = serializers.DateTimeField()


class MetricList(Serializer):
    """All figures so far, in order."""

    data = MetricOut(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class LogOut(Serializer):
    """What the job's process printed, the beginning if it was long."""

    text = serializers.CharField()


_INTERNAL = {"storage_key", "weights", "card", "model_version"}
_MOST_LINES = 20_000


def _typeid(prefix: str, key: UUID) -> str:
    from millrace.kernel.ids import typeid

    return typeid(prefix, key)


class _JobView(ApiView):
    """Reads a job's request from the body."""

    def wanted(self) -> JobRequest:
        """The body as a request, its references looked up in the caller's tenant."""
        body, tenant_id = self.valid(JobIn), self.caller.tenant_id
        try:
            dataset_version = selectors.dataset_version(tenant_id, body["dataset"])
        except NotFound as missing:
            raise Invalid(missing.detail, field="dataset") from missing
        try:
            model = selectors.model(tenant_id, body["model"]) if body["model"] else None
            version = body["version"]
            if version is not None and model is None:
                raise Invalid("A version is one of a model: name it.", field="model")
            found = selectors.model_version(tenant_id, body["model"], str(version)) if version is not None else None
        except NotFound as missing:
            raise Invalid(missing.detail, field="model") from missing
        limit = body["time_limit_seconds"]
        return JobRequest(
            kind=body["kind"],
            dataset_version=dataset_version,
            device_class=body["device"],
            recipe=body["recipe"],
            params=body["params"],
            model=model,
            model_name=body["model_name"],
            model_version=found,
            spend_cap=body["spend_cap"],
            time_limit_ms=limit * 1000 if limit else None,
            priority=body["priority"],
        )


class QuotesView(_JobView):
    """`/v1/quotes`."""

    permission = {"POST": "jobs.write"}

    @extend_schema(request=JobIn, responses={201: QuoteOut})
    def post(self, request: Request) -> Response:
        """What a job would cost; the body is the job's."""
        checked = job_check(tenant_id=self.caller.tenant_id, request=self.wanted())
        quote = quote_make(
            tenant_id=self.caller.tenant_id, request=cast(dict[str, Any], request.data), price=checked.price
        )
        return Response(QuoteOut(quote).data, status=201)


class JobsView(_JobView):
    """`/v1/jobs`."""

    permission = {"GET": "jobs.read", "POST": "jobs.write"}

    @paged(JobOut, parameters=[OpenApiParameter("state", str, enum=JobState.values)])
    def get(self, request: Request) -> Response:
        """The tenant's jobs, newest first; `?state=` narrows them."""
        rows = selectors.jobs(self.caller.tenant_id)
        state = request.query_params.get("state", "")
        if state and state not in JobState.values:
            raise Invalid(f"Choose from: {', '.join(JobState.values)}.", field="state")
        shown = partial(JobOut, context={"costs": JobCosts(self.caller.tenant_id)})
        return self.page(rows.filter(state=state) if state else rows, shown)

    @extend_schema(request=JobIn, responses={201: JobOut})
    def post(self, request: Request) -> Response:
        """Submit a job: checked, priced and reserved before it is queued."""
        job = job_submit(tenant_id=self.caller.tenant_id, request=self.wanted(), actor=self.caller.actor)
        return Response(JobOut(_job(self, job.public_id)).data, status=201)


class JobView(ApiView):
    """`/v1/jobs/{id}`."""

    permission = {"GET": "jobs.read"}

    @extend_schema(responses=JobOut)
    def get(self, request: Request, job_id: str) -> Response:
        """One job, with progress and cost so far."""
        return Response(JobOut(_job(self, job_id)).data)


class JobCancelView(ApiView):
    """`/v1/jobs/{id}/cancel`."""

    permission = {"POST": "jobs.write"}

    @extend_schema(request=None, responses=JobOut)
    def post(self, request: Request, job_id: str) -> Response:
        """Stop it for good."""
        job_cancel(job=_job(self, job_id), actor=self.caller.actor)
        return Response(JobOut(_job(self, job_id)).data)


class JobResumeView(ApiView):
    """`/v1/jobs/{id}/resume`."""

    permission = {"POST": "jobs.write"}

    @extend_schema(request=ResumeIn, responses=JobOut)
    def post(self, request: Request, job_id: str) -> Response:
        """Go on from the last checkpoint."""
        cap = self.valid(ResumeIn)["spend_cap"]
        job_resume(job=_job(self, job_id), spend_cap=cap, actor=self.caller.actor)
        return Response(JobOut(_job(self, job_id)).data)


class JobLogsView(ApiView):
    """`/v1/jobs/{id}/logs`."""

    permission = {"GET": "jobs.read"}

    @extend_schema(responses=LogOut)
    def get(self, request: Request, job_id: str) -> Response:
        """What the process printed."""
        return Response({"text": "".join(event.data["text"] for event in _lines(self, job_id, "log"))})


class JobMetricsView(ApiView):
    """`/v1/jobs/{id}/metrics`."""

    permission = {"GET": "jobs.read"}

    @extend_schema(responses=MetricList)
    def get(self, request: Request, job_id: str) -> Response:
        """Figures of every epoch so far; an epoch that was run again after a loss shows its last figures."""
        rows: dict[tuple[Any, Any], dict] = {}
        for event in _lines(self, job_id, "metric"):
            rows[event.data["name"], event.data["epoch"]] = event.data | {"at": event.created_at}
        return Response({"data": MetricOut(list(rows.values()), many=True).data, "next_cursor": None})


class JobOutputView(ApiView):
    """`/v1/jobs/{id}/output`."""

    permission = {"GET": "jobs.read"}
    content_negotiation_class = AsItComes

    @extend_schema(responses={(200, "application/jsonl"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: str) -> FileResponse:
        """The predictions of a batch job: a JSON object a line."""
        job = _job(self, job_id)
        if not job.result or "storage_key" not in job.result:
            raise Conflict("The job has no output file (yet).", state=job.state)
        blob = storage.open_blob(job.result["storage_key"])
        return FileResponse(
            blob, content_type="application/jsonl", filename=f"{job.public_id}.jsonl", as_attachment=True
        )


def _job(view: ApiView, job_id: str) -> Job:
    return selectors.job(view.caller.tenant_id, job_id)


def _lines(view: ApiView, job_id: str, kind: str) -> list[JobEvent]:
    job = _job(view, job_id)
    return list(selectors.job_events(view.caller.tenant_id, job.pk, kinds=(kind,))[:_MOST_LINES])
