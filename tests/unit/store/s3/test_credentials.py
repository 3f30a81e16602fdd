"""Access keys: they are found where people and Kubernetes put them, and no message ever contains one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from learntoask.core.errors import InputError, StoreError
from learntoask.store.s3.credentials import find_credentials

SECRET = "s3cr3t-of-a-customer"


def _found(path: Path | None, environment: dict[str, str] | None = None) -> tuple[str, str, str | None]:
    keys = find_credentials(path, environment or {}).retrieve()
    return keys.access_key, keys.secret_key, keys.session_token


def _folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    "kind", ["AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY", "MINIO_ACCESS_KEY MINIO_SECRET_KEY"]
)
def test_keys_of_the_environment(kind: str) -> None:
    access, secret = kind.split()
    assert _found(None, {access: "me", secret: SECRET}) == ("me", SECRET, None)
    assert find_credentials(None, {access: "me", secret: SECRET}).source == f"{access} in the environment"


def test_keys_of_a_mounted_secret_come_before_the_environment(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "secret", accessKey="me\n", secretKey=SECRET + "\n", sessionToken="t")
    other = {"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "x"}
    assert _found(folder, other) == ("me", SECRET, "t")


def test_a_rotated_secret_is_followed_and_never_mixed(tmp_path: Path) -> None:
    """Mount a Secret like the kubelet: its files are links into ..data, which is replaced as a whole."""
    mounted = tmp_path / "secret"
    _folder(mounted / "..1", accessKey="old", secretKey="old-secret")
    _folder(mounted / "..2", accessKey="new", secretKey="new-secret")
    (mounted / "..data").symlink_to("..1")
    for name in ("accessKey", "secretKey"):
        (mounted / name).symlink_to(f"..data/{name}")
    found = find_credentials(mounted, {})
    assert found.retrieve().secret_key == "old-secret"
    (mounted / "..swap").symlink_to("..2")
    (mounted / "..swap").replace(mounted / "..data")
    assert (found.retrieve().access_key, found.retrieve().secret_key) == ("new", "new-secret")


def test_keys_of_a_json_and_of_an_aws_file(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"accessKey": "me", "secretKey": SECRET, "api": "s3v4"}))
    assert _found(tmp_path / "keys.json") == ("me", SECRET, None)
    (tmp_path / "aws").write_text(
        f"[default]\naws_access_key_id = me\naws_secret_access_key = {SECRET}\n"
        "[team]\naws_access_key_id = us\naws_secret_access_key = %ours\n"
    )
    assert _found(tmp_path / "aws") == ("me", SECRET, None)
    assert _found(tmp_path / "aws", {"AWS_PROFILE": "team"}) == ("us", "%ours", None)
    assert _found(None, {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws")}) == ("me", SECRET, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"accessKey": "me", "secretKey": ' + SECRET, "not valid JSON"),
        ('{"secretKey": "' + SECRET + '"}', "missing or empty"),
        (f"aws_secret_access_key = {SECRET}", "neither JSON nor"),
        (f"[other]\naws_secret_access_key = {SECRET}", r"no profile \[default\]"),
        (f"[default]\naws_secret_access_key = {SECRET}", "missing or empty"),
    ],
)
def test_a_wrong_file_is_named_and_not_repeated(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        find_credentials(tmp_path / "keys", {})
    assert SECRET not in str(caught.value)
    assert str(tmp_path / "keys") in str(caught.value)


def test_none_at_all_says_where_to_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="AWS_ACCESS_KEY_ID"):
        find_credentials(None, {"AWS_ACCESS_KEY_ID": "half"})


def test_keys_that_go_away_under_a_run_are_a_fault_of_the_store(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "secret", accessKey="me", secretKey=SECRET)
    found = find_credentials(folder, {})
    (folder / "secretKey").unlink()
    with pytest.raises(StoreError, match="no files accessKey and secretKey"):
        found.retrieve()
