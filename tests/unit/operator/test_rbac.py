"""The installed Roles are generated from the list of rights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from learntoask_operator.rbac import OWN, SELECTING, WATCHED, rbac_objects, rules

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_roles_are_current() -> None:
    command = [sys.executable, ROOT / "tools" / "generate_rbac.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make crds`"


def test_no_secret_and_no_finalizer_is_touched_and_nothing_is_a_wildcard() -> None:
    for rule in [*rules(WATCHED), *rules(OWN), *rules(SELECTING)]:
        named = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in named
        assert "secrets" not in named
        assert not any(name.endswith("/finalizers") for name in named)


def test_a_namespaced_install_asks_for_nothing_of_the_cluster() -> None:
    objects = rbac_objects(account=("home", "operator"), watched=("a", "b"))
    assert {one["kind"] for one in objects} == {"Role", "RoleBinding"}
    assert {one["metadata"]["namespace"] for one in objects} == {"home", "a", "b"}
    assert "namespaces" not in {
        name for one in objects for rule in one.get("rules", ()) for name in rule["resources"]
    }
    wide = rbac_objects(account=("home", "operator"), watched=())
    assert {one["kind"] for one in wide} == {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
