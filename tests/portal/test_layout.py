"""Where things lie: addresses short enough for a socket, secrets for the owner's eyes only."""

import stat

import environ
import pytest

from portal.layout import LONGEST_SOCKET_FOLDER, keep_private, layout_at, write_secret


def test_a_deep_data_folder_gets_sockets_in_a_short_path(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(str(layout_at(deep).sockets)) <= LONGEST_SOCKET_FOLDER


def test_the_database_url_is_understood_by_the_settings(tmp_path):
    layout = layout_at(tmp_path)
    found = environ.Env.db_url_config(layout.database_url("keystead_application"))
    assert (found["USER"], found["NAME"], found["HOST"]) == ("keystead_application", "keystead", str(layout.sockets))


def test_a_secret_file_is_private_and_never_overwritten(tmp_path):
    path = tmp_path / "secrets" / "one"
    write_secret(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_secret(path, "b")
    assert path.read_text() == "a"


def test_a_private_folder_is_shut_also_where_it_stood_open(tmp_path):
    (opened := tmp_path / "mail").mkdir(mode=0o755)
    for folder in (opened, tmp_path / "logs"):
        keep_private(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
