"""A one-time code counts once, now or one step ago, in ASCII digits."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.crypto.otp import base32_text, code_at, new_seed, provisioning_uri, step_at, verify
from keys.crypto.secrets import Secret

SEED = Secret(b"12345678901234567890")
times = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_codes_equal_those_of_the_rfc(vectors: Callable[[str], Any]) -> None:
    rfc = vectors("totp")
    for vector in rfc["codes"]:
        step = step_at(datetime.fromtimestamp(vector["time"], tz=UTC))
        assert code_at(bytes.fromhex(rfc["seed"]), step, digits=8) == vector["code"]
        assert code_at(Secret(bytes.fromhex(rfc["seed"])), step) == vector["code"][-6:]


@given(times, st.binary(min_size=20, max_size=20))
def test_codes_equal_those_of_another_implementation(at: datetime, seed: bytes) -> None:
    text = base32_text(Secret(seed)).reveal().replace(" ", "")
    assert code_at(seed, step_at(at)) == pyotp.TOTP(text).at(at)


@given(times)
def test_the_current_and_the_previous_step_count_and_no_other(at: datetime) -> None:
    current = step_at(at)
    for offset in (-3, -2, -1, 0, 1, 2):
        code = code_at(SEED, current + offset)
        answer = verify(SEED, code, at=at, last_step=None)
        if offset in (-1, 0):
            assert answer in (current - 1, current)
            assert answer is not None
            assert code_at(SEED, answer) == code
        else:
            assert answer is None or code_at(SEED, answer) == code


def test_a_code_is_accepted_once_and_never_an_older_one_after_it(at: datetime) -> None:
    current = step_at(at)
    now, before = code_at(SEED, current), code_at(SEED, current - 1)
    assert verify(SEED, before, at=at, last_step=None) == current - 1
    assert verify(SEED, now, at=at, last_step=current - 1) == current
    assert verify(SEED, now, at=at, last_step=current) is None
    assert verify(SEED, before, at=at, last_step=current) is None
    assert verify(SEED, before, at=at, last_step=current - 1) is None
    assert verify(SEED, now, at=at, last_step=current + 1) is None


def test_a_step_changes_every_thirty_seconds() -> None:
    start = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
    assert step_at(start) == step_at(start + timedelta(seconds=29.999999))
    assert step_at(start) + 1 == step_at(start + timedelta(seconds=30))
    assert step_at(start) == step_at(start.astimezone(tz=None))
    with pytest.raises(ValueError, match="naive"):
        step_at(datetime(2026, 1, 1))  # noqa: DTZ001


def test_only_six_ascii_digits_are_a_code(at: datetime) -> None:
    code = code_at(SEED, step_at(at))
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    arabic = "".join(chr(ord(digit) - ord("0") + 0x660) for digit in code)
    odd = ["", code + "\n", " " + code, code[:3] + " " + code[3:], code[:-1], "0" + code, full_width, arabic]
    odd += [f"+{code[1:]}", f"{code[:2]}_{code[3:]}", code + "\x00", "\ud800" * 6]
    for text in odd:
        assert verify(SEED, text, at=at, last_step=None) is None


def test_another_seed_gives_another_code(at: datetime) -> None:
    assert new_seed() != new_seed()
    assert len(new_seed().reveal_bytes()) == 20
    accepted = sum(verify(new_seed(), code_at(SEED, step_at(at)), at=at, last_step=None) is not None for _ in range(50))
    assert accepted <= 1


def test_the_address_for_authenticators_reads_back_and_stays_hidden() -> None:
    uri = provisioning_uri(SEED, account="ada+ops@example.com", issuer="Keystead & Co/desk")
    assert "otpauth" not in repr(uri)
    parsed = pyotp.parse_uri(uri.reveal())
    assert (parsed.name, parsed.issuer) == ("ada+ops@example.com", "Keystead & Co/desk")
    assert parsed.secret == base32_text(SEED).reveal().replace(" ", "")
    assert parse_qs(urlsplit(uri.reveal()).query)["digits"] == ["6"]


@pytest.mark.parametrize(("account", "issuer"), [("", "Keystead"), ("ada", ""), ("ada", "Key:stead")])
def test_an_address_without_account_or_with_a_colon_in_the_issuer_is_refused(account: str, issuer: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        provisioning_uri(SEED, account=account, issuer=issuer)
