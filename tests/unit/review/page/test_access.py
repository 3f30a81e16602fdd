"""Links, keys and forms: what is accepted and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.errors import InputError
from learntoask.review.page.access import (
    LinkRefused,
    Person,
    Role,
    TrustedProxy,
    form_token,
    form_token_holds,
    person_of,
    read_key,
    sign,
)
from pydantic import ValidationError

KEY = b"k" * 32
ANN = Person(name="ann", role=Role.REVIEWER, queue="clinic", expires=1000.0)


def test_a_link_admits_the_person_it_names_until_it_ends() -> None:
    assert person_of(sign(ANN, KEY), KEY, queue="clinic", now=999.9) == ANN
    with pytest.raises(LinkRefused, match="expired"):
        person_of(sign(ANN, KEY), KEY, queue="clinic", now=1000.0)


def test_a_link_is_for_one_queue_and_one_key() -> None:
    with pytest.raises(LinkRefused, match="'clinic'"):
        person_of(sign(ANN, KEY), KEY, queue="other", now=0)
    with pytest.raises(LinkRefused, match="changed"):
        person_of(sign(ANN, KEY), b"x" * 32, queue="clinic", now=0)


@given(st.integers(min_value=0), st.characters())
def test_a_changed_token_is_refused(at: int, sign_: str) -> None:
    token = sign(ANN, KEY)
    at %= len(token)
    changed = token[:at] + sign_ + token[at + 1 :]
    if changed != token:
        try:
            assert person_of(changed, KEY, queue="clinic", now=0) == ANN  # spare bits of the last character
            assert at in (token.index(".") - 1, len(token) - 1)
        except LinkRefused:
            pass


@given(st.text())
def test_any_text_is_refused_as_a_token(text: str) -> None:
    with pytest.raises(LinkRefused):
        person_of(text, KEY, queue="clinic", now=0)


def test_a_role_cannot_be_taken_from_another_persons_form_token() -> None:
    eve = ANN.model_copy(update={"role": Role.ADJUDICATOR})
    assert form_token_holds(form_token(ANN, KEY), ANN, KEY)
    assert not form_token_holds(form_token(ANN, KEY), eve, KEY)
    assert not form_token_holds("é", ANN, KEY)


@pytest.mark.parametrize("name", ["", " ann", "a/b", "../x", "a\nb", "x" * 65, "<b>"])
def test_a_name_that_could_not_be_stored_is_no_reviewers(name: str) -> None:
    with pytest.raises(ValidationError):
        Person(name=name, role=Role.REVIEWER, queue="q", expires=1)


def test_a_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "review" / "key"
    key = read_key(path, create=True)
    assert read_key(path, create=True) == read_key(path) == key
    assert len(key) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_a_missing_or_short_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*key"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_text("short\n")
    with pytest.raises(InputError, match="has 5 bytes and needs 32"):
        read_key(tmp_path / "key", create=True)


def test_a_proxy_speaks_for_its_users_from_its_own_addresses_only() -> None:
    proxy = TrustedProxy("X-User", ("10.0.0.0/8", "fd00::/8"), {"eve": Role.ADJUDICATOR})
    assert proxy.person("eve", "10.2.3.4", queue="q").role is Role.ADJUDICATOR
    assert proxy.person("eve", "::ffff:10.2.3.4", queue="q").name == "eve"
    for name, peer, reason in (
        ("eve", "192.0.2.1", "NotThroughProxy"),
        ("eve", None, "NotThroughProxy"),
        (None, "fd00::1", "NoName"),
        ("ann", "fd00::1", "NoRole"),
    ):
        with pytest.raises(LinkRefused) as refused:
            proxy.person(name, peer, queue="q")
        assert refused.value.reason == reason


def test_a_proxy_without_addresses_or_with_wrong_ones_is_refused() -> None:
    with pytest.raises(InputError, match="name the proxy's addresses"):
        TrustedProxy("X-User", ())
    with pytest.raises(InputError, match=r"10\.0\.0\.1/8"):
        TrustedProxy("X-User", ("10.0.0.1/8",))
