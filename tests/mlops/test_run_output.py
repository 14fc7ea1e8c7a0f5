"""What a job names as its output is taken from its own folder only: the supervisor may read more than the job."""

from pathlib import Path

import pytest

from millrace.kernel import storage
from mlops.worker.run import keep_file, open_output

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
