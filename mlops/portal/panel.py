"""What the overview shows of work: running jobs and the latest models, or the first steps where there are none."""

from django.http import HttpRequest

from millrace.portal import panels
from mlops import selectors
from mlops.portal.models import champion_figure
from mlops.states import AT_REST

_SHOWN = 5


def install() -> None:
    """Add the panels to the overview."""
    panels.add(panels.Panel("mlops.jobs", "mlops/panel_jobs.html", "jobs.read", _jobs, order=20))
    panels.add(panels.Panel("mlops.models", "mlops/panel_models.html", "models.read", _models, order=30))


def _jobs(request: HttpRequest) -> dict:
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    jobs = selectors.jobs(tenant_id)
    active = list(jobs.exclude(state__in=AT_REST).order_by("-id")[:_SHOWN])
    latest = (
        list(jobs.filter(state__in=AT_REST).order_by("-id")[: _SHOWN - len(active)]) if len(active) < _SHOWN else []
    )
    return {"jobs": active + latest, "has_data": bool(active or latest) or selectors.datasets(tenant_id).exists()}


def _models(request: HttpRequest) -> dict | None:
    models = list(selectors.models(request.caller.tenant_id).order_by("-id")[:_SHOWN])  # type: ignore[attr-defined]
    return {"models": [{"model": one, "figure": champion_figure(one)} for one in models]} if models else None
