"""Pages of the jobs."""

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from billing import selectors as prices
from billing.errors import BillingMissing
from millrace.api import idempotency
from millrace.kernel.errors import NotFound, Problem
from millrace.kernel.money import Money
from millrace.portal.charts import Chart, Series, lines
from millrace.portal.views import attempt, blame, cursor_page
from mlops import selectors
from mlops.models import Disposition, Job, JobState
from mlops.portal.forms import PARAM, JobForm, recipes
from mlops.recipes import Recipe, RecipeProblem, load_recipe
from mlops.services.costs import JobCosts, JobPrice
from mlops.services.jobs import job_cancel, job_check, job_resume, job_submit
from mlops.states import AT_REST, RESUMABLE

_LOSSES = (("train_loss", "training"), ("held_out_loss", "held out"))
_FIELDS = {"params": "", "dataset": "dataset", "device": "device", "spend_cap": "spend_cap"}


@require_safe
@page("jobs.read")
def index(request: HttpRequest) -> HttpResponse:
    """The tenant's jobs, newest first; `?state=` narrows them."""
    rows = selectors.jobs(request.caller.tenant_id)  # type: ignore[attr-defined]
    state = request.GET.get("state", "")
    if state in JobState.values:
        rows = rows.filter(state=state)
    values = {"page": cursor_page(rows, request), "states": JobState.values, "state": state}
    return render(request, "mlops/jobs.html", values)


@page("jobs.read", post="jobs.write")
def new(request: HttpRequest) -> HttpResponse:
    """The form; its answer to `act=quote` is the price, and to `act=submit` the job."""
    form = _form(request)
    price = _tried(form) if request.method == "POST" and form.is_valid() else None
    if price is not None and request.POST.get("act") == "submit":
        job_id = _submitted(request, form)
        if job_id is not None:
            return redirect("mlops_job", job_id=job_id)
    values = {"form": form, "recipe": form.recipe, "recipes": recipes(), "preset": _preset(request, form.recipe)}
    return render(request, "mlops/job_new.html", values | {"price": price})


@require_POST
@page("jobs.write")
def quote(request: HttpRequest) -> HttpResponse:
    """The price alone, for the form to show while somebody types. An address of its own: it can never submit."""
    form = _form(request)
    price = _tried(form) if form.is_valid() else None
    return render(request, "mlops/quote.html", {"form": form, "price": price})


@require_safe
@page("jobs.read")
def detail(request: HttpRequest, job_id: str) -> HttpResponse:
    """One job: progress, cost so far, curves, the segments it held, and what it printed."""
    job = selectors.job(request.caller.tenant_id, job_id)  # type: ignore[attr-defined]
    values = _live(job) | {"segments": selectors.job_segments(job.tenant_id, job.pk)[:100], "log": _log(job)}
    return render(request, "mlops/job.html", values)


@require_safe
@page("jobs.read")
def live(request: HttpRequest, job_id: str) -> HttpResponse:
    """The part of the page that changes while the job runs."""
    job = selectors.job(request.caller.tenant_id, job_id)  # type: ignore[attr-defined]
    return render(request, "mlops/job_live.html", _live(job))


@require_POST
@page("jobs.write")
def cancel(request: HttpRequest, job_id: str) -> HttpResponse:
    """Stop it for good."""
    caller = request.caller  # type: ignore[attr-defined]
    job = selectors.job(caller.tenant_id, job_id)
    attempt(request, lambda: job_cancel(job=job, actor=caller.actor), done=f"{job.public_id} is being stopped.")
    return redirect("mlops_job", job_id=job_id)


@require_POST
@page("jobs.write")
def resume(request: HttpRequest, job_id: str) -> HttpResponse:
    """Go on from the last checkpoint."""
    caller = request.caller  # type: ignore[attr-defined]
    job = selectors.job(caller.tenant_id, job_id)
    attempt(request, lambda: job_resume(job=job, actor=caller.actor), done=f"{job.public_id} is queued again.")
    return redirect("mlops_job", job_id=job_id)


def _form(request: HttpRequest) -> JobForm:
    caller = request.caller  # type: ignore[attr-defined]
    sent = request.POST if request.method == "POST" else request.GET
    try:
        recipe = load_recipe(sent.get("recipe", "") or recipes()[0].name)
        preset = _preset(request, recipe)
        recipe.default_params(preset)
    except RecipeProblem as unknown:
        raise NotFound(unknown.detail) from unknown
    try:
        currency = prices.standing(caller.tenant_id).currency
    except BillingMissing:
        currency = ""
    return JobForm(
        request.POST if request.method == "POST" else None, initial={"dataset": request.GET.get("dataset", "")},
        tenant_id=caller.tenant_id, recipe=recipe, preset=preset, currency=currency,
    )  # fmt: skip


def _preset(request: HttpRequest, recipe: Recipe) -> str:
    sent = request.POST if request.method == "POST" else request.GET
    return sent.get("preset", "") or recipe.default_preset


def _tried(form: JobForm) -> JobPrice | None:
    """The price of what the form asks for; a refusal goes to its field."""
    try:
        return job_check(tenant_id=form.tenant_id, request=form.request()).price
    except Problem as refused:
        _blame(form, refused)
        return None


def _submitted(request: HttpRequest, form: JobForm) -> str | None:
    """The public id of the job that the form made, now or when it was sent before."""
    caller = request.caller  # type: ignore[attr-defined]
    content = dict(form.cleaned_data)
    key = str(content.pop("form_key") or uuid4())

    def make() -> str:
        return job_submit(tenant_id=caller.tenant_id, request=form.request(), actor=caller.actor).public_id

    try:
        job_id, is_new = idempotency.once(
            tenant_id=caller.tenant_id,
            place=request.path,
            key=key,
            content=content | {"recipe": form.recipe.name},
            make=make,
        )
    except Problem as refused:
        _blame(form, refused)
        return None
    if not is_new:
        messages.info(request, "This form was sent before: this is the job that it made.")
    return job_id


def _blame(form: JobForm, refused: Problem) -> None:
    field = refused.field or ""
    blame(form, refused, {field: PARAM + field.partition(".")[2]} if field.startswith("params.") else _FIELDS)


def _live(job: Job) -> dict[str, Any]:
    """What changes while a job runs. `open_ms` is device time that no checkpoint has settled yet."""
    pending = selectors.job_segments(job.tenant_id, job.pk).filter(disposition=Disposition.PENDING)
    open_ms = sum(segment.duration_ms for segment in pending)
    made = getattr(job, "made", None)
    return {
        "job": job,
        "is_live": job.state not in AT_REST,
        "can_resume": job.state in RESUMABLE,
        "open_ms": open_ms,
        "device_ms": job.billed_ms + open_ms,
        "cost": JobCosts(job.tenant_id).of(job, open_ms=open_ms),
        "cap": None if job.spend_cap is None else Money(job.spend_cap, job.currency),
        "held": Money(job.reserved, job.currency),
        "percent": round(100 * float(job.progress.get("fraction", 0)), 1),
        "chart": _curves(job),
        "made": made,
        "made_figure": made.metrics.get(made.primary_metric) if made else None,
        "made_note": f"{made.model.name}, version {made.number}" if made else "",
    }


def _curves(job: Job) -> Chart | None:
    """Loss by epoch; an epoch that was run again after a loss shows its last figures."""
    found: dict[str, dict[int, float]] = {}
    for event in selectors.job_events(job.tenant_id, job.pk, kinds=("metric",))[:20_000]:
        found.setdefault(event.data["name"], {})[event.data["epoch"]] = event.data["value"]
    series = [(title, found[name]) for name, title in _LOSSES if name in found]
    epochs = sorted({epoch for _, values in series for epoch in values})
    if not epochs:
        return None
    return lines(
        "Loss by epoch",
        [str(epoch) for epoch in epochs],
        [Series(title, [values.get(epoch) for epoch in epochs]) for title, values in series],
        heading="Epoch",
        text=lambda value: f"{value:.4f}",
        description="Mean cross-entropy of each epoch, on the training part and on the part that is held out.",
        from_zero=True,
    )


def _log(job: Job) -> str:
    events = selectors.job_events(job.tenant_id, job.pk, kinds=("log",))[:2000]
    return "".join(event.data.get("text", "") for event in events)
