"""The keyring of the operating system keeps what a rotating credential must not forget, for one program at a time."""

import sys
import threading
import types

import pytest
from fake_rotation import FakeRotation
from keystead_client import KeyringStore, RotatingCredential
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
        assert inside.wait(5)
        assert not went_in.wait(0.05)
    assert went_in.wait(5)
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
