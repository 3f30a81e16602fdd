"""Settings of the operator, parsed once at its start from flags and LTA_OPERATOR_… variables."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.manifest import seconds
from learntoask.core.network.address import split_host_port

PREFIX = "LTA_OPERATOR_"


def _setting(default: str | int | float | bool, text: str):  # type: ignore[no-untyped-def]
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The field `lease_time` is the flag --lease-time and the variable LTA_OPERATOR_LEASE_TIME. Durations are written
    as in manifests (`15s`)."""

    image: str = _setting(
        "learntoask/services:latest", "image of pods that need no PyTorch, and of the gateway"
    )
    trainer_image: str = _setting("learntoask/trainer:latest", "image of pods that train or grade")
    server_image: str = _setting("learntoask/policy-server:latest", "image of policy servers")
    judge_image: str = _setting("vllm/vllm-openai:latest", "image of a judge's model server")
    image_pull_policy: str = _setting("IfNotPresent", "when images are fetched")
    store_uri: str = _setting("", "store of runs whose manifest names none: s3://bucket/prefix")
    store_endpoint: str = _setting("", "S3 service of that store, such as https://minio:9000")
    store_region: str = _setting("", "region of that store")
    store_credentials: str = _setting("", "Secret with accessKey and secretKey, in the namespace of each run")
    store_ca: str = _setting("", "ConfigMap with the key ca.crt, in the namespace of each run")
    namespaces: str = _setting("", "namespaces to watch, separated by commas; empty: all")
    namespace_selector: str = _setting(
        "",
        "label selector of the namespaces to serve, such as learntoask.io/runs=enabled; empty: all that are watched",
    )
    service_account: str = _setting(
        "", "service account of the pods of runs and endpoints; empty: the namespace's default"
    )
    pod_user: int = _setting(
        65532, "user and group of these pods; the images run as any user; 0: the cluster chooses"
    )
    progress_address: str = _setting(
        "",
        "host:port at which pods tell their progress, and gateways which servers they see; empty: they tell nothing",
    )
    progress_port: int = _setting(50055, "port for progress of pods; 0 takes a free one")
    progress_certificate: str = _setting(
        "", "file of the certificate that pods are shown at that port; empty: it speaks plain text"
    )
    progress_key: str = _setting("", "file of that certificate's key")
    progress_ca: str = _setting(
        "", "ConfigMap with the authority of that certificate under ca.crt, in the namespace of each pod"
    )
    health_port: int = _setting(8080, "port of /healthz and /readyz; 0 takes a free one")
    metrics_port: int = _setting(9090, "port of /metrics; 0 takes a free one")
    metrics_token_file: str = _setting(
        "", "file with the bearer token that scrapes of /metrics must carry; empty: they need none"
    )
    metrics_token_secret: str = _setting(
        "",
        "Secret with the key token, in the namespace of each pod: the same for gateways, servers and graders",
    )
    tracing_endpoint: str = _setting(
        "", "OTLP receiver of the pods' traces, such as http://collector:4317; empty: no traces"
    )
    tracing_protocol: str = _setting("grpc", "protocol of that receiver: grpc or http/protobuf")
    tracing_ratio: float = _setting(1.0, "share of the calls that are traced, unless the caller decides")
    tracing_headers_secret: str = _setting(
        "", "Secret with the key headers (name=value, …) for that receiver, in the namespace of each pod"
    )
    listen: str = _setting("0.0.0.0", "address that the ports of health, metrics and progress listen on")
    lease_name: str = _setting("learntoask-operator", "name of the Lease for leader election")
    lease_namespace: str = _setting("", "namespace of the Lease; empty: the operator's own")
    lease_time: str = _setting("15s", "time after the last renewal until a standby takes over")
    lease_renewal: str = _setting("5s", "time between two renewals of the Lease")
    grace: str = _setting("20s", "time for a clean end; keep it below the pod's grace period")
    concurrency: int = _setting(16, "objects reconciled at once")
    kubeconfig: str = _setting(
        "", "path of a kubeconfig; empty: KUBECONFIG, or the service account of this pod"
    )
    pod_name: str = _setting("", "name of this pod, which gets the leader label; empty: no pod gets it")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")

    @property
    def watched(self) -> tuple[str | None, ...]:
        """Namespaces to watch; None is the whole cluster."""
        return tuple(name.strip() for name in self.namespaces.split(",") if name.strip()) or (None,)

    @property
    def kubeconfig_path(self) -> Path | None:
        return Path(self.kubeconfig) if self.kubeconfig else None


FETCHED = ("s3://", "pvc:")
"""Beginnings of addresses that pods can read from and write to."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_TERM = rf"(!?{_LABEL}|{_LABEL}\s*(=|==|!=)\s*{_VALUE}|{_LABEL}\s+(in|notin)\s+\(\s*{_VALUE}(\s*,\s*{_VALUE})*\s*\))"
_SELECTOR = re.compile(rf"\s*{_TERM}(\s*,\s*{_TERM})*\s*")
_DURATIONS = ("lease_time", "lease_renewal", "grace")
_PORTS = ("progress_port", "health_port", "metrics_port")
_NAMES = (
    "lease_name",
    "lease_namespace",
    "service_account",
    "store_credentials",
    "store_ca",
    "pod_name",
    "progress_ca",
    "tracing_headers_secret",
)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_PROTOCOLS = ("grpc", "http/protobuf")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def fault_of(settings: Settings) -> tuple[str, str] | None:
    """The first setting that makes no sense, and what to do; None if all do."""
    given = asdict(settings)
    if fault := next(((name, why) for name in _DURATIONS if (why := _fault_of_duration(given[name]))), None):
        return fault
    if settings.progress_address and (why := _fault_of_address(settings.progress_address)):
        return "progress_address", why
    uri, endpoint = settings.store_uri, settings.store_endpoint
    receiver = settings.tracing_endpoint
    checks: list[tuple[str, object, str]] = [
        (
            "lease_renewal",
            seconds(settings.lease_renewal) * 2 <= seconds(settings.lease_time),
            "must be at most half of --lease-time, or one lost renewal loses the Lease",
        ),
        *((name, 0 <= given[name] <= 65535, "give a port from 0 to 65535") for name in _PORTS),
        *(
            (name, not given[name] or _NAME.fullmatch(given[name]), "give a name of an object")
            for name in _NAMES
        ),
        *(
            (
                "namespaces",
                name is None or _NAME.fullmatch(name),
                "give names of namespaces, and commas between",
            )
            for name in settings.watched
        ),
        (
            "namespace_selector",
            not settings.namespace_selector or _SELECTOR.fullmatch(settings.namespace_selector),
            "give a label selector, such as team=care,stage in (test, live)",
        ),
        (
            "namespace_selector",
            not (settings.namespace_selector and settings.namespaces),
            "give --namespaces or --namespace-selector, not both",
        ),
        ("concurrency", settings.concurrency > 0, "give at least 1"),
        ("pod_user", settings.pod_user >= 0, "give the number of a user, or 0"),
        ("log_level", settings.log_level in _LEVELS, f"give {', '.join(_LEVELS)}"),
        (
            "image_pull_policy",
            settings.image_pull_policy in _PULL_POLICIES,
            f"give {', '.join(_PULL_POLICIES)}",
        ),
        (
            "store_uri",
            not uri or uri.startswith(FETCHED),
            f"pods reach stores that begin with {', '.join(FETCHED)}",
        ),
        (
            "store_endpoint",
            not endpoint or endpoint.startswith(("https://", "http://")),
            "begin with https://",
        ),
        (
            "tracing_endpoint",
            not receiver or re.fullmatch(r"https?://[^\s/]+:\d{1,5}(/\S*)?", receiver),
            "give http://host:port or https://host:port",
        ),
        ("tracing_protocol", settings.tracing_protocol in _PROTOCOLS, f"give {' or '.join(_PROTOCOLS)}"),
        ("tracing_ratio", 0 <= settings.tracing_ratio <= 1, "give a share from 0 to 1"),
        (
            "progress_ca",
            len({bool(given[name]) for name in ("progress_certificate", "progress_key", "progress_ca")}) == 1,
            "belongs to --progress-certificate and --progress-key: give all three or none",
        ),
    ]
    return next(((name, f"{why} (got {given[name]!r})") for name, fine, why in checks if not fine), None)


def _fault_of_duration(text: str) -> str | None:
    try:
        return None if seconds(text) > 0 else "give at least 1s"
    except ValueError as error:
        return str(error)


def _fault_of_address(address: str) -> str | None:
    try:
        split_host_port(address)
    except InputError as error:
        return str(error)
    return None


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Parse flags and variables; a flag wins over its variable. Raises InputError naming the one that is wrong."""
    parser = argparse.ArgumentParser(prog="learntoask_operator", description="Operator of Learn-to-Ask runs.")
    for setting in fields(Settings):
        flag, variable = "--" + setting.name.replace("_", "-"), PREFIX + setting.name.upper()
        kind: type = type(setting.default)
        given = environment.get(variable)
        try:
            default = setting.default if given is None else kind(given)
        except ValueError as error:
            raise InputError(f"{variable}: {given!r} is not a number") from error
        text = f"{setting.metadata['help']} [{variable}]".replace("%", "%%")
        parser.add_argument(flag, type=kind, default=default, help=text)
    settings = Settings(**vars(parser.parse_args(arguments)))
    if fault := fault_of(settings):
        raise InputError(f"--{fault[0].replace('_', '-')}: {fault[1]}")
    return settings
