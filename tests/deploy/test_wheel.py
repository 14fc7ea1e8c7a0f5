"""The wheel carries what the rooms need to run: recipes, templates and static files, and nothing of the tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"millrace": ROOT / "platform", **dict.fromkeys(("accounts", "billing", "channels_partners", "mlops"), ROOT)}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the wheel's files, its own metadata left out."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_every_file_of_the_rooms_is_in_the_wheel_and_no_other(packed: set[str]) -> None:
    files = {
        str(path.relative_to(above))
        for name, above in PACKAGES.items()
        for path in (above / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files - packed == set()
    assert packed - files == set()


def test_recipes_templates_and_static_files_are_in_the_wheel(packed: set[str]) -> None:
    assert {"mlops/recipes/image_cnn/recipe.json", "mlops/recipes/image_cnn/card.md"} <= packed
    assert {"millrace/portal/static/portal/tokens.css", "millrace/portal/templates/portal/base.html"} <= packed
    for room in ("accounts", "billing", "channels_partners", "mlops"):
        assert any(name.startswith(f"{room}/templates/") for name in packed), room
