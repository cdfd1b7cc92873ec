"""The verifier that auditors take away, against logs that were made without a database."""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle, notes, verify
from audit.tiles import TileFolder, TileWriter

VERIFIER = Path(verify.__file__)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ed25519.json").read_text())
SIGNER = notes.Signer.generate("log.example/audit")
STRANGER = notes.Signer.generate("log.example/audit")
WITNESS = notes.Signer.generate("w.example", notes.COSIGNATURE)


def entry(number: int) -> bytes:
    return json.dumps({"uid": f"u{number}", "n": number}).encode()


class MadeLog:
    """A log of `size` entries in a folder, with a signed head for every size."""

    def __init__(self, folder: Path, size: int, signer: notes.Signer = SIGNER) -> None:
        self.folder, self.size = folder, size
        folder.mkdir(parents=True)
        self.nodes: dict[merkle.NodeId, bytes] = {}
        self.heads: dict[int, Path] = {}
        writer = TileWriter(TileFolder(folder))
        for number in range(size + 1):
            head = notes.Checkpoint(origin=signer.name, size=number, root=writer.tree.root())
            self.heads[number] = folder.with_name(f"{folder.name}-{number}.note")
            note = signer.sign(head.body()) + WITNESS.signature_line(head.body(), at=1_800_000_000)
            self.heads[number].write_text(note)
            if number < size:
                self.nodes.update(writer.append(entry(number)))
        writer.flush()
        shutil.copy(self.heads[size], folder / "checkpoint")

    def proof(self, index: int, size: int) -> Path:
        hashes = merkle.proof_of(merkle.inclusion_ranges(index, size), self.nodes.__getitem__)
        path = self.folder.with_name(f"{index}.tlog-proof")
        path.write_text(
            notes.Proof(index=index, hashes=tuple(hashes), checkpoint=self.heads[size].read_text(), extra=b"x").text()
        )
        path.with_suffix(".json").write_bytes(entry(index))
        return path

    def growth(self, old: int, new: int) -> Path:
        hashes = merkle.proof_of(merkle.consistency_ranges(old, new), self.nodes.__getitem__)
        path = self.folder.with_name(f"{old}-{new}.hashes")
        path.write_text("".join(base64.b64encode(each).decode() + "\n" for each in hashes))
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    return MadeLog(tmp_path_factory.mktemp("made") / "tiles", 300)


KEY = ("--key", SIGNER.verifier.text())


def ask(capsys: pytest.CaptureFixture[str], *words: object, key: tuple[str, str] = KEY) -> tuple[int, dict]:
    code = verify.main([*map(str, words), *key, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=range(3))
def test_the_plain_signature_check_knows_the_vectors_of_the_rfc(vector: dict) -> None:
    key, message, signature = (bytes.fromhex(vector[name]) for name in ("key", "message", "signature"))
    assert verify.plain_ed25519(key, signature, message)
    assert not verify.plain_ed25519(key, signature, message + b"x")


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
def test_the_plain_signature_check_agrees_with_the_library(seed: bytes, message: bytes, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    bent = bytearray(signature)
    bent[bit // 8] ^= 1 << bit % 8
    for given_key, given_signature in ((key, signature), (key, bytes(bent)), (b"\xff" * 32, signature), (key, b"")):
        assert verify.plain_ed25519(given_key, given_signature, message) == verify.ed25519(
            given_key, given_signature, message
        )


def test_a_signature_with_a_second_spelling_is_refused() -> None:
    key, signature = (bytes.fromhex(VECTORS["signatures"][0][name]) for name in ("key", "signature"))
    larger = (int.from_bytes(signature[32:], "little") + verify._L).to_bytes(32, "little")
    assert not verify.plain_ed25519(key, signature[:32] + larger, b"")
    assert not verify.ed25519(key, signature[:32] + larger, b"")


def test_an_honest_proof_log_and_growth_are_accepted(made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    witness = ("--witness", WITNESS.verifier.text())
    for index, size in ((0, 1), (7, 8), (123, 300), (299, 300)):
        proof = made.proof(index, size)
        code, answer = ask(capsys, "proof", proof, "--entry", proof.with_suffix(".json"), *witness)
        assert (code, answer["result"], answer["index"], answer["witnesses"]) == (0, "ok", index, ["w.example"])
    for old, new in ((0, 5), (1, 2), (5, 5), (7, 300), (256, 300), (299, 300)):
        code, answer = ask(capsys, "consistency", made.heads[old], made.heads[new], "--proof", made.growth(old, new))
        assert (code, answer["from"], answer["size"]) == (0, old, new)
        code, answer = ask(capsys, "consistency", made.heads[old], made.heads[300], "--tiles", made.folder)
        assert code == 0, answer
    code, answer = ask(capsys, "tiles", made.folder, "--deep", "--trust", made.heads[17], "--trust", made.heads[0])
    assert (code, answer["size"]) == (0, 300)


def test_people_get_a_sentence(made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert verify.main(["tiles", str(made.folder), *KEY]) == 0
    assert capsys.readouterr().out.startswith("OK: log.example/audit, 300 leaves, root ")
    assert verify.main(["tiles", str(made.folder), "--key", STRANGER.verifier.text()]) == 1
    assert "not signed by a pinned key" in capsys.readouterr().out
    assert verify.main(["tiles", str(tmp_path / "nowhere"), *KEY]) == 2
    assert capsys.readouterr().out.startswith("CANNOT ANSWER")
    key = tmp_path / "log.vkey"
    key.write_text(SIGNER.verifier.text() + "\n")
    assert verify.main(["tiles", str(made.folder), "--key", str(key)]) == 0
    assert verify.main(["tiles", str(made.folder), "--key", "no key"]) == 2


def test_a_dishonest_proof_is_refused(made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    proof = made.proof(123, 300)
    code, answer = ask(capsys, "proof", proof, "--entry", made.proof(7, 8).with_suffix(".json"))
    assert (code, answer["findings"][0]["code"], answer["findings"][0]["index"]) == (1, "inclusion", 123)
    text, bent = proof.read_text(), tmp_path / "bent"
    lines = text.split("\n")
    for wrong in (
        text.replace("index 123", "index 124"),
        text.replace("index 123", "index 300"),
        text.replace("index 123", "index 0123"),
        text.replace("\n300\n", "\n301\n"),
        "\n".join([*lines[:3], *lines[4:]]),
        "\n".join([*lines[:4], *lines[3:]]),
        text.replace("@v1", "@v3"),
        text.partition("\n\n")[0],
        "",
    ):
        bent.write_text(wrong)
        assert ask(capsys, "proof", bent, "--entry", proof.with_suffix(".json"))[0] == 1
    code, answer = ask(capsys, "proof", proof, "--entry", tmp_path / "none")
    assert (code, answer["result"]) == (2, "unusable")


def test_a_log_that_shrank_or_forked_is_found(
    made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, answer = ask(capsys, "consistency", made.heads[300], made.heads[7], "--proof", made.growth(7, 300))
    assert (code, answer["findings"][0]["code"]) == (1, "rollback")
    code, answer = ask(capsys, "consistency", made.heads[7], made.heads[300], "--proof", made.growth(8, 300))
    assert (code, answer["findings"][0]["code"]) == (1, "consistency")
    # The same key signed another past: a kept checkpoint shows it, and from which size on.
    fork = MadeLog(tmp_path / "fork", 0)
    writer = TileWriter(TileFolder(fork.folder))
    for number in range(50):
        writer.append(entry(number if number < 20 else number + 1000))
    writer.flush()
    head = notes.Checkpoint(origin=SIGNER.name, size=50, root=writer.tree.root())
    (fork.folder / "checkpoint").write_text(SIGNER.sign(head.body()))
    assert ask(capsys, "tiles", fork.folder)[0] == 0
    code, answer = ask(capsys, "tiles", fork.folder, "--trust", made.heads[15], "--trust", made.heads[30])
    assert (code, answer["findings"][0]["code"], answer["findings"][0]["index"]) == (1, "root", 15)
    code, answer = ask(capsys, "tiles", fork.folder, "--trust", made.heads[300])
    assert (code, answer["findings"][0]["code"]) == (1, "rollback")


@pytest.mark.parametrize(
    ("code", "index", "bend"),
    [
        ("entry", 5, lambda f: _replace(f / "tile/entries/000", b'"u5"', b'"u6"')),
        ("torn", 299, lambda f: _cut(f / "tile/entries/001.p/44")),
        ("entry", 256, lambda f: _replace(f / "tile/0/001.p/44", None, b"x")),
        ("missing", 0, lambda f: (f / "tile/0/000").unlink()),
        ("missing", 256, lambda f: (f / "tile/entries/001.p/44").unlink()),
    ],
)
def test_a_changed_copy_is_found_with_the_first_bad_index(
    made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path, code: str, index: int, bend: object
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made.folder, copy)
    bend(copy)  # type: ignore[operator]
    exit_code, answer = ask(capsys, "tiles", copy)
    assert exit_code == 1
    assert (answer["findings"][0]["code"], answer["findings"][0]["index"]) == (code, index)


def _replace(path: Path, old: bytes | None, new: bytes) -> None:
    text = path.read_bytes()
    path.write_bytes(new + text[1:] if old is None else text.replace(old, new, 1))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def test_a_copy_recomputed_and_signed_by_somebody_else_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    forged = MadeLog(tmp_path / "forged", 40, STRANGER)
    code, answer = ask(capsys, "tiles", forged.folder)
    assert (code, answer["findings"][0]["code"]) == (1, "signature")
    code, answer = ask(capsys, "tiles", forged.folder, "--trust", forged.heads[3])
    assert (code, answer["findings"][0]["code"]) == (1, "signature")


def test_an_entry_that_is_there_twice_or_is_no_event_is_found_by_a_deep_look(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, bad in (("duplicate", entry(3)), ("form", b"[]")):
        writer = TileWriter(TileFolder(tmp_path / name))
        for each in (*map(entry, range(9)), bad):
            writer.append(each)
        writer.flush()
        head = notes.Checkpoint(origin=SIGNER.name, size=10, root=writer.tree.root())
        (tmp_path / name / "checkpoint").write_text(SIGNER.sign(head.body()))
        assert ask(capsys, "tiles", tmp_path / name)[0] == 0
        code, answer = ask(capsys, "tiles", tmp_path / name, "--deep")
        assert (code, answer["findings"][0]["code"], answer["findings"][0]["index"]) == (1, name, 9)


def test_a_million_uids_fit_into_little_memory_and_none_is_forgotten() -> None:
    seen = verify.Seen()
    assert all(seen.add(f"u{number}") for number in range(20_000))
    assert not any(seen.add(f"u{number}") for number in range(0, 20_000, 7))
    assert seen.add("another")
    assert sum(each.itemsize * len(each) for each in seen.buckets) == 8 * 20_001


def test_a_kept_checkpoint_of_another_size_is_compared_by_growth_or_not_at_all(
    made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    proof = made.proof(42, 300)
    asked = ["proof", proof, "--entry", proof.with_suffix(".json")]
    hashes = made.growth(77, 300).read_text().split()
    lines, wrong = tmp_path / "growth.txt", tmp_path / "wrong.txt"
    lines.write_text(f"77 300 {' '.join(hashes)}\n")
    wrong.write_text(f"77 300 {' '.join(hashes[::-1])}\n")
    for kept, more, code in (
        (300, [], 0),
        (77, [], 2),
        (77, ["--growth", lines], 0),
        (77, ["--growth", wrong], 1),
        (78, ["--growth", lines], 2),
    ):
        assert ask(capsys, *asked, "--trust", made.heads[kept], *more)[0] == code
    between = ["consistency", made.heads[200], made.heads[300], "--proof", made.growth(200, 300)]
    assert ask(capsys, *between, "--trust", made.heads[200])[0] == 0
    assert ask(capsys, *between, "--trust", made.heads[77])[0] == 2
    assert ask(capsys, *between, "--trust", made.heads[77], "--growth", lines)[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "quorum none\n", "log KEY\n", "log KEY\nquorum w\n", "log KEY\nquorum none\nquorum none\n", "log nothing\nquorum none\n",
        "log KEY\nwitness none WITNESS\nquorum none\n", "log KEY\nwitness w WITNESS\nwitness w WITNESS\nquorum w\n",
        "log KEY\ngroup g any w\nwitness w WITNESS\nquorum g\n", "log KEY\nwitness w WITNESS\ngroup g 2 w\nquorum g\n",
        "log KEY\nwitness w WITNESS\ngroup g 0 w\nquorum g\n", "log KEY\nwitness w WITNESS\ngroup g any\nquorum g\n",
        "log KEY\nwitness w WITNESS\ngroup g 1 w w\nquorum g\n", "log KEY\nwitness w WITNESS\ngroup g any none\nquorum g\n",
        "log KEY\nlogs KEY\nquorum none\n", "log KEY x y\nquorum none\n", "log KEY\nquorum none # all\n",
    ],
)  # fmt: skip
def test_a_policy_that_is_not_understood_answers_nothing(
    made: MadeLog, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    policy = tmp_path / "policy"
    for words, code in (
        (text, 2),
        ("log KEY https://log\nwitness w WITNESS\ngroup g 1 w\ngroup h all g\nquorum h\n", 0),
    ):
        policy.write_text(words.replace("KEY", SIGNER.verifier.text()).replace("WITNESS", WITNESS.verifier.text()))
        assert ask(capsys, "tiles", made.folder, key=("--policy", str(policy)))[0] == code


def test_every_mutation_of_a_proof_is_refused(made: MadeLog, tmp_path: Path) -> None:
    proof = made.proof(42, 300)
    text, payload = proof.read_bytes(), entry(42)
    keys = [verify.read_key(SIGNER.verifier.text())]
    assert verify.verify_proof(text.decode(), payload, keys, [])[1] == 42
    draw = random.Random(20261122)
    signed = text.rindex(b"\xe2\x80\x94 w.example")  # another's signature: nobody asked for it
    extra = text.index(b"extra"), text.index(b"index")
    for _ in range(300):
        place = draw.randrange(signed)
        if extra[0] + 6 <= place < extra[1] - 1:
            continue
        bent = text[:place] + bytes([text[place] ^ (1 << draw.randrange(7))]) + text[place + 1 :]
        try:
            verify.verify_proof(bent.decode(), payload, keys, [])
        except (verify.Finding, UnicodeDecodeError):
            continue
        pytest.fail(f"accepted with another byte at {place}")


@pytest.mark.timeout(60)
def test_it_runs_alone_in_an_interpreter_without_any_package(made: MadeLog, tmp_path: Path) -> None:
    alone = tmp_path / "verify.py"
    shutil.copy(VERIFIER, alone)
    proof = made.proof(42, 300)
    for words, code in (
        (["tiles", made.folder], 0),
        (["proof", proof, "--entry", proof.with_suffix(".json")], 0),
        (["proof", proof, "--entry", VERIFIER], 1),
        (["tiles", tmp_path], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-I", "-S", alone, *words, *KEY], cwd=tmp_path, env={"PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; print(runpy.run_path({str(alone)!r})['HAS_CRYPTOGRAPHY'])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stdout.strip() == "False"
