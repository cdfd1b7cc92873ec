"""A version whose security columns were changed behind Keystead's back does not verify."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto.framing import frame, frame_mapping
from keys.crypto.keyring import ROW_MAC, Keyring
from keys.crypto.row_mac import VersionFields, newest_mac, row_mac, verify_row_mac

Vectors = Callable[[str], Any]
TIMES = ("activated_at", "expires_at", "retire_at", "authorised_until")


def _fields(written: dict[str, Any]) -> VersionFields:
    read = dict(written)
    read["digest"] = None if read["digest"] is None else bytes.fromhex(read["digest"])
    for name in ("scopes", "networks", "verifies"):
        read[name] = tuple(read[name])
    for name in TIMES:
        read[name] = None if read[name] is None else datetime.fromisoformat(read[name])
    return VersionFields(**read)


@pytest.fixture
def fields(vectors: Vectors) -> VersionFields:
    return _fields(vectors("row_mac")["rows"][0]["fields"])


def test_canonical_bytes_and_macs_equal_their_vectors(vectors: Vectors, keyring: Keyring) -> None:
    for vector in vectors("row_mac")["rows"]:
        fields = _fields(vector["fields"])
        assert fields.canonical().hex() == vector["canonical"]
        assert verify_row_mac(fields, vector["mac"], keyring)
        under_old_key = ":row-mac-old:" in vector["mac"]
        assert vector["mac"].startswith(newest_mac(keyring)) != under_old_key
        assert (row_mac(fields, keyring) == vector["mac"]) != under_old_key


CHANGES: dict[str, list[object]] = {
    "kid": ["other", ""],
    "key_id": ["other"],
    "kind": ["hmac-sha256"],
    "digest": [None, b"", b"\x00" * 32],
    "digest_algorithm": ["sha256"],
    "public_key": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
    "sealed_secret": ["ks1$A256GCM$A256KW$kek-prod-new$YQ$YQ$YQ"],
    "service": ["wallets", "order"],
    "environment": ["dev"],
    "verifies": [("orders", "prod"), ("", "")],
    "scopes": [(), ("orders:read",), ("orders:read", "orders:write", "x"), ("orders:readorders:write",)],
    "networks": [(), ("0.0.0.0/0",)],
    "state": ["suspended", "Active"],
    "activated_at": [None, datetime(2026, 11, 2, 3, 4, 5, 678902, tzinfo=UTC)],
    "expires_at": [None, datetime(2027, 2, 1, 0, 0, 0, 1, tzinfo=UTC)],
    "retire_at": [datetime(2027, 2, 1, tzinfo=UTC)],
    "authorised_until": [None, datetime(2037, 11, 1, tzinfo=UTC)],
    "sequence": [2, 4, 30, -3],
}


def test_every_column_has_a_change_in_this_test() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(VersionFields)}


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_does_not_verify(column: str, fields: VersionFields, keyring: Keyring) -> None:
    mac = row_mac(fields, keyring)
    assert verify_row_mac(fields, mac, keyring)
    for value in CHANGES[column]:
        changed: Any = {column: value}
        assert not verify_row_mac(dataclasses.replace(fields, **changed), mac, keyring)


def test_two_columns_that_swap_their_values_do_not_verify(fields: VersionFields, keyring: Keyring) -> None:
    mac = row_mac(fields, keyring)
    swapped = dataclasses.replace(fields, expires_at=fields.authorised_until, authorised_until=fields.expires_at)
    assert not verify_row_mac(swapped, mac, keyring)
    assert not verify_row_mac(dataclasses.replace(fields, scopes=fields.networks, networks=fields.scopes), mac, keyring)


def test_order_of_sets_and_zone_of_times_do_not_matter(fields: VersionFields, keyring: Keyring) -> None:
    assert fields.expires_at is not None
    same = dataclasses.replace(
        fields,
        scopes=(*reversed(fields.scopes), fields.scopes[0]),
        networks=tuple(reversed(fields.networks)),
        expires_at=fields.expires_at.astimezone(timezone(timedelta(hours=9))),
    )
    assert verify_row_mac(same, row_mac(fields, keyring), keyring)


def test_a_naive_time_is_refused(fields: VersionFields, keyring: Keyring) -> None:
    with pytest.raises(ValueError, match="naive"):
        row_mac(dataclasses.replace(fields, expires_at=datetime(2027, 1, 1)), keyring)  # noqa: DTZ001


def test_every_changed_character_of_a_mac_is_a_plain_no(fields: VersionFields, keyring: Keyring) -> None:
    mac = row_mac(fields, keyring)
    for position, right in enumerate(mac):
        for wrong in "0f:Z\n\u0660":
            if wrong != right:
                assert not verify_row_mac(fields, mac[:position] + wrong + mac[position + 1 :], keyring)
    for odd in ("", mac + "\n", mac[:-2], mac.upper(), "hmac-sha256::", "none:x:y"):
        assert not verify_row_mac(fields, odd, keyring)


def test_old_rows_verify_after_a_rotation_until_their_key_is_forgotten(
    fields: VersionFields, keyring: Keyring, at: datetime
) -> None:
    mac = row_mac(fields, keyring)
    rotated = keyring.rotated(ROW_MAC, at=at)
    assert verify_row_mac(fields, mac, rotated)
    assert not mac.startswith(newest_mac(rotated))
    assert row_mac(fields, rotated).startswith(newest_mac(rotated))
    forgotten = rotated.without(ROW_MAC, keyring.primary(ROW_MAC).id)
    assert not verify_row_mac(fields, mac, forgotten)


def test_a_keyring_of_another_installation_does_not_verify(
    fields: VersionFields, keyring: Keyring, at: datetime
) -> None:
    assert not verify_row_mac(fields, row_mac(fields, keyring), Keyring.generate(at=at))


values = st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.lists(st.text(), max_size=3).map(tuple))


@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_different_lists_never_frame_alike(one: list[Any], other: list[Any]) -> None:
    assert (frame(one) == frame(other)) == (one == other)


@given(st.dictionaries(st.text(), st.text(), max_size=4), st.dictionaries(st.text(), st.text(), max_size=4))
def test_different_mappings_never_frame_alike(one: dict[str, str], other: dict[str, str]) -> None:
    assert (frame_mapping(one) == frame_mapping(other)) == (one == other)


def test_values_without_one_meaning_have_no_frame() -> None:
    odd: list[Any] = [True, 1.5, ["list"], {"a": "b"}]
    for value in odd:
        with pytest.raises(TypeError):
            frame([value])
