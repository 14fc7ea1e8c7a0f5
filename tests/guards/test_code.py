"""Guards on the code itself: migrations, imports, settings, sizes."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import global_settings
from django.core.management import call_command, get_commands, load_command_class
from django.db.migrations.loader import MigrationLoader

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "platform/millrace/settings"
OURS = ("kernel", "api", "portal", "story", "accounts", "billing", "mlops", "channels_partners")
PRODUCT = ("platform", "accounts", "billing", "mlops", "channels_partners")
# Settings that other packages read.
OTHERS = ("ACCOUNT_", "MFA_", "HEADLESS_", "CELERY_", "SPECTACULAR_", "REST_FRAMEWORK", "SITE_ID", "WHITENOISE_",
          "PROMETHEUS_", "SOCIALACCOUNT_", "ASGI_APPLICATION", "ROOT_URLCONF")  # fmt: skip
LONGEST = 400


def sources(*folders: str) -> list[Path]:
    """Our Python files, generated migrations left out."""
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]


def test_the_migrations_say_what_the_models_say(db: None) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("label", OURS)
def test_migrations_are_linear_and_reversible(label: str) -> None:
    loader = MigrationLoader(None)
    mine = {name: migration for (app, name), migration in loader.disk_migrations.items() if app == label}

    assert len(loader.graph.leaf_nodes(label)) <= 1
    for name, migration in mine.items():
        assert len([parent for parent in migration.dependencies if parent[0] == label]) <= 1, name
        stuck = [operation for operation in migration.operations if not operation.reversible]
        assert not stuck or "cannot be reversed" in (sys.modules[migration.__module__].__doc__ or ""), (name, stuck)


@pytest.mark.parametrize(
    ("name", "app"),
    sorted((name, app) for name, app in get_commands().items() if app.split(".")[0] in {"millrace", *PRODUCT}),
)
def test_every_command_of_ours_loads(name: str, app: str) -> None:
    assert load_command_class(app, name).help


def test_every_app_of_ours_is_known_here() -> None:
    inside = {config.label for config in apps.get_app_configs() if Path(config.path).is_relative_to(ROOT)}

    assert {label for label in inside if ".venv" not in apps.get_app_config(label).path} == set(OURS)


@pytest.mark.parametrize("entrance", ["millrace.asgi", "millrace.wsgi", "millrace.celery", "millrace.urls"])
def test_the_web_imports_no_torch(entrance: str) -> None:
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'millrace.settings.test'; django.setup(); "
        f"import {entrance}; from django.urls import get_resolver; list(get_resolver().reverse_dict); "
        "print(sorted({'torch', 'sklearn', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**_environment(), "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_rooms_import_only_what_stands_below_them() -> None:
    script = Path(sys.executable).parent / "lint-imports"

    done = subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, env={
        **_environment(), "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"})  # fmt: skip

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_no_file_has_two_reasons_to_change() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count}"
        for path in sources(*PRODUCT, "tests")
        if (count := len(path.read_text().splitlines())) >= LONGEST
    ]

    assert not long, long


def test_every_setting_of_ours_is_read_somewhere() -> None:
    text = "\n".join(path.read_text() for path in sources(*PRODUCT) if SETTINGS not in path.parents)

    orphans = [name for name in sorted(_assigned()) if _is_ours(name) and not re.search(rf"\b{name}\b", text)]

    assert not orphans, orphans


def test_every_setting_that_is_read_is_set() -> None:
    known = _assigned() | {name for name in dir(global_settings) if name.isupper()}

    unset = sorted(
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(*PRODUCT)
        if SETTINGS not in path.parents and "from django.conf import settings" in path.read_text()
        for name in re.findall(r"(?<![\w.])settings\.([A-Z][A-Z_0-9]+)\b", path.read_text())
        if name not in known
    )

    assert not unset, unset


def _is_ours(name: str) -> bool:
    return not hasattr(global_settings, name) and not name.startswith(OTHERS) and name not in {"ROOT", "VAR"}


def _assigned() -> set[str]:
    """Names that the settings modules assign, or return as keys of `services`."""
    names: set[str] = set()
    for path in SETTINGS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.FunctionDef) and path.name == "services.py" and not node.name.startswith("_"):
                dicts = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                names |= {str(key.value) for each in dicts if isinstance(each, ast.Dict) for key in each.keys}
    return {name for name in names if name.isupper() and not name.startswith("_")}


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
