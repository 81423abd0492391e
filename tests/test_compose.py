"""The compose file keeps its promises: pinned images, health checks, secrets by file, no rights that are not needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rag.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
STACK = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = STACK["services"]
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
OURS = ("api", "worker")
PROBES = "readyz|/-/ready|/api/health|pg_isready|valkey-cli|ollama"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_probed_and_without_privileges(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"])
    probe = "disable" if name == "worker" else PROBES
    assert re.search(probe, " ".join(service["healthcheck"].get("test", service["healthcheck"])))
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert set(service.get("secrets", ())) <= STACK["secrets"].keys()
    for place in (volume.partition(":")[0] for volume in service["volumes"]):
        assert (ROOT / place).exists() if place.startswith("./") else place in STACK["volumes"]


def test_no_secret_is_written_down():
    assert all(set(secret) == {"file"} for secret in STACK["secrets"].values())
    assert "secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEYS?(_FILE)?$|TOKEN|PASSWORD|RECORDS__URL", name):
                assert "/run/secrets/" in value, name


def test_only_this_machine_reaches_the_published_ports():
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", ()))


def test_the_image_runs_as_a_user_without_rights_and_copies_what_exists():
    dockerfile = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split()), sources


@pytest.mark.parametrize("service", OURS)
def test_the_settings_of_a_service_are_settings(service, tmp_path):
    """Each `RAG__` variable is one that `load_settings` takes; the files are put where they can be read."""
    for name in STACK["secrets"]:
        (tmp_path / name).write_text("secret")
    given = SERVICES[service]["environment"]
    environ = {name: value.replace("/run/secrets", str(tmp_path)) for name, value in given.items()}
    loaded = load_settings(file=None, environ=environ)
    assert (loaded.server.host == "0.0.0.0") == (service == "api")
    assert loaded.index.api_key.reveal() == "secret"
    assert loaded.queue.upload_slots > 0


@pytest.mark.parametrize("service", OURS)
def test_a_service_may_read_the_secrets_that_its_settings_name(service):
    named = set(re.findall(r"/run/secrets/(\w+)", " ".join(SERVICES[service]["environment"].values())))
    assert named == set(SERVICES[service]["secrets"])


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_compose_understands_the_file(tmp_path):
    """Version 1, which distributions have, knows no top-level name."""
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in STACK.items() if key != "name"}))
    command = ["docker-compose", "--project-directory", str(ROOT), "--file", str(file), "config", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not HADOLINT, reason="hadolint is not installed")
def test_the_image_is_built_as_hadolint_would_have_it():
    assert HADOLINT is not None
    run = subprocess.run([HADOLINT, ROOT / ".ci" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
