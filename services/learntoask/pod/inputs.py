"""The domain pack and the external files of a run: fetched into the pod, and compared with the planned digests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.documents.text_file import read_document
from learntoask.core.errors import InputError
from learntoask.core.pack import Pack, parse_pack
from learntoask.core.prompt import check_prompts
from learntoask.core.stages.graph import pack_digests
from learntoask.core.status.run import RunInputsRecord
from learntoask.pod.environment import PodEnvironment
from learntoask.runner.inputs import external_files, fetch_input, path_digest


@dataclass(frozen=True, kw_only=True)
class PodInputs:
    """`files` maps each role to (path, digest)."""

    pack: Pack
    files: dict[str, tuple[Path, str]]

    @property
    def record(self) -> RunInputsRecord:
        """What `resolve` reports: all digests that stage keys are computed from and that the manifest does not hold."""
        files = {role: digest for role, (_, digest) in self.files.items()}
        return RunInputsRecord(pack={**pack_digests(self.pack)}, files=files)


def fetch_inputs(pod: PodEnvironment, *, roles: Collection[str] | None) -> PodInputs:
    """Fetch the pack and the files of `roles` (None: all files of the manifest).

    Raises InputError naming the field of an input that is missing or differs from its planned digest, and StoreError
    for one that cannot be fetched.
    """
    spec = pod.run.spec
    pack_path, _ = _fetch(pod, spec.pack.uri, "spec.pack.uri")
    pack = parse_pack(read_document(pack_path, what="spec.pack.uri:"), where=spec.pack.uri)
    check_prompts(pack, assess=spec.train.assesses)
    planned = pod.order.pack
    if planned is not None and pack_digests(pack)["whole"] != planned:
        raise _changed_input("spec.pack.uri", spec.pack.uri)
    files = {}
    for role, (uri, field) in external_files(spec).items():
        if roles is not None and role not in roles:
            continue
        path, digest = _fetch(pod, uri, field)
        if pod.order.files.get(role, digest) != digest:
            raise _changed_input(field, uri)
        files[role] = (path, digest)
    return PodInputs(pack=pack, files=files)


def _fetch(pod: PodEnvironment, uri: str, field: str) -> tuple[Path, str]:
    """Path and digest of what `uri` names."""
    if ":" not in uri and not uri.startswith("/"):
        raise InputError(
            f"{field}: {uri!r} is a path on another machine; `lta apply` uploads it, or give s3://bucket/key, "
            "pvc:claim/path or (a pack) configMap:name/key"
        )
    found = fetch_input(uri, field=field, folder=Path("/"), store=pod.store, home=pod.home)
    return found.path, found.digest or path_digest(found.path)


def _changed_input(field: str, uri: str) -> InputError:
    return InputError(
        f"{field}: the content of {uri} changed during the run; apply the run under another name, or rerun it from its "
        "first stage",
        reason="InputChanged",
    )
