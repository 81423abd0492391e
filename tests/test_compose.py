"""The compose file keeps its promises: pinned images, health checks, secrets by file, no rights that are not needed."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
STACK = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = STACK["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_probed_and_without_privileges(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+", service["image"])
    assert re.search("readyz|/-/ready|/api/health", " ".join(service["healthcheck"]["test"]))
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert set(service["secrets"]) <= STACK["secrets"].keys()
    for place in (volume.partition(":")[0] for volume in service["volumes"]):
        assert (ROOT / place).exists() if place.startswith("./") else place in STACK["volumes"]


def test_no_secret_is_written_down():
    assert all(set(secret) == {"file"} for secret in STACK["secrets"].values())
    assert "secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for name, value in SERVICES["api"]["environment"].items():
        if re.search("KEY|TOKEN|PASSWORD", name):
            assert "/run/secrets/" in value, name


def test_only_this_machine_reaches_the_published_ports():
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", ()))


def test_the_image_runs_as_a_user_without_rights_and_copies_what_exists():
    dockerfile = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["groundwire"]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split()), sources


def test_the_settings_of_the_service_are_settings(tmp_path):
    """Each `RAG__` variable is one that `load_settings` takes; the files are put where they can be read."""
    settings = pytest.importorskip("rag.settings", reason="there are no settings yet")
    key = tmp_path / "qdrant_api_key"
    key.write_text("secret")
    environ = {
        name: value.replace("/run/secrets/qdrant_api_key", str(key))
        for name, value in SERVICES["api"]["environment"].items()
    }
    loaded = settings.load_settings(file=None, environ=environ)
    assert loaded.server.host == "0.0.0.0"
    assert loaded.index.api_key.reveal() == "secret"
