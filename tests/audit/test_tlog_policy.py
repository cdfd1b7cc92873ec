"""Policies of C2SP tlog-policy: read, written, applied, and the auditor's file `verify.py` of the same opinion."""

import io
import itertools
import json

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import verify
from audit.notes import COSIGNATURE, Checkpoint, NoteError, Signer
from audit.tlog_policy import Policy, PolicyError, QuorumMissed

LOG, SECOND = Signer.generate("log.example"), Signer.generate("log.example")
WITNESSES = {
    name: Signer.generate(f"{name.lower()}.example", COSIGNATURE) for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")
}
BODY = Checkpoint(origin=LOG.name, size=3, root=b"r" * 32).body()
# The example of the specification, with keys.
EXAMPLE = (
    f"log {LOG.verifier.text()}\n\n"
    + "".join(f"witness {name} {WITNESSES[name].verifier.text()}\n" for name in ("X1", "X2", "X3"))
    + "group X-witnesses 2 X1 X2 X3\n\n"
    + "".join(f"witness {name} {WITNESSES[name].verifier.text()}\n" for name in ("Y1", "Y2", "Y3"))
    + "group Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
)


def note_by(*names: str, log: Signer = LOG) -> str:
    return log.sign(BODY) + "".join(WITNESSES[name].signature_line(BODY, at=7) for name in names)


def both(policy: str, note: str) -> bool:
    """Both readers say whether a checkpoint is good; they must agree."""
    try:
        Policy.parse(policy.encode()).open(note)
    except (QuorumMissed, NoteError):
        ours = False
    else:
        ours = True
    theirs = verify.read_policy(policy)
    try:
        head = verify.open_note(note, theirs.logs, [*theirs.witnesses.values()])
    except verify.Finding:
        assert not ours
        return False
    assert theirs.holds(head) == ours
    return ours


@pytest.mark.parametrize("count", range(7))
def test_the_example_of_the_specification_holds_for_exactly_the_right_witnesses(count: int) -> None:
    for names in itertools.combinations(WITNESSES, count):
        expected = sum(name.startswith("X") for name in names) >= 2 and any(name.startswith("Y") for name in names)
        assert both(EXAMPLE, note_by(*names)) == expected, names


def test_it_is_written_and_read_again() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    assert Policy.parse(policy.text().encode()) == policy
    assert policy.text().count("\n") == 1 + 6 + 3 + 1
    with_address = f"log {LOG.verifier.text()} https://log.example/\nquorum none"
    assert Policy.parse(with_address.encode()).addresses == {LOG.verifier: "https://log.example/"}


def test_none_asks_for_no_witness_but_always_for_the_log() -> None:
    policy = f"log {LOG.verifier.text()}\n\t# a comment\n  quorum \t none  \n"
    assert both(policy, note_by())
    assert not both(policy, note_by(log=SECOND))
    assert both(policy + f"log {SECOND.verifier.text()}\n", note_by(log=SECOND))  # while one key replaces the other
    one = f"{policy.replace('none', 'w')}".replace("quorum", f"witness w {WITNESSES['X1'].verifier.text()}\nquorum")
    assert both(one, note_by("X1"))
    assert not both(one, note_by("X2"))


KEY, OTHER = WITNESSES["X1"].verifier.text(), WITNESSES["X2"].verifier.text()


@pytest.mark.parametrize("lines", [
    "", "log LOG", "quorum none\nquorum none", "quorum w\nwitness w KEY", "quorum g", "witness none KEY\nquorum none",
    "witness w KEY\nwitness w OTHER\nquorum w", "witness w KEY\nwitness v KEY\nquorum w", "log LOG\nlog LOG\nquorum none",
    "log KEY\nquorum none", "witness w LOG\nquorum w", "witness w KEY a b\nquorum w", "log LOG a b\nquorum none",
    "witness w KEY\ngroup g any w none\nquorum g", "witness w KEY\ngroup g any w v\nquorum g", "group g any\nquorum g",
    "witness w KEY\ngroup g 0 w\nquorum g", "witness w KEY\ngroup g 2 w\nquorum g", "witness w KEY\ngroup g 01 w\nquorum g",
    "witness w KEY\ngroup g -1 w\nquorum g", "witness w KEY\ngroup g 1 w w\nquorum g", "group g any g\nquorum g",
    "witness w KEY\ngroup g any w\ngroup h any w\nquorum h", "witness w KEY\ngroup w any w\nquorum w", "nonsense\nquorum none",
    "log LOG quorum none", "witness w KEY\nquorum w w", "quorum", "quorum none\r\n", "quorum\u00a0none", "quorum none\x00",
    "witness w KEY\ngroup g \u0661 w\nquorum g", "witness w x+00000000+AAAA\nquorum none",
])  # fmt: skip
def test_what_is_not_understood_is_refused_as_a_whole(lines: str) -> None:
    text = lines.replace("LOG", LOG.verifier.text()).replace("KEY", KEY).replace("OTHER", OTHER)
    with pytest.raises(PolicyError):
        Policy.parse(text.encode())
    with pytest.raises(verify.Unusable):
        verify.read_policy(text)


def test_names_are_octets() -> None:
    raw = b"witness \xff\xfe " + KEY.encode() + b"\nquorum \xff\xfe\n"
    assert Policy.parse(raw).open is not None
    kelvin = f"witness K {KEY}\nwitness \u212a {OTHER}\nquorum \u212a\n"
    assert not both(f"log {LOG.verifier.text()}\n{kelvin}", note_by("X1"))


@settings(max_examples=60, deadline=None)
@given(signed=st.sets(st.sampled_from(sorted(WITNESSES))), needed=st.integers(1, 6))
def test_any_number_of_six_is_counted_right(signed: set[str], needed: int) -> None:
    lines = "".join(f"witness {name} {each.verifier.text()}\n" for name, each in WITNESSES.items())
    policy = f"log {LOG.verifier.text()}\n{lines}group g {needed} {' '.join(WITNESSES)}\nquorum g\n"
    assert both(policy, note_by(*signed)) == (len(signed) >= needed)


def test_the_command_prints_a_policy_of_the_settings() -> None:
    entries = [
        {
            "backend": "audit.witness.http_witness.HttpWitness",
            "url": f"https://{name}.example",
            "vkey": each.verifier.text(),
        }
        for name, each in list(WITNESSES.items())[:3]
    ] + [{"backend": "audit.witness.log_line.LogLine"}]

    def printed(*words: str) -> str:
        out = io.StringIO()
        call_command("log_policy", "--key", LOG.verifier.text(), *words, stdout=out)
        return out.getvalue()

    with override_settings(KEYSTEAD_WITNESSES=json.dumps(entries)):
        assert both(printed("--quorum", "2"), note_by("X1", "X3"))
        assert not both(printed("--quorum", "2"), note_by("X1"))
        assert both(printed(), note_by("X2"))
        assert not both(printed("--quorum", "all"), note_by("X1", "X2"))
        assert both(printed("--quorum", "none"), note_by())
        for wrong in ("4", "0", "some"):
            with pytest.raises(CommandError):
                printed("--quorum", wrong)
    with override_settings(KEYSTEAD_WITNESSES=""), pytest.raises(CommandError):
        printed()
