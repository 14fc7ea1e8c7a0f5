"""Pages of the data sets."""

from typing import cast

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.portal.guard import page
from millrace.portal.views import blame, cursor_page
from mlops import selectors
from mlops.datasets import BUILTINS, CODES
from mlops.errors import DatasetInvalid
from mlops.models import DatasetVersion
from mlops.services.datasets import dataset_builtin, dataset_upload, known_formats

_SAMPLES_SHOWN = 24
_PROBLEMS_SHOWN = 20
_FORMATS = {
    "csv": "CSV: a header, one row an example, a column named label",
    "jsonl": "JSON lines: one object an example",
    "image-zip": "Zip of pictures: one folder a class",
}


class UploadForm(forms.Form):
    """A file of one's own."""

    name = forms.CharField(max_length=120, help_text="The same name again adds a version.")
    format = forms.ChoiceField(choices=lambda: [(name, _FORMATS.get(name, name)) for name in known_formats()])
    file = forms.FileField()


class BuiltinForm(forms.Form):
    """A data set that is installed here."""

    builtin = forms.ChoiceField(
        label="Data set", choices=[(entry.name, f"{entry.title} ({entry.licence})") for entry in BUILTINS.values()]
    )


@require_safe
@page("data.read")
def index(request: HttpRequest) -> HttpResponse:
    """The tenant's data sets, newest first."""
    found = cursor_page(selectors.datasets(request.caller.tenant_id), request)  # type: ignore[attr-defined]
    for dataset in found["rows"]:
        dataset.latest = _latest(dataset.versions.all())
    return render(request, "mlops/datasets.html", {"page": found})


@page("data.read", post="data.write")
def new(request: HttpRequest) -> HttpResponse:
    """Upload a file, or take a built-in data set; a refused upload shows its faults by row."""
    sent = request.POST.get("source", "") if request.method == "POST" else ""
    upload = UploadForm(request.POST if sent == "upload" else None, request.FILES if sent == "upload" else None)
    builtin = BuiltinForm(request.POST if sent == "builtin" else None)
    problem: DatasetInvalid | None = None
    form = builtin if sent == "builtin" else upload
    if sent and form.is_valid():
        try:
            version = _kept(request, form)
            return redirect("mlops_dataset", dataset_id=version.dataset.public_id)
        except DatasetInvalid as refusal:
            problem = refusal
            blame(form, refusal)
    values = {"upload": upload, "builtin": builtin, "problems": _problems(problem)}
    return render(request, "mlops/dataset_new.html", values, status=422 if problem else 200)


@require_safe
@page("data.read")
def detail(request: HttpRequest, dataset_id: str) -> HttpResponse:
    """One data set: its versions, and of one of them samples, statistics and the report."""
    tenant_id = request.caller.tenant_id  # type: ignore[attr-defined]
    dataset = selectors.dataset(tenant_id, dataset_id)
    version = selectors.dataset_version(tenant_id, dataset_id, request.GET.get("version", ""))
    values = {
        "dataset": dataset,
        "version": version,
        "versions": selectors.dataset_versions(tenant_id, dataset.pk).order_by("-number"),
        "samples": _samples(version),
        "job_url": f"{reverse('mlops_job_new')}?dataset={dataset.public_id}",
        "largest_class": max((one["rows"] for one in version.statistics["classes"]), default=0),
    }
    return render(request, "mlops/dataset.html", values)


def _kept(request: HttpRequest, form: forms.Form) -> DatasetVersion:
    caller = request.caller  # type: ignore[attr-defined]
    values = form.cleaned_data
    if isinstance(form, BuiltinForm):
        version, _ = dataset_builtin(tenant_id=caller.tenant_id, builtin=values["builtin"], actor=caller.actor)
    else:
        version, _ = dataset_upload(
            tenant_id=caller.tenant_id, name=values["name"], source=values["file"].file, format=values["format"],
            actor=caller.actor,
        )  # fmt: skip
    return version


def _problems(refusal: DatasetInvalid | None) -> dict | None:
    """The rows at fault, with what each code means."""
    if refusal is None:
        return None
    rows = cast(list[dict], refusal.extra["problems"])[:_PROBLEMS_SHOWN]
    listed = [row | {"meaning": CODES[row["code"]]} for row in rows]
    return {"count": refusal.extra["problem_count"], "rows": listed}


def _samples(version: DatasetVersion) -> list[int]:
    """Rows spread evenly over the version, where its examples are pictures."""
    if version.shape["layout"] != "images":
        return []
    count = min(_SAMPLES_SHOWN, version.rows)
    return [version.rows * index // count for index in range(count)]


def _latest(versions: object) -> DatasetVersion | None:
    return max(versions, key=lambda version: version.number, default=None)  # type: ignore[call-overload]
