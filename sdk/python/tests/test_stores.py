"""The system's keyring keeps what a rotating credential must not forget, for one program at a time; a file leaves no other behind."""

import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest
from fake_rotation import FakeRotation
from keystead_client import FileStore, KeyringStore, RotatingCredential
from keystead_client.errors import MissingExtra


class Keyring(types.ModuleType):
    """The two functions of the package `keyring` that are called, over a dictionary."""

    def __init__(self):
        super().__init__("keyring")
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password


@pytest.fixture
def keyring(monkeypatch):
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    return keyring


def test_what_was_saved_is_loaded_under_its_own_name_alone(keyring):
    store, other = KeyringStore("keystead", "orders"), KeyringStore("keystead", "invoices")
    assert store.load() is None
    store.save("first")
    store.save("second")
    assert store.load() == "second"
    assert KeyringStore("keystead", "orders").load() == "second", "another process finds it"
    assert other.load() is None
    assert keyring.kept == {("keystead", "orders"): "second"}


def test_a_step_of_a_rotation_keeps_the_others_of_the_process_waiting(keyring):
    store, inside, went_in = KeyringStore("keystead", "orders"), threading.Event(), threading.Event()

    def step():
        with store.exclusive():
            went_in.set()

    with store.exclusive():
        thread = threading.Thread(target=lambda: (inside.set(), step()))
        thread.start()
        assert inside.wait(30)
        assert not went_in.wait(0.05)
    assert went_in.wait(30)
    thread.join()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtra, match=r"keystead-client\[keyring\]"):
        KeyringStore("keystead", "orders")


def test_a_rotation_is_kept_in_the_keyring_and_a_restart_goes_on_with_it(keystead, keyring):
    rotation = FakeRotation(keystead)

    def rotating():
        store = KeyringStore("keystead", "orders")
        return RotatingCredential(keystead.url, initial=rotation.first, store=store, settling=0)

    credential = rotating()
    rotation.prepare()
    credential.refresh()
    assert credential.current().reveal() == rotation.newest != rotation.first
    assert rotating().current().reveal() == rotation.newest


KILLED = """
import os, signal, sys
from keystead_client import FileStore
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
FileStore(sys.argv[1]).save("the secret of who was killed")
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "key"
    store = FileStore(path)
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False, env=where).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert "secret" in left.read_text()
    store.save("x")
    assert left.exists(), "somebody may be writing it at this moment"
    os.utime(left, times=(time.time() - 3600,) * 2)
    store.save("y")
    assert (left.exists(), store.load()) == (False, "y")


def test_nothing_is_removed_but_what_a_store_of_this_file_left(tmp_path):
    path, elsewhere = tmp_path / "key.1", tmp_path / "elsewhere"
    elsewhere.write_text("x")
    mine = tmp_path / ".key.1.0a_b1c2d.unfinished"
    others = [tmp_path / name for name in (
        ".key.2.abcdefgh.unfinished", ".keyx1.abcdefgh.unfinished", "key.1.abcdefgh.unfinished", ".key.1.original",
        ".key.1.abc.def.g.unfinished", ".key.1.abcdefgh.unfinished.txt", ".key.1.unfinished", ".key.1.abc.unfinished",
    )]  # fmt: skip
    for each in (mine, *others):
        each.write_text("x")
    folder, link = tmp_path / ".key.1.aaaaaaaa.unfinished", tmp_path / ".key.1.bbbbbbbb.unfinished"
    folder.mkdir()
    link.symlink_to(elsewhere)
    others += [folder, link]
    if os.geteuid() == 0:
        others.append(tmp_path / ".key.1.cccccccc.unfinished")
        others[-1].write_text("x")
        os.chown(others[-1], 12345, -1)
    for each in (mine, *others, elsewhere):
        os.utime(each, times=(1, 1), follow_symlinks=False)
    FileStore(path).save("x")
    assert sorted(tmp_path.iterdir()) == sorted([path, elsewhere, *others])


def test_a_folder_that_cannot_be_listed_keeps_nobody_from_storing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "scandir", lambda *_: (_ for _ in ()).throw(PermissionError()))
    FileStore(tmp_path / "key").save("x")
    assert FileStore(tmp_path / "key").load() == "x"
