"""Dashboard, alerts and scrape targets name things that exist."""

import json
import re

import pytest
import yaml
from composition import load
from dockerfiles import ROOT
from prometheus_client import Counter, Gauge, Histogram

from retrieval_gateway.metrics import Metrics
from retrieval_gateway.settings import GatewaySettings

SERVICES = load()["services"]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/vitrine.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((ROOT / "docker/alerts.yml").read_text(encoding="utf-8"))
SCRAPES = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
# From Triton's documentation ("Metrics"): on a CPU the server shows none of the GPU's, so the services test
# (test_docker_triton.py) can hold only the others against a real server.
GPU_METRICS = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}


def expressions():
    rules = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return rules + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def used(prefix):
    return {name for text in expressions() for name in re.findall(rf"\b{prefix}\w+", text)}


def our_samples():
    """Name of each sample that the gateway can expose, and its labels."""
    suffixes = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}
    metrics = [part for part in vars(Metrics()).values() if type(part) in suffixes]
    return {
        f"{metric._name}{suffix}": set(metric._labelnames) | ({"le"} if suffix == "_bucket" else set())
        for metric in metrics
        for suffix in suffixes[type(metric)]
    }


def test_our_metrics_exist():
    assert used("vitrine_")
    assert used("vitrine_") <= our_samples().keys()


def test_tritons_metrics_are_of_the_checked_set():
    assert used("nv_") >= GPU_METRICS


def test_labels_exist():
    samples = our_samples()
    for text in expressions():
        for name, matchers in re.findall(r"\b(vitrine_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)[=!]~?", matchers)) <= samples[name], text
        names = re.findall(r"\bvitrine_\w+", text)
        for grouping in re.findall(r"\bby \(([^)]*)\)", text):
            labels = set(grouping.replace(" ", "").split(","))
            assert all(labels <= samples[name] for name in names), text


@pytest.mark.parametrize("text", expressions())
def test_expressions_are_balanced_and_rates_are_of_counters(text):
    for left, right in ("()", "[]", "{}"):
        assert text.count(left) == text.count(right)
    for name in re.findall(r"\b(?:rate|increase)\((vitrine_\w+)", text):
        assert name.endswith(("_total", "_bucket", "_count", "_sum")), name


def test_panels_have_places_of_their_own_and_our_data_source():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    provisioned = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    )
    (source,) = provisioned["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    host, port = source["url"].removeprefix("http://").split(":")
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    assert set(SERVICES[host]["networks"]) & set(SERVICES["grafana"]["networks"])


def test_targets_are_services_of_compose_at_the_ports_they_listen_on():
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in SCRAPES}
    assert targets == {
        "gateway": [f"gateway:{GatewaySettings.model_fields['metrics_port'].default}"],
        "triton": ["triton:8002"],
    }
    for name in ("gateway", "triton-cpu", "triton-gpu"):
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])
    jobs = {job for text in expressions() for job in re.findall(r'job="(\w+)"', text)}
    assert jobs <= targets.keys()


def test_files_are_mounted_where_they_are_looked_for():
    inside = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    rules = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
    assert set(rules) <= set(inside)
    provider = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/dashboards/vitrine.yml").read_text(encoding="utf-8")
    )
    folder = provider["providers"][0]["options"]["path"]
    assert folder in [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "docker/grafana/dashboards" / home.removeprefix(f"{folder}/")).is_file()
