"""What a program meets on a developer's machine is what it will meet in production."""

import runpy
from pathlib import Path
from types import ModuleType

from django.test import Client

ROOT = Path(__file__).resolve().parents[2]


def test_a_wrong_address_of_the_api_is_a_problem_there_too(settings) -> None:
    settings.DEBUG = True
    urls = ModuleType("urls_of_development")
    urls.urlpatterns = runpy.run_path(str(ROOT / "platform/millrace/urls.py"))["urlpatterns"]
    settings.ROOT_URLCONF = urls

    for method in ("get", "post"):
        answer = getattr(Client(enforce_csrf_checks=True), method)("/v1/jobs//events")
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
        assert answer.json()["code"] == "not_found"
    assert Client().get("/no-such-page").headers["Content-Type"].startswith("text/html")
