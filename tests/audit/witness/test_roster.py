"""The setting names witnesses by dotted path, and one that names none is refused."""

import pytest

from audit.witness.roster import RosterError, any_elsewhere, read_roster, witnesses_of
from tests.audit.witness.logs import SIGNER, WITNESS


def test_the_setting_names_witnesses_by_dotted_path() -> None:
    text = (
        '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "https://w.example/", "vkey": "%s", "every": 7},'
        ' {"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "%s", "name": "b", "elsewhere": false}]'
        % ((WITNESS.verifier.text(),) * 2)
    )
    one, two = witnesses_of(text)
    assert (one.name, one.every, one.is_elsewhere) == ("w1.example", 7.0, True)
    assert (two.name, two.every, two.is_elsewhere) == ("b", 10.0, False)
    assert any_elsewhere(read_roster(text))
    assert not any_elsewhere(read_roster(text)[1:])
    assert witnesses_of("") == []


@pytest.mark.parametrize("text", [
    "{", "{}", "[1]", "[{}]", '[{"backend": "nowhere.at.All"}]', '[{"backend": "audit.notes.Signer"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "file:///etc/passwd", "vkey": "KEY"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "/no/such/file"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "LOG"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "KEY", "else": 1}]',
    (
        '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "KEY"},'
        ' {"backend": "audit.witness.http_witness.HttpWitness", "url": "http://v", "vkey": "KEY"}]'
    ),
])  # fmt: skip
def test_a_setting_that_names_no_witness_is_refused(text: str) -> None:
    with pytest.raises(RosterError):
        witnesses_of(text.replace("KEY", WITNESS.verifier.text()).replace("LOG", SIGNER.verifier.text()))
