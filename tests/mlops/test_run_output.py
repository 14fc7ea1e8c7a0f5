"""What a run leaves: files from its own folder only, for the supervisor may read more than the job; and its story."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from accounts.models import Tenant
from millrace.kernel import storage
from millrace.kernel.tenancy import tenant_scope
from mlops.models import JobEvent
from mlops.runtime.spec import Event
from mlops.worker import run
from mlops.worker.discovery import find_processor
from mlops.worker.run import keep_file, open_output
from tests.mlops import cast

pytestmark = pytest.mark.usefixtures("own_store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder with an output; a secret lies beside it."""
    (tmp_path / "secret").write_text("another's")
    (tmp_path / "job/out").mkdir(parents=True)
    (tmp_path / "job/out/weights").write_bytes(b"w" * 3_000_000)
    return tmp_path / "job"


@pytest.mark.parametrize("named", ["out/weights", "{folder}/out/weights", "out/../out/weights"])
def test_an_output_is_stored_under_its_hash(folder: Path, named: str) -> None:
    kept = keep_file(folder, named.format(folder=folder), ".bin")

    assert kept.storage_key == storage.content_key(b"w" * 3_000_000, ".bin")
    assert kept.size == 3_000_000
    with storage.open_blob(kept.storage_key) as blob:
        assert blob.read() == b"w" * 3_000_000


@pytest.mark.parametrize("named", ["../secret", "{folder}/../secret", "link", "linked/secret"])
def test_a_file_elsewhere_is_refused(folder: Path, named: str) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "linked").symlink_to(folder.parent)

    with pytest.raises(ValueError, match="does not lie"):
        keep_file(folder, named.format(folder=folder), ".bin")
    assert not (storage.root() / "sha256").exists()


def test_a_link_put_in_its_place_afterwards_changes_nothing(folder: Path) -> None:
    with open_output(folder, "out/weights") as file:
        (folder / "out/weights").unlink()
        (folder / "out/weights").symlink_to(folder.parent / "secret")
        assert file.read(3) == b"www"


def test_a_long_run_tells_its_progress_ever_more_rarely(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.submit(tenant)
    job = cast.claim(cast.session())
    assert job is not None
    now = 1_000.0
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(run, "_PROGRESS_LINES", 4)
    held = run.JobRun(job=job, device=find_processor(0, 1), folder=tmp_path, stop=threading.Event())
    with tenant_scope(tenant.pk):
        for step in range(40):
            now += 1
            held._on_event(Event("progress", {"step": step}, 0))
            held._write_lines()
        held._write_lines(last=True)

        told = list(JobEvent.objects.filter(kind="progress").order_by("sequence").values_list("data__step", flat=True))
    assert told[:4] == [0, 1, 2, 3]
    assert told[-1] == 39
    assert len(told) < 20
