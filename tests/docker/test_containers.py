"""The files of docker/: one version of everything, clusters that ask for a token, workers that need no disk."""

import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from experiments.cli.main import cli
from tests.helpers.project import ROOT

DOCKER = ROOT / "docker"
KUBERNETES = DOCKER / "kubernetes"


def manifest(name: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return made


def locked(path: Path) -> dict[str, str]:
    """Versions of a lock file."""
    return dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.+]+)", path.read_text(), re.MULTILINE))


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    tested, image = locked(ROOT / "requirements.lock"), locked(DOCKER / "requirements.lock")
    assert not {name for name in image.keys() & tested.keys() if image[name] != tested[name]}
    assert {"aiohttp", "py-spy"} <= image.keys()  # what ray[default] adds
    assert not {"mypy", "pytest", "torch"} & image.keys()
    assert f"VERSION={version('sandwich')}\n" in (DOCKER / "Dockerfile").read_text()


@pytest.mark.parametrize(("name", "path"), [("raycluster.yaml", ()), ("rayjob.yaml", ("rayClusterSpec",))])
def test_a_cluster_of_kuberay_asks_for_a_token_and_only_its_head_has_a_disk(name: str, path: tuple[str, ...]) -> None:
    spec = manifest(name)["spec"]
    for key in path:
        spec = spec[key]
    assert spec == manifest("raycluster.yaml")["spec"]
    assert spec["rayVersion"] == locked(DOCKER / "requirements.lock")["ray"]
    assert spec["authOptions"] == {"mode": "token"}
    (volume,) = spec["headGroupSpec"]["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == manifest("runs.yaml")["metadata"]["name"]
    (workers,) = spec["workerGroupSpecs"]
    assert "volumes" not in workers["template"]["spec"]


def test_the_job_of_kuberay_is_a_command_of_ours() -> None:
    program, *words = shlex.split(manifest("rayjob.yaml")["spec"]["entrypoint"])
    assert program == "sandwich"
    done = CliRunner().invoke(cli, [*words[:-1], "runs/none", "--dry-run"])
    assert done.exit_code == 0, done.output


def test_the_containers_of_compose_ask_for_a_token_and_only_who_needs_a_disk_has_one() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in ("head", "worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
    assert {name for name, service in services.items() if "volumes" in service} == {"head", "viewer"}
    assert services["viewer"]["ports"] == ["127.0.0.1:8765:8765"]
