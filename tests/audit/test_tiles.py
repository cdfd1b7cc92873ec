import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.merkle import Tree, leaf_hash
from audit.tiles import TileConflict, TileFolder, TileMissing, TileWriter, bundle, tile_path, unbundle, write_whole

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "signed_note.json").read_text())


def entries(size: int, start: int = 0) -> list[bytes]:
    return [f"entry {n}".encode() * (n % 3) for n in range(start, size)]


def filled(folder: Path, *steps: int) -> TileFolder:
    """Write tiles up to each size in turn, each time by a writer that knows nothing but the disk."""
    tiles, size = TileFolder(folder), 0
    for step in steps:
        writer = TileWriter.at(tiles, size)
        for each in entries(step, size):
            writer.append(each)
        writer.flush()
        size = step
    return tiles


@pytest.mark.parametrize("case", VECTORS["tiles"], ids=lambda case: case["path"])
def test_paths_are_those_of_the_specification(case: dict) -> None:
    assert tile_path(case["level"], case["index"], case["width"]) == case["path"]


def test_entries_come_out_of_a_bundle_as_they_went_in_and_a_torn_one_is_refused() -> None:
    some = [b"", b"a", b"b" * 65_535]
    assert unbundle(bundle(some), 3) == some
    for torn, count in ((bundle(some)[:-1], 3), (bundle(some), 2), (b"\x00", 1)):
        with pytest.raises(TileMissing):
            unbundle(torn, count)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=5))
def test_tiles_hold_the_log_whatever_the_steps(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    steps = sorted(set(steps))
    size = steps[-1]
    tiles = filled(tmp_path_factory.mktemp("tiles"), *steps)
    tree = Tree()
    tree.extend(map(leaf_hash, entries(size)))
    assert TileWriter.at(tiles, size).tree == tree
    assert list(tiles.entries(size)) == entries(size)
    assert list(tiles.entries(size, size // 2)) == entries(size, size // 2)
    # What a smaller state remembers can be taken up although fuller tiles took the place of its own.
    earlier = Tree()
    earlier.extend(map(leaf_hash, entries(steps[0])))
    assert TileWriter.at(tiles, steps[0]).tree == earlier


def test_the_second_level_is_written_too_and_partial_tiles_go_when_full_ones_come(tmp_path: Path) -> None:
    size = 65_536 + 3
    writer = TileWriter(TileFolder(tmp_path))
    tree = Tree()
    for number in range(size):
        entry = number.to_bytes(3, "big")
        writer.append(entry)
        tree.extend([leaf_hash(entry)])
        if number == 65_500:
            writer.flush()
    writer.flush()
    assert not (tmp_path / "tile/1/000.p").exists()
    assert (tmp_path / "tile/1/000").stat().st_size == 256 * 32
    assert (tmp_path / "tile/2/000.p/1").read_bytes() == tree.peaks[0]
    assert TileWriter.at(TileFolder(tmp_path), size).tree == tree


def test_nothing_is_on_disk_before_it_is_asked_for(tmp_path: Path) -> None:
    writer = TileWriter(TileFolder(tmp_path))
    for each in entries(300):
        writer.append(each)
    assert list(tmp_path.iterdir()) == []
    writer.settle()
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()) == [
        "tile/0/000", "tile/entries/000",
    ]  # fmt: skip


def test_a_tile_is_written_again_only_as_it_is(tmp_path: Path) -> None:
    tiles = filled(tmp_path, 5)
    tiles.write([(0, 0, 5, (tmp_path / "tile/0/000.p/5").read_bytes())])
    with pytest.raises(TileConflict):
        tiles.write([(0, 0, 5, b"x" * 160)])
    assert not list(tmp_path.rglob(".*"))


def test_a_missing_or_torn_tile_is_named(tmp_path: Path) -> None:
    tiles = filled(tmp_path, 300)
    (tmp_path / "tile/0/001.p/44").write_bytes(b"short")
    with pytest.raises(TileMissing, match=r"tile/0/001\.p/44"):
        TileWriter.at(tiles, 300)
    (tmp_path / "tile/entries/000").unlink()
    with pytest.raises(TileMissing, match="tile/entries/000"):
        list(tiles.entries(300))


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "state", "one")
    write_whole(tmp_path / "state", "two")
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert (tmp_path / "state").read_text() == "two"
