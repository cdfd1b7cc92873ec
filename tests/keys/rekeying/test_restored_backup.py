"""A backup from before a rotation needs the keyring of before: with the present one every sound row looks forged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from audit.actor import Actor
from keys.lifecycle.revocation import revoke_key
from keys.models import KeyVersion
from keys.rekeying.rewriting import rewrite
from keys.rekeying.steps import add_keys, forget_key, promote_keys, read_ring
from keys.sealing import mac_holds
from keys.states import RevocationReason
from keys.verification.reasons import Reason
from tests.keys.restoring.test_restore_drill import ask, assert_sound, back_up, command, drill, go_back
from tests.keys.verification.test_verifier import change_behind_the_back
from tests.people import World, acting, issued
from tests.sealers import SealingThread

__all__ = ["drill"]
SHELL = Actor.operator("root")
pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.timeout(240)]


def test_nothing_follows_the_log_under_a_keyring_that_has_forgotten_what_the_backup_needs(
    drill: SealingThread, world: World, tmp_path: Path, ring_file: Path
) -> None:
    """Rows that were brought up then had no row MAC that fits, and none ever again."""
    (revoked, _, one), (_, _, living) = issued(world), issued(world, name="Second")
    former = ring_file.read_bytes()
    drill.settle()
    dump = back_up(tmp_path / "keystead.dump")
    old = read_ring().primary("row-mac").id
    for step in (add_keys, promote_keys):
        step(["row-mac"], actor=SHELL)
    rewrite(actor=SHELL, told=lambda *_: None)
    forget_key("row-mac", old, actor=SHELL)
    revoke_key(revoked, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    go_back(drill, dump)
    command("audit_sealer", "--recover")
    with pytest.raises(CommandError, match=f"keyring lacks: '{old}'"):
        command("follow_audit_log")
    ring_file.write_bytes(former)
    command("follow_audit_log")
    assert (ask(one), ask(living)) == (Reason.COMPROMISED, None)
    assert all(mac_holds(version) for version in KeyVersion.objects.all())
    assert_sound(drill)


def test_what_somebody_forged_keeps_nobody_from_following(
    drill: SealingThread, world: World, tmp_path: Path, superuser: Any
) -> None:
    """A row may name a key that never was."""
    (_, forged, _), (_, _, living) = issued(world), issued(world, name="Second")
    change_behind_the_back(
        superuser, "UPDATE keys_keyversion SET row_mac = 'hmac-sha256:none:00' WHERE id = %s", [forged.pk]
    )
    drill.settle()
    dump = back_up(tmp_path / "keystead.dump")
    issued(world, name="Third")
    go_back(drill, dump)
    command("audit_sealer", "--recover")
    with pytest.raises(CommandError, match="keyring lacks: 'none'"):
        command("follow_audit_log")
    command("follow_audit_log", "--even-so")
    assert ask(living) is None
