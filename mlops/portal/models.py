"""Pages of the models."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.portal.guard import page
from millrace.kernel.money import Money
from millrace.portal.views import attempt, cursor_page
from mlops import selectors
from mlops.models import Model, ModelVersion
from mlops.services.registry import model_promote

_LARGEST_MATRIX = 20
_FIGURES = (
    ("accuracy", "Accuracy"), ("macro_f1", "Macro F1"), ("loss", "Loss"),
    ("expected_calibration_error", "Calibration error"),
)  # fmt: skip


@require_safe
@page("models.read")
def index(request: HttpRequest) -> HttpResponse:
    """The tenant's models, newest first."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    found = cursor_page(selectors.models(tenant_id), request)
    rows = []
    for model in found["rows"]:
        history = list(selectors.model_versions(tenant_id, model.pk).order_by("number"))
        figures = [version.metrics.get(version.primary_metric) for version in history]
        rows.append({"model": model, "history": figures, "figure": champion_figure(model)})
    return render(request, "mlops/models.html", {"page": found, "rows": rows})


@require_safe
@page("models.read")
def detail(request: HttpRequest, model_id: str) -> HttpResponse:
    """One model: its versions, and of one of them the figures, the confusions, the card; and a pad to try it."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    model = selectors.model(tenant_id, model_id)
    versions = list(selectors.model_versions(tenant_id, model.pk).order_by("-number"))
    number = request.GET.get("version", "")
    shown = selectors.model_version(tenant_id, model_id, number) if number else model.champion
    rows = [{"version": one, "figure": one.metrics.get(one.primary_metric)} for one in versions]
    values: dict[str, Any] = {"model": model, "versions": rows, "shown": shown}
    if shown is not None:
        values |= {
            "figures": [(title, shown.metrics[name]) for name, title in _FIGURES if name in shown.metrics],
            "examples": f"of {shown.metrics.get('examples', 0):,} held out",
            "matrix": _matrix(shown),
            "cost": Money(shown.cost_amount, shown.cost_currency),
            "is_champion": shown.pk == model.champion_id,
            "pad": _pad(shown) if shown.pk == model.champion_id else None,
        }
    return render(request, "mlops/model.html", values)


@require_POST
@page("models.write")
def promote(request: HttpRequest, model_id: str) -> HttpResponse:
    """Let a challenger answer from now on."""
    caller = request.caller  # type: ignore[attr-defined]
    model = selectors.model(caller.tenant_id, model_id)
    version = selectors.model_version(caller.tenant_id, model_id, request.POST.get("version", ""))
    attempt(
        request,
        lambda: model_promote(model=model, version=version, actor=caller.actor),
        done=f"Version {version.number} of {model.name} answers from now on.",
    )
    return redirect("mlops_model", model_id=model_id)


def champion_figure(model: Model) -> float | None:
    """The main figure of the version that answers."""
    champion = model.champion
    return champion.metrics.get(champion.primary_metric) if champion else None


def _matrix(version: ModelVersion) -> dict[str, Any] | None:
    """The confusion matrix with its names, where it is small enough to read."""
    counts = version.metrics.get("confusion_matrix")
    names = version.shape["class_names"]
    if not counts or len(counts) > _LARGEST_MATRIX:
        return None
    rows = [
        {"name": name, "cells": [{"count": count, "tone": _tone(i, j, count)} for j, count in enumerate(row)]}
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    return {"names": names, "rows": rows}


def _tone(actual: int, called: int, count: int) -> str:
    if actual == called:
        return "hit"
    return "miss" if count else ""


def _pad(version: ModelVersion) -> dict[str, Any] | None:
    """What the drawing pad must know, for a model of grey pictures."""
    shape = version.shape
    if shape["layout"] != "images" or len(shape["input_shape"]) != 2:
        return None
    height, width = shape["input_shape"]
    dataset = version.dataset_version
    return {
        "height": height,
        "width": width,
        "names": shape["class_names"],
        "samples": f"/v1/datasets/{dataset.dataset.public_id}/versions/{dataset.number}/samples/",
        "rows": dataset.rows,
    }
