"""deploy/: files for systemd and Kubernetes name settings, paths and times of this service."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from service.web.gate import OPEN_PATHS

ROOT = Path(__file__).parent.parent
UNIT = (ROOT / "deploy" / "systemd" / "fanlight.service").read_text(encoding="utf-8")
KUBERNETES = ROOT / "deploy" / "kubernetes" / "fanlight.yaml"
SETTINGS = {f"FANLIGHT_{name.upper()}" for name in Settings.model_fields} | {"FANLIGHT_CONFIG"}
# What a process may take beyond its drain before it is killed (docs/operations.md).
BEYOND_S = 6


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def container(resources) -> Any:
    (container,) = resources["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture(scope="module")
def configured(resources) -> Settings:
    told = tomllib.loads(resources["ConfigMap"]["data"]["fanlight.toml"])
    return Settings(_env_file=None, **told)


def test_settings_that_the_files_name_are_settings(container):
    assert set(re.findall(r"FANLIGHT_[A-Z_]+", UNIT)) <= SETTINGS
    assert {one["name"] for one in container["env"]} <= SETTINGS


def test_probes_ask_what_answers_without_a_key_and_under_any_name(container):
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert (probes, set(probes) <= OPEN_PATHS) == (["/livez", "/livez", "/readyz"], True)


def test_a_process_has_the_time_to_drain_before_it_is_killed(resources, container, configured):
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = resources["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= wait + configured.drain_s + BEYOND_S
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(stop) >= Settings(_env_file=None).drain_s + BEYOND_S


def test_what_is_written_is_mounted_and_nothing_else_can_be(container):
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"/data", "/tmp"}
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"FANLIGHT_DATA_DIR=(\S+)", dockerfile) == ["/data/engine"]


def test_one_node_stays_while_machines_are_emptied(resources):
    labels = resources["Deployment"]["spec"]["template"]["metadata"]["labels"]
    budget = resources["PodDisruptionBudget"]["spec"]
    assert (budget["minAvailable"], budget["selector"]["matchLabels"]) == (1, labels)
    assert resources["Service"]["spec"]["selector"] == labels


def test_base_images_are_pinned_to_a_release():
    froms = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(froms) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", froms[0])
