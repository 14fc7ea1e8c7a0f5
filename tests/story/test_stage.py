"""One performance at a time, and none under the feet of `make dev`: a performance empties what the other works on."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from millrace.embedded.processes import free_port
from millrace.story.people import StoryError
from millrace.story.stage import held, raised


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.VAR = tmp_path
    monkeypatch.setenv("MILLRACE_SERVICES", "demo")


def test_nothing_is_emptied_where_somebody_is_at_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("millrace.story.stage._empty", lambda: pytest.fail("emptied"))

    with held(shared=True), held(shared=True), pytest.raises(StoryError, match="'demo': let it end first"):
        with raised(tmp_path / "demo"):
            pytest.fail("raised")


def test_dev_does_not_start_on_a_performances_services() -> None:
    with held(), pytest.raises(CommandError, match="let it end first"):
        call_command("dev", port=free_port())


def test_other_services_are_another_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with held():
        monkeypatch.setenv("MILLRACE_SERVICES", "chaos")
        with held():
            pass
