"""An evidence bundle is accepted as the log signed it, and refused after any change, whoever signs the changed one."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import verify
from audit.canonical import canonical_json
from audit.exporters.bundle import BundleError
from audit.exporters.bundle_rows import LeafRange
from audit.notes import Signer
from tests.audit.bundles import (
    KEYS,
    SIGNER,
    STRANGER,
    InMemory,
    MemoryLog,
    assert_refused_when_changed,
    event,
    make_bundle,
    many,
    packed,
    refreshed,
    refusal,
    sign,
    verdict,
)

LOG = MemoryLog(many(75))
RANGE = make_bundle(LOG)
SOME = make_bundle(LOG, [0, 5, 6, 7, 31, 32, 64, 74], with_private=True)
SUPPORTED = make_bundle(LOG, list(range(40, 60)), scope=LeafRange(from_leaf=40, upto_leaf=60), support=[2, 3, 17, 39])
STRANGERS = [verify.read_key(STRANGER.verifier.text())]


def written(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "evidence.zip"
    path.write_bytes(packed(files).getvalue())
    return path


def test_a_whole_range_is_complete_and_a_selection_is_present():
    whole, some = verdict(RANGE, deep=True), verdict(SOME, deep=True)
    assert (whole["proves"], whole["from_leaf"], whole["upto_leaf"], whole["rows"]) == ("completeness", 0, 75, 75)
    assert (some["proves"], some["rows"], some["private"]) == ("presence", 8, {"present": 8, "missing": 0, "erased": 0})


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_any_choice_of_events_of_any_log_verifies_and_with_one_event_moved_does_not(size, data):
    log = MemoryLog(many(size))
    places = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=size)))
    files = make_bundle(log, places)
    assert verdict(files)["rows"] == len(places)
    if places:
        lines = files["events.jsonl"].splitlines(keepends=True)
        lines[data.draw(st.integers(0, len(lines) - 1))] = canonical_json(event("thing.changed", "other")) + b"\n"
        changed = sign(refreshed({**files, "events.jsonl": b"".join(lines)}), log, size=size)
        assert refusal(changed) == "root"


def test_a_range_may_begin_and_end_anywhere():
    for start, end in ((0, 75), (0, 64), (1, 2), (17, 43), (64, 75), (74, 75), (20, 20)):
        places = list(range(start, end))
        files = make_bundle(LOG, places, scope=LeafRange(from_leaf=start, upto_leaf=end))
        assert (verdict(files)["from_leaf"], verdict(files)["upto_leaf"]) == (start, end)


def test_a_range_with_a_gap_is_not_written():
    with pytest.raises(BundleError):
        make_bundle(LOG, [3, 4, 6], scope=LeafRange(from_leaf=3, upto_leaf=7))


def test_a_claim_of_completeness_that_the_log_itself_signed_is_measured_against_the_places():
    def claim(told):
        told["proves"] = "completeness"

    assert refusal(make_bundle(LOG, [3, 4, 6], forge=claim)) == "incomplete"

    def widen(told):
        told |= {"from_leaf": 0, "upto_leaf": 75}

    dense = make_bundle(LOG, [3, 4, 5], forge=lambda told: (claim(told), widen(told)))
    assert refusal(dense) == "manifest"


def test_events_before_a_range_support_it_and_are_proved_and_are_no_part_of_it():
    told = verdict(SUPPORTED)
    assert (told["from_leaf"], told["upto_leaf"], told["rows"]) == (40, 60, 20)
    lines = SUPPORTED["support.jsonl"].splitlines(keepends=True)
    for bent in (lines[:-1], [*lines, lines[-1]], [lines[1], lines[0], *lines[2:]]):
        files = sign(refreshed({**SUPPORTED, "support.jsonl": b"".join(bent)}), LOG, size=75)
        assert refusal(files) in ("root", "proof", "manifest")
    later = make_bundle(LOG, list(range(10, 20)), scope=LeafRange(from_leaf=10, upto_leaf=20), support=[3])
    inside = later["support.jsonl"] + later["events.jsonl"].splitlines(keepends=True)[0]
    rest = later["events.jsonl"].partition(b"\n")[2]
    moved = sign(refreshed({**later, "support.jsonl": inside, "events.jsonl": rest}), LOG, size=75)
    assert refusal(moved) == "root"


@pytest.mark.parametrize("files", [RANGE, SOME, SUPPORTED], ids=["range", "selection", "supported"])
def test_each_file_with_a_changed_byte_is_refused(files):
    assert_refused_when_changed(files, places=150)


@pytest.mark.long
@pytest.mark.parametrize("files", [RANGE, SOME, SUPPORTED], ids=["range", "selection", "supported"])
def test_each_file_changed_in_a_thousand_places_is_refused(files):
    assert_refused_when_changed(files, places=1_000)


def test_a_changed_byte_of_the_zip_changes_nothing_that_is_accepted(tmp_path):
    text = packed(SOME).getvalue()
    dice = random.Random(5)
    path = tmp_path / "bent.zip"
    accepted = 0
    for _ in range(400):
        at = dice.randrange(len(text))
        path.write_bytes(text[:at] + bytes([text[at] ^ dice.randrange(1, 256)]) + text[at + 1 :])
        try:
            material = verify.open_bundle(path)
            verify.verify_bundle(material, KEYS)
        except (verify.Finding, OSError, *verify.TORN):
            continue
        # A time or a flag of the archive that no file's content depends on.
        accepted += 1
        assert {name: material.open(name).read() for name in material.names} == SOME
    assert accepted < 100


@pytest.mark.parametrize("name", sorted(SOME))
def test_a_missing_file_is_refused(name):
    assert refusal({each: text for each, text in SOME.items() if each != name}) in ("files", "unsigned", "manifest")


def test_a_further_file_is_refused():
    assert refusal({**SOME, "notes.txt": b"read me"}) == "files"
    assert refusal(refreshed({**SOME, "notes.txt": b"read me"})) == "manifest"


@pytest.mark.parametrize("change", ["removed", "added", "twice", "swapped"])
def test_events_that_were_moved_are_refused_even_when_the_log_signs_the_new_manifest(change):
    lines = RANGE["events.jsonl"].splitlines(keepends=True)
    other = {
        "removed": lines[:9] + lines[10:],
        "added": [*lines[:9], canonical_json(event("thing.changed", "new")) + b"\n", *lines[9:]],
        "twice": [*lines[:9], lines[8], *lines[9:]],
        "swapped": [*lines[:9], lines[10], lines[9], *lines[11:]],
    }[change]
    bent = {**RANGE, "events.jsonl": b"".join(other)}
    assert refusal(bent) == "manifest"
    fitting = refreshed(bent)
    assert refusal(fitting) == "manifest"  # it says of another manifest that it was signed
    assert refusal(sign(fitting, LOG, size=75)) in ("root", "proof")


def test_a_manifest_that_somebody_else_signed_is_refused_under_the_pinned_key_alone():
    forged = MemoryLog([*many(10)], STRANGER)
    files = make_bundle(forged)
    assert verdict(files, STRANGERS)["rows"] == 10
    assert refusal(files) == "signature"
    # The genuine checkpoint with a manifest that was signed by another log of the same name.
    assert refusal(sign(RANGE, forged, size=10)) == "signature"
    assert refusal({**RANGE, "log.vkey": STRANGER.verifier.text().encode()}) == "manifest"


def test_the_signature_of_another_bundle_does_not_serve():
    borrowed = {name: text for name, text in SOME.items() if name.startswith("export.")}
    assert refusal({**RANGE, **borrowed}) == "manifest"


def test_another_event_does_not_serve_as_the_signature():
    log = MemoryLog([*many(5)])
    files = make_bundle(log)
    told = json.loads(files["export.json"])
    for change in ({"action": "audit.log-read"}, {"outcome": "denied"}, {"actor": {"type": "person", "id": "x"}}):
        grown = MemoryLog([])
        grown.payloads = [*log.payloads, canonical_json(told | change)]
        proof = grown.proof(5)
        bent = {
            **files,
            "export.json": grown.payloads[5],
            "export.tlog-proof": proof.text().encode(),
            "export.growth": b"".join(verify.encode(each).encode() + b"\n" for each in grown.growth(5, 6)),
        }
        assert refusal(bent) == "manifest"


def _told(**facts: object):
    return lambda told: told.update(facts)


def _file(which: str, /, **facts: object):
    return lambda told: next(each for each in told["files"] if each["name"] == which).update(facts)


@pytest.mark.parametrize(
    "forge",
    [
        _told(kind="another"), _told(version=2), _told(version=True), _told(rows=74), _told(rows="75"), _told(proves="all"),
        _told(with_private=True), _told(from_leaf=1), _told(upto_leaf=74), _told(origin="another/log"), _told(size=74),
        _told(root="00" * 32), _told(files=[]), _told(files={}), _told(size=80), _file("events.jsonl", rows=74),
        _file("proof.txt", rows=1), _file("README.txt", bytes=1), _file("README.txt", name="manifest.json"),
        _file("README.txt", name="../README.txt"), _file("README.txt", sha256="00" * 32),
        lambda told: told["files"].append(told["files"][0]),
        lambda told: told.pop("rows"), lambda told: told["files"][0].pop("sha256"), lambda told: told["files"].append("x"),
    ],
)  # fmt: skip
def test_no_claim_of_a_manifest_is_believed_because_the_log_signed_it(forge):
    assert refusal(make_bundle(LOG, forge=forge)) in ("manifest", "files", "incomplete")


def test_a_proof_has_one_form_only():
    gaps = SOME["proof.txt"].splitlines(keepends=True)
    start, end, first, second = gaps[1].decode().split()[:4]
    assert (start, end) == ("8", "31")
    split = [f"8 16 {first}\n".encode(), f"16 31 {' '.join(gaps[1].decode().split()[3:])}\n".encode()]
    for bent in (
        [gaps[0], *split, *gaps[2:]],  # the same gap in two
        [gaps[0], gaps[1].replace(b"8 31", b"08 31"), *gaps[2:]],
        [gaps[0], gaps[1].replace(second.encode(), first.encode()), *gaps[2:]],
        [gaps[0], gaps[1].strip() + b" " + second.encode() + b"\n", *gaps[2:]],
        [gaps[0], *gaps[2:]],
        [*gaps, b"80 81 " + first.encode() + b"\n"],
        [gaps[1], gaps[0], *gaps[2:]],
        [*gaps[:-1], gaps[-1].strip()],
    ):
        files = sign(refreshed({**SOME, "proof.txt": b"".join(bent)}), LOG, size=75)
        assert refusal(files) in ("proof", "root", "form", "manifest"), bent


def test_an_export_that_is_older_than_what_it_holds_is_refused():
    log = MemoryLog(many(10))
    small = make_bundle(log, later=0)
    index = json.loads(small["manifest.json"])["size"]
    grown = MemoryLog([])
    grown.payloads = [small["export.json"], *log.payloads]
    proof = grown.proof(0)
    bent = {**small, "export.tlog-proof": proof.text().encode(), "export.growth": b""}
    assert (index, refusal(bent)) == (10, "manifest")


def test_a_kept_checkpoint_of_another_log_answers_nothing():
    other = Signer.generate("another/log")
    head = verify.open_note(MemoryLog(many(75), other).note(), [verify.read_key(other.verifier.text())])
    late = make_bundle(LOG, [70])
    with pytest.raises(verify.Unusable):
        verdict(late, trusted=[head._replace(size=74)])


def test_a_fork_between_the_two_signed_heads_is_found():
    other = MemoryLog([*many(75)])
    assert refusal(sign(RANGE, other, size=75)) == "consistency"


def test_checkpoints_that_were_kept_are_compared():
    def kept(log: MemoryLog, size: int) -> verify.Head:
        return verify.open_note(log.note(size), KEYS)

    other = MemoryLog(many(75))
    for size in (0, 1, 40, 75):
        verdict(RANGE, trusted=[kept(LOG, size)])
        if size:
            assert refusal(RANGE, trusted=[kept(other, size)]) in ("root", "consistency")
    late = make_bundle(LOG, [60, 70], since=[33])
    verdict(late, trusted=[kept(LOG, 33)])
    assert refusal(late, trusted=[kept(other, 33)]) == "consistency"
    with pytest.raises(verify.Unusable):
        verdict(late, trusted=[kept(LOG, 34)])


def test_private_parts_are_compared_with_their_commitments():
    lines = SOME["private.jsonl"].splitlines(keepends=True)

    def with_parts(*parts: bytes) -> dict[str, bytes]:
        return sign(refreshed({**SOME, "private.jsonl": b"".join(parts)}), LOG, size=75)

    told = json.loads(lines[2])
    edited = canonical_json(told | {"private": {"actor": {"name": "Eve"}}}) + b"\n"
    assert refusal(with_parts(*lines[:2], edited, *lines[3:])) == "private"
    salted = canonical_json(told | {"salt": "00" * 32}) + b"\n"
    assert refusal(with_parts(*lines[:2], salted, *lines[3:])) == "private"
    assert refusal(with_parts(*lines, lines[0])) == "private"
    wordy = canonical_json(told | {"more": "words"}) + b"\n"
    assert refusal(with_parts(*lines[:2], wordy, *lines[3:])) == "private"
    erased = verdict(with_parts(*lines[:2], *lines[3:]))["private"]
    assert erased == {"present": 7, "missing": 1, "erased": 0}


def test_a_report_that_says_something_else_is_found_by_rendering_it_again():
    assert b"'=1+1" in RANGE["report.csv"]
    lying = sign(refreshed({**RANGE, "report.csv": RANGE["report.csv"].replace(b"t-9,", b"t-8,")}), LOG, size=75)
    verdict(lying)
    assert refusal(lying, deep=True) == "report"
    more = {**RANGE, "report.csv": RANGE["report.csv"] + RANGE["report.csv"].splitlines(keepends=True)[-1]}
    told = json.loads(refreshed(more)["manifest.json"])
    _file("report.csv", rows=75)(told)
    longer = sign({**more, "manifest.json": canonical_json(told)}, LOG, size=75)
    verdict(longer)
    assert refusal(longer, deep=True) == "report"


def test_a_policy_names_the_log_and_the_witnesses_that_must_have_signed(tmp_path, capsys):
    seeing = Signer.generate("witness.example/w1", kind=4)
    blind = Signer.generate("witness.example/w2", kind=4)
    body = LOG.note().split("\n\n")[0] + "\n"
    note = LOG.note() + seeing.signature_line(body, at=1_760_000_000)
    seen = sign(refreshed({**RANGE, "checkpoint": note.encode()}), LOG, size=75)
    path, policy = written(tmp_path, seen), tmp_path / "policy.txt"
    names = f"log {SIGNER.verifier.text()}\nwitness one {seeing.verifier.text()}\nwitness two {blind.verifier.text()}\n"
    for quorum, code in (("none", 0), ("one", 0), ("two", 1), ("any", 0), ("all", 1)):
        group = f"group g {quorum} one two\nquorum g\n" if quorum in ("any", "all") else f"quorum {quorum}\n"
        policy.write_text(f"# pinned\n{names}{group}")
        assert verify.main(["bundle", str(path), "--policy", str(policy), "--json"]) == code, quorum
    policy.write_text(names)
    assert verify.main(["bundle", str(path), "--policy", str(policy)]) == 2
    assert verify.main(["bundle", str(path)]) == 2  # nothing is pinned


def test_the_command_answers_programs_and_people_without_any_package(tmp_path):
    path = written(tmp_path, SOME)
    alone = tmp_path / "verify.py"
    alone.write_bytes(SOME["verify.py"])
    key = tmp_path / "log.vkey"
    key.write_text(SIGNER.verifier.text())

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(alone), "bundle", str(path), "--key", str(key), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    told = ask("--json", "--deep")
    assert (told.returncode, told.stderr) == (0, "")
    answer = json.loads(told.stdout)
    assert (answer["result"], answer["proves"], answer["rows"]) == ("ok", "presence", 8)
    assert "that these are all is not proved" in ask().stdout


def test_a_large_bundle_is_verified_in_little_memory(tmp_path):
    log = MemoryLog(many(12_000))
    files = make_bundle(log, [*range(1_000, 11_000)], scope=LeafRange(from_leaf=1_000, upto_leaf=11_000))
    path = written(tmp_path, files)
    script = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); import verify\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert verify.main(['bundle', sys.argv[2], '--key', sys.argv[3]]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    (tmp_path / "verify.py").write_bytes(files["verify.py"])
    words = [sys.executable, "-I", "-c", script, str(tmp_path), str(path), SIGNER.verifier.text()]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 6 * 1024  # KiB, for 10,000 events of 8 MB


def test_a_bundle_read_from_memory_is_the_bundle_read_from_a_file(tmp_path):
    path = written(tmp_path, RANGE)
    assert verify.verify_bundle(path, KEYS)[1] == verify.verify_bundle(InMemory(RANGE), KEYS)[1]
    assert io.BytesIO(path.read_bytes()).getvalue() == path.read_bytes()
