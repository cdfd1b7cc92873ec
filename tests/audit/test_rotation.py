"""The log's key changes: announced under the old one, both for a while, then the old one no more; killed at any step it goes on."""

import base64
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from audit import clock, log, verify
from audit.events import LogKeyAnnounced
from audit.inspection import inspect_log
from audit.keywrap.base import WrapError, load_wrap
from audit.log_keys import linked
from audit.merkle import leaf_hash
from audit.models import AuditEvent
from audit.notes import Checkpoint, NoteError, Proof, Signer, Verifier, open_checkpoint
from audit.pins import Pins
from audit.rotation import Rotation
from audit.sealer import Sealer
from audit.sealer_folder import SealerFolder, create_key
from audit.signing_keys import FolderError, SigningKeys
from audit.statements import KEY_ANNOUNCED, Statement, open_statement
from audit.tiles import TileFolder
from tests.audit.sealing import fail_at, write_events
from tests.audit.things import CLOCK

NAME = "keystead/audit-log/test"
pytestmark = pytest.mark.usefixtures("committed_db")


class Log:
    """A log with its sealer, which is started anew as often as a test likes."""

    def __init__(self, path: Path) -> None:
        self.folder = SealerFolder(path)
        self.keys = SigningKeys.of(path)
        if not self.keys.exist():
            create_key(self.folder, name=NAME)
        self.start()

    def start(self) -> None:
        first, *beside = self.keys.held()
        self.sealer = Sealer(self.folder, first, beside=beside)
        self.rotation = Rotation(self.sealer, self.keys)

    def round(self) -> bool:
        write_events(2)
        self.sealer.seal()
        return self.rotation.step()

    def rotate(self) -> Verifier:
        newer = self.keys.make_successor().verifier
        while self.rotation.announced_at() is None:
            self.round()
        return newer

    def retire(self) -> None:
        older = self.keys.held()[0]
        self.keys.mark(older, "retiring")
        while older.verifier.id.hex() not in self.keys.marked("retired"):
            self.round()
        self.round()

    def head(self) -> str:
        state = self.folder.read_state()
        assert state is not None
        return state.note

    def inspect(self, *pinned: Verifier) -> list[str]:
        verifiers = linked(pinned, self.folder.links())
        head = open_checkpoint(self.head(), verifiers)
        pins = Pins(verifiers=verifiers, tiles=TileFolder(self.folder.path / "tiles"), tiles_head=head)
        return [str(each) for each in inspect_log(pins).findings]


@pytest.fixture
def sealed(tmp_path: Path) -> Log:
    log_ = Log(tmp_path / "sealer")
    log_.round()
    return log_


def test_either_key_leads_to_the_other_and_vouches_for_its_own_checkpoints_only(sealed: Log) -> None:
    old = sealed.sealer.signer.verifier
    before = sealed.head()
    new = sealed.rotate()
    during = sealed.head()
    assert sealed.folder.verifier_file.read_text().split() == [old.text(), new.text()]
    sealed.retire()
    after = sealed.head()
    assert sealed.folder.verifier_file.read_text().split() == [new.text()]
    for pinned in (old, new):
        trusted = linked([pinned], sealed.folder.links())
        assert {each.key for each in trusted} == {old.key, new.key}
        for note in (before, during, after):
            open_checkpoint(note, trusted)
        assert sealed.inspect(pinned) == []
    with pytest.raises(NoteError):
        open_checkpoint(after, [old])
    # What the old key signs after its end, and the new one before its beginning, is refused.
    trusted = linked([old], sealed.folder.links())
    first, last = (Proof.parse(each).index for each in sealed.folder.links())
    thief = Signer(name=NAME, private=sealed_first_key(sealed).private)
    late = thief.sign(Checkpoint(origin=NAME, size=last + 5, root=b"r" * 32).body())
    with pytest.raises(NoteError):
        open_checkpoint(late, trusted)
    early = sealed.sealer.signer.sign(Checkpoint(origin=NAME, size=first, root=b"r" * 32).body())
    with pytest.raises(NoteError):
        open_checkpoint(early, trusted)


def sealed_first_key(sealed: Log) -> Signer:
    """The retired key's file cannot be read by its owner any more; root, or who changes the mode, still can."""
    assert sealed.keys.first.stat().st_mode & 0o777 == 0
    sealed.keys.first.chmod(0o400)
    text = sealed.keys.first.read_text()
    sealed.keys.first.chmod(0)
    return Signer.parse(text)


def test_two_rotations_after_each_other_are_followed_from_the_first_key_to_the_last(sealed: Log) -> None:
    first = sealed.sealer.signer.verifier
    for _ in range(2):
        sealed.rotate()
        sealed.retire()
    last = sealed.sealer.signer.verifier
    assert sealed.inspect(first) == sealed.inspect(last) == []
    assert len(linked([first], sealed.folder.links())) == 3


def test_started_anew_after_every_step_it_goes_on(sealed: Log) -> None:
    old = sealed.sealer.signer.verifier
    sealed.keys.make_successor()
    for _ in range(8):
        sealed.start()
        sealed.rotation.step()
        write_events(1)
        sealed.start()
        sealed.sealer.seal()
    assert sealed.keys.make_successor().verifier == sealed.keys.held()[1].verifier  # no third one
    sealed.keys.mark(sealed.keys.held()[0], "retiring")
    for _ in range(8):
        sealed.start()
        sealed.rotation.step()
        write_events(1)
        sealed.start()
        sealed.sealer.seal()
    assert sealed.inspect(old) == []
    assert len(sealed.keys.held()) == 1
    assert AuditEvent.objects.with_action("log.key-announced", "log.key-retired").count() == 2


@pytest.mark.parametrize("step", range(1, 12))
def test_a_disk_that_fails_at_any_step_leaves_nothing_half_done(
    sealed: Log, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    old = sealed.sealer.signer.verifier
    sealed.keys.make_successor()
    sealed.keys.mark(sealed.keys.held()[0], "retiring")
    fail_at(step, monkeypatch)
    for _ in range(12):
        try:
            sealed.round()
        except OSError:
            sealed.start()
    assert sealed.keys.held()[0].verifier != old
    assert sealed.inspect(old) == []


def test_a_key_that_was_never_announced_by_the_log_leads_nowhere(sealed: Log) -> None:
    """Whoever may write events may write this one, but cannot sign its statement; it is found, and changes nothing."""
    old = sealed.sealer.signer
    thief, other = Signer.generate(NAME), Signer.generate(NAME)
    statements = [
        Statement(kind=KEY_ANNOUNCED, origin=NAME, facts=(old.verifier.text(), thief.verifier.text())).signed([thief]),
        Statement(kind=KEY_ANNOUNCED, origin=NAME, facts=(other.verifier.text(), thief.verifier.text())).signed(
            [other]
        ),
    ]
    for statement in statements:
        with transaction.atomic():
            log.record(LogKeyAnnounced(target_id="log", statement=statement), actor=CLOCK, at=clock.now())
    sealed.round()
    forged = thief.sign(open_checkpoint(sealed.head(), [old.verifier]).body())
    with pytest.raises(NoteError):
        open_checkpoint(forged, linked([old.verifier], sealed.folder.links()))
    assert [each.partition(" at ")[0] for each in sealed.inspect(old.verifier)] == ["key", "key"]
    # A true rotation is not led astray by what others wrote.
    new = sealed.rotate()
    assert {each.key for each in linked([old.verifier], sealed.folder.links())} == {old.verifier.key, new.key}


def test_a_link_that_was_changed_is_refused_and_one_of_another_log_is_left_aside(sealed: Log, tmp_path: Path) -> None:
    old = sealed.sealer.signer.verifier
    sealed.rotate()
    (link,) = sealed.folder.links()
    proof = Proof.parse(link)
    other = Proof(index=proof.index + 1, hashes=proof.hashes, checkpoint=proof.checkpoint, extra=proof.extra)
    with pytest.raises(NoteError, match="not in the log"):
        linked([old], [other.text()])
    edited = Proof(
        index=proof.index, hashes=proof.hashes, checkpoint=proof.checkpoint, extra=proof.extra.replace(b"high", b"lows")
    )
    with pytest.raises(NoteError, match="not in the log"):
        linked([old], [edited.text()])
    stranger = Signer.generate("other/log").verifier
    assert linked([stranger], [link]) == [stranger]


def test_a_stolen_old_key_announces_no_successor_to_those_who_pinned_the_true_one(sealed: Log) -> None:
    stolen = sealed.sealer.signer
    sealed.rotate()
    (true_link,) = sealed.folder.links()
    sealed.retire()
    new = sealed.sealer.signer.verifier
    thief = Signer.generate(NAME)
    text = Statement(kind=KEY_ANNOUNCED, origin=NAME, facts=(stolen.verifier.text(), thief.verifier.text())).signed(
        [stolen, thief]
    )
    with transaction.atomic():
        log.record(LogKeyAnnounced(target_id="log", statement=text), actor=CLOCK, at=clock.now())
        payload = bytes(AuditEvent.objects.latest("id").payload)
        transaction.set_rollback(True)
    fork = stolen.sign(Checkpoint(origin=NAME, size=1, root=leaf_hash(payload)).body())
    forged = Proof(index=0, hashes=(), checkpoint=fork, extra=payload).text()
    assert thief.verifier.key not in {each.key for each in linked([new], [true_link, forged])}
    # Whoever still pins the stolen key is at its holder's mercy: that is why the new one is pinned after a rotation.
    assert thief.verifier.key in {each.key for each in linked([stolen.verifier], [forged])}


def test_the_command_rotates_and_retires_and_a_running_sealer_is_not_needed(
    sealed: Log, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KEYSTEAD_SEALER_FOLDER, settings.KEYSTEAD_SEALER_KEY_FILE = sealed.folder.path, sealed.keys.first
    with pytest.raises(CommandError, match="No other key"):
        call_command("audit_sealer", "--retire-key")
    out = StringIO()
    call_command("audit_sealer", "--rotate-key", stdout=out)
    new = Verifier.parse(out.getvalue().splitlines()[1])
    call_command("audit_sealer", "--rotate-key", stdout=out)
    assert out.getvalue().count(new.text()) == 2
    with pytest.raises(CommandError, match="Both keys sign until"):
        call_command("audit_sealer", "--retire-key")
    call_command("audit_sealer", "--retire-key", "--at-once", stdout=out)
    assert "signs no more" in out.getvalue()
    assert sealed.keys.held()[0].verifier == new
    call_command("verify_audit_log", stdout=out)
    with pytest.raises(CommandError, match="never replaced"):
        call_command("audit_sealer", "--generate-key")


def test_a_wrapped_key_is_no_key_without_its_key_encryption_key(tmp_path: Path, settings: Any) -> None:
    kek = base64.b64encode(os.urandom(32)).decode()
    wrap = load_wrap("audit.keywrap.kek.Kek", {"kek": kek})
    folder = SealerFolder(tmp_path / "sealer")
    verifier = create_key(folder, name=NAME, wrap=wrap)
    assert "PRIVATE" not in folder.key_file.read_text()
    keys = SigningKeys.of(folder.path, wrap=wrap)
    assert keys.held()[0].verifier == verifier
    assert "PRIVATE" not in (keys.folder / "0001.key").read_text() if keys.make_successor() else False
    source = tmp_path / "kek"
    source.write_text(kek)
    by_command = load_wrap("audit.keywrap.kek.Kek", {"command": f"cat {source}"})
    assert SigningKeys.of(folder.path, wrap=by_command).held()[0].verifier == verifier
    for other in (
        load_wrap(),
        load_wrap("audit.keywrap.kek.Kek", {"kek": base64.b64encode(b"x" * 32).decode()}),
        load_wrap("audit.keywrap.kek.Kek", {"kek": "short"}),
        load_wrap("audit.keywrap.kek.Kek", {}),
        load_wrap("audit.keywrap.kek.Kek", {"command": "false"}),
    ):
        with pytest.raises(FolderError):
            SigningKeys.of(folder.path, wrap=other).held()
    for path in ("audit.keywrap.none.None", "audit.notes.Signer", "x"):
        with pytest.raises(WrapError):
            load_wrap(path)
    plain = create_key(SealerFolder(tmp_path / "plain"))
    assert plain
    with pytest.raises(FolderError, match="not wrapped"):
        SigningKeys.of(tmp_path / "plain", wrap=wrap).held()


def test_a_statement_is_no_checkpoint_and_says_what_it_is_about() -> None:
    signer = Signer.generate(NAME)
    text = Statement(kind=KEY_ANNOUNCED, origin=NAME, facts=("a", "b")).signed([signer])
    assert open_statement(text, [signer.verifier], kind=KEY_ANNOUNCED).facts == ("a", "b")
    with pytest.raises(NoteError):
        open_checkpoint(text, [signer.verifier])
    with pytest.raises(NoteError, match="not recovered"):
        open_statement(text, [signer.verifier], kind="recovered")
    for broken in ("", text.replace("\na\n", "\n"), text.replace("v1", "v2"), text.replace("\nb\n", "\nc\n")):
        with pytest.raises(NoteError):
            open_statement(broken, [signer.verifier], kind=KEY_ANNOUNCED)
    with pytest.raises(NoteError):
        Statement(kind=KEY_ANNOUNCED, origin=NAME, facts=("a\nb", "c")).body()


def test_the_verifier_follows_the_links_beside_the_tiles_and_refuses_forged_ones(
    sealed: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, tiles = sealed.sealer.signer.verifier, sealed.folder.path / "tiles"
    sealed.rotate()
    sealed.retire()
    new = sealed.sealer.signer.verifier

    def answer(*words: str) -> int:
        return verify.main([words[0], str(tiles), *words[1:]])

    assert answer("tiles", "--key", old.text(), "--deep") == 0
    assert answer("tiles", "--key", new.text()) == 0
    assert answer("tiles", "--key", str(sealed.folder.verifier_file)) == 0
    links = sorted((tiles / "keys").iterdir())
    texts = [each.read_text() for each in links]
    assert {each.raw for each in verify.follow_keys([verify.read_key(old.text())], texts)} == {old.key, new.key}
    for each in links:
        each.unlink()
    assert answer("tiles", "--key", old.text()) == 1  # nothing leads to the key that signed
    assert (
        answer("tiles", "--key", old.text(), *(word for each in texts for word in ("--link", _kept(tmp_path, each))))
        == 0
    )
    for mutated in (texts[0].replace("\nextra ", "\nextra AAAA"), texts[0].replace("\nindex ", "\nindex 1")):
        assert answer("tiles", "--key", old.text(), "--link", _kept(tmp_path, mutated)) == 1
    capsys.readouterr()


def _kept(folder: Path, text: str) -> str:
    path = folder / f"{abs(hash(text))}.tlog-proof"
    path.write_text(text)
    return str(path)
