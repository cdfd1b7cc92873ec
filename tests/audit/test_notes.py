import json
from pathlib import Path

import pytest

from audit.notes import COSIGNATURE, Checkpoint, Note, NoteError, Proof, Signer, Verifier, open_checkpoint

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "signed_note.json").read_text())
REFERENCE = VECTORS["reference"]
ROOT = bytes.fromhex(VECTORS["checkpoint"]["root"])


def head(signer: Signer, size: int = 3) -> str:
    return signer.sign(Checkpoint(origin=signer.name, size=size, root=ROOT).body())


def test_the_reference_note_verifies_and_is_made_again_byte_by_byte() -> None:
    verifier = Verifier.parse(REFERENCE["verifier"])
    text = f"{REFERENCE['body']}\n\u2014 PeterNeumann {REFERENCE['signature']}\n"
    Note.parse(text).verified_by(verifier)
    signer = Signer.parse(REFERENCE["private"])
    assert signer.verifier == verifier
    assert signer.sign(REFERENCE["body"]) == text
    assert verifier.text() == REFERENCE["verifier"]
    assert signer.secret_text() == REFERENCE["private"]
    assert "AYEK" not in repr(signer)


def test_a_checkpoint_has_the_text_of_the_specification() -> None:
    vector = VECTORS["checkpoint"]
    checkpoint = Checkpoint(origin=vector["origin"], size=vector["size"], root=ROOT)
    assert checkpoint.body() == vector["body"]
    assert Checkpoint.parse(vector["body"]) == checkpoint
    assert Checkpoint.parse(vector["body"] + "an extension\n") == checkpoint


@pytest.mark.parametrize(
    "body",
    ["", "a\n", "a\n1\n", "a\n01\n{root}\n", "a\n-1\n{root}\n", "a\n1\n{root}", "a\n1\nAAAA\n", "a\n1\n{root}\n\n",
     "\n1\n{root}\n", "a\n1\n{root} \n", "a\n\u0661\n{root}\n"],
)  # fmt: skip
def test_a_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(body.format(root=VECTORS["checkpoint"]["body"].split("\n")[2]))


def test_a_checkpoint_counts_only_under_the_pinned_key_and_its_own_name() -> None:
    signer = Signer.generate("log.example/audit")
    assert open_checkpoint(head(signer), [signer.verifier]).size == 3
    stranger, namesake = Signer.generate("other.example"), Signer.generate("log.example/audit")
    body = Checkpoint(origin=signer.name, size=3, root=ROOT).body()
    for forged in (
        head(namesake),
        stranger.sign(body),
        head(signer).replace("\n3\n", "\n4\n"),
        body + "\n" + namesake.signature_line(body).replace(namesake.verifier.text(), ""),
    ):
        with pytest.raises(NoteError):
            open_checkpoint(forged, [signer.verifier])
    with pytest.raises(NoteError):
        open_checkpoint(head(stranger), [signer.verifier])
    with pytest.raises(NoteError):
        open_checkpoint(head(signer), [])
    both = head(signer) + namesake.signature_line(body)
    assert open_checkpoint(both, [signer.verifier]).root == ROOT


def test_a_witness_signs_the_time_too_and_its_key_is_no_key_of_the_log() -> None:
    log, witness = Signer.generate("log.example/audit"), Signer.generate("w.example", COSIGNATURE)
    body = Checkpoint(origin=log.name, size=3, root=ROOT).body()
    note = head(log) + witness.signature_line(body, at=1_679_315_147)
    assert Note.parse(note).verified_by(witness.verifier) == 1_679_315_147
    assert open_checkpoint(note, [log.verifier]).size == 3
    line = witness.signature_line(body, at=1_679_315_147)
    late = line.replace(line.split(" ")[2][7:14], "AAAAAAA")
    with pytest.raises(NoteError):
        Note.parse(head(log) + late).verified_by(witness.verifier)
    poser = Signer.generate(log.name, COSIGNATURE)
    with pytest.raises(NoteError):
        open_checkpoint(body + "\n" + poser.signature_line(body, at=1), [poser.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "", "body\n", "body\n\n", "body\n\nno dash\n", "body\n\n\u2014 name AAAA\n", "b\x00\n\n\u2014 a AAAAAAAA\n",
        "body\n\n\u2014 na+me AAAAAAAA\n", "body\n\n\u2014 name AAAAAAA\n", "body\n\n\u2014 name AAAAAAAB====\n",
        "body\n\n\u2014 name AAAAAAAA", "body\n\n\u2014 name AAAAAAAA \n", "\n\n\u2014 n AAAAAAAA\n",
    ],
)  # fmt: skip
def test_a_text_that_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Note.parse(text)


@pytest.mark.parametrize(
    "text", ["", "a", "a+b+c", "a+00000000+" + "A" * 44, REFERENCE["verifier"].replace("c74f", "c74e")]
)
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(text)
    with pytest.raises(NoteError):
        Signer.parse("PRIVATE+KEY+" + text)
    with pytest.raises(NoteError):
        Signer.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b"])
def test_a_name_that_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        Signer.generate(name)


def test_a_proof_is_written_and_read_again() -> None:
    signer = Signer.generate("log.example/audit")
    proof = Proof(index=2, hashes=(ROOT, ROOT), checkpoint=head(signer), extra=b"\x00extra")
    assert Proof.parse(proof.text()) == proof
    assert proof.text().startswith("c2sp.org/tlog-proof@v1\nextra AGV4dHJh\nindex 2\nsFod")
    bare = Proof(index=0, hashes=(), checkpoint=head(signer, 1))
    assert Proof.parse(bare.text()) == bare
    for wrong in ("", "x", proof.text().replace("@v1", "@v2"), proof.text().replace("index 2", "index 02"),
                  proof.text().replace("index 2\n", ""), proof.text().replace("sFod", "FFFF", 1).replace("08=", "0=", 1)):  # fmt: skip
        with pytest.raises(NoteError):
            Proof.parse(wrong)
