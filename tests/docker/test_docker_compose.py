"""compose.yaml without compose: names, references, profiles, bounds, and what it lets in and out."""

import re

import pytest
from composition import PROFILES, active, interpolate, load, mounts, raw
from dockerfiles import DOCKERFILES, ROOT, SETTINGS, arguments, of, parse, versions
from typer.main import get_command

from retrieval_gateway.settings import GatewaySettings
from vitrine.main import app

COMPOSE = load()
SERVICES = COMPOSE["services"]
ONE_SHOTS = {"index-cpu", "index-gpu", "export"}
LASTING = sorted(SERVICES.keys() - ONE_SHOTS)
KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck",
    "image", "init", "network_mode", "networks", "pids_limit", "ports", "profiles", "read_only", "restart",
    "security_opt", "shm_size", "stop_grace_period", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip
"""Keys of a service in the Compose Specification that this file uses: a misspelt one is not among them."""
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
MEMORY = {"m": 2**20, "g": 2**30}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_lasting = pytest.mark.parametrize("name", LASTING)


def size(text):
    return int(text[:-1]) * MEMORY[text[-1]]


def test_only_known_keys():
    assert COMPOSE.keys() == {"name", "services", "networks", "volumes"}
    assert {key for service in SERVICES.values() for key in service} <= KEYS


def test_forgotten_pins_are_an_error_that_names_the_file():
    with pytest.raises(KeyError, match=r"set COMPOSE_ENV_FILES=docker/versions\.env"):
        interpolate(raw(), {})


def test_every_required_variable_is_a_pin_and_every_other_has_a_default():
    required = set(re.findall(r"\$\{(\w+):\?", raw()))
    free = set(re.findall(r"\$\{(\w+)[:}](?!\?)", raw()))
    assert required <= versions().keys()
    assert not free & versions().keys()
    assert free == {
        "CATALOG", "CHECKPOINTS", "CONSOLE_PORT", "GATEWAY_PORT", "GRAFANA_PORT", "MODELS", "PROMETHEUS_PORT",
        "RELEASES", "RUN_AS",
    }  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_brings_up_the_whole_system(profile):
    everywhere = {"redis", "gateway", "console", "prometheus", "grafana"}
    assert active(SERVICES, profile).keys() == everywhere | {f"triton-{profile}"}


def test_no_profile_starts_nothing():
    assert not active(SERVICES)


@each_service
def test_dependencies_are_there_when_the_service_is(name):
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        checked = SERVICES[other].get("healthcheck") or "build" in SERVICES[other]
        assert how["condition"] != "service_healthy" or checked, f"{other} has no health check"
        if not how.get("required", True) or name in ONE_SHOTS:
            continue
        for profile in service["profiles"]:
            assert other in active(SERVICES, profile)


def test_the_gateway_waits_for_whichever_triton_is_there():
    waits = dict(SERVICES["gateway"]["depends_on"])
    optional = {"condition": "service_healthy", "required": False}
    assert waits.pop("redis") == {"condition": "service_healthy"}
    assert waits == {"triton-cpu": optional, "triton-gpu": optional}
    for profile in PROFILES:
        assert SERVICES[f"triton-{profile}"]["networks"]["inside"]["aliases"] == ["triton"]
    assert SERVICES["gateway"]["environment"]["VITRINE_TRITON_URL"] == "triton:8001"


@each_service
def test_networks_and_volumes_are_declared(name):
    service = SERVICES[name]
    assert set(service.get("networks", ())) <= COMPOSE["networks"].keys()
    assert bool(service.get("networks")) != ("network_mode" in service)
    mode = service.get("network_mode", "")
    if mode.startswith("service:"):
        assert mode.removeprefix("service:") in service["depends_on"]
    for source, _, read_only in mounts(service):
        if not source.startswith("."):
            assert source in COMPOSE["volumes"]
        elif source.startswith("./docker"):
            assert (ROOT / source).exists()
            assert read_only


@each_lasting
def test_readers_cannot_write(name):
    for _, target, read_only in mounts(SERVICES[name]):
        assert read_only or target in ("/prometheus", "/var/lib/grafana")


def test_one_shots_write_where_the_readers_read():
    def source_of(name, target):
        return next(source for source, there, _ in mounts(SERVICES[name]) if there == target)

    for name in ("index-cpu", "index-gpu"):
        assert source_of(name, "/releases") == source_of("gateway", "/releases")
        assert source_of(name, "/models") == source_of("triton-cpu", "/models")
    assert source_of("export", "/models") == source_of("triton-gpu", "/models")
    for name in ONE_SHOTS:
        assert SERVICES[name]["restart"] == "no"


@each_service
def test_ports_are_published_on_loopback_only_and_triton_not_at_all(name):
    ports = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    if name.startswith("triton") or name == "redis":
        assert ports == []
        assert set(SERVICES[name]["networks"]) == {"inside"}
    if ports:
        assert "edge" in SERVICES[name]["networks"], "an internal network publishes nothing"
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_published_ports_are_all_different():
    published = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(set(published)) == len(published) == 4


@each_service
def test_least_privilege(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each_lasting
def test_bounds_restart_and_health(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert size(service["deploy"]["resources"]["limits"]["memory"]) > 0
    if name == "console":  # its image has no shell to check with
        return
    if "build" in service:
        health = of(parse(ROOT / service["build"]["dockerfile"]), "HEALTHCHECK")
        assert health
        assert health[0].text != "NONE"
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@each_service
def test_builds_name_our_files_and_their_arguments(name):
    build = SERVICES[name].get("build")
    if build is None:
        return
    path = ROOT / build["dockerfile"]
    assert path in DOCKERFILES
    assert (ROOT / build["context"]).resolve() == ROOT
    known = arguments(parse(path))
    assert build["args"].keys() <= known.keys()
    assert {argument for argument in known if argument in versions()} == build["args"].keys()


def test_what_is_given_to_an_image_matches_what_the_image_reads():
    used = {
        variable: value
        for service in SERVICES.values()
        for variable, value in service.get("environment", {}).items()
        if variable.startswith("VITRINE_")
    }
    assert used.keys() <= SETTINGS
    values = {name.removeprefix("VITRINE_").lower(): value for name, value in used.items()}
    assert GatewaySettings.model_validate(values).redis_url == "redis://redis:6379/0"


def test_the_cache_is_bounded_below_its_container():
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "allkeys-lfu"
    assert (options["--save"], options["--appendonly"]) == ("", "no")
    limit = size(SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"])
    assert size(options["--maxmemory"].removesuffix("b")) < limit


@pytest.mark.parametrize("profile", PROFILES)
def test_triton_has_shared_memory_for_its_tensors(profile):
    default = 64 * 2**20
    assert size(SERVICES[f"triton-{profile}"]["shm_size"].removesuffix("b")) > default


@pytest.mark.parametrize("name", ["triton-gpu", "export"])
def test_gpus_are_reserved(name):
    (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.mark.parametrize("name", ["index-cpu", "index-gpu"])
def test_the_indexer_runs_a_command_that_exists(name):
    service = SERVICES[name]
    program, command = service["entrypoint"]
    assert program == "vitrine"
    known = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}
    assert {word for word in service["command"] if word.startswith("--")} <= known


def test_containers_stop_after_the_gateway_drained():
    seconds = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert seconds > 2 * GatewaySettings.model_fields["drain_s"].default
