import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle
from audit.merkle import ProofError, Tree, leaf_hash

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "merkle_tree.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(each)) for each in VECTORS["leaves"]]
SIZES = st.integers(min_value=1, max_value=300)


def oracle_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, 2.1.1, word for word: slow and plainly right."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + oracle_root(leaves[:k]) + oracle_root(leaves[k:])).digest()


def oracle_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D_n) of RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*oracle_path(m, leaves[:k]), oracle_root(leaves[k:])]
    return [*oracle_path(m - k, leaves[k:]), oracle_root(leaves[:k])]


def oracle_subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D_n, b) of RFC 9162, 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [oracle_root(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*oracle_subproof(m, leaves[:k], whole), oracle_root(leaves[k:])]
    return [*oracle_subproof(m - k, leaves[k:], False), oracle_root(leaves[:k])]


def numbered(size: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(size)]


def stored(leaves: list[bytes]) -> dict[merkle.NodeId, bytes]:
    """Every full subtree, as the sealer stores them."""
    nodes = {(0, n): each for n, each in enumerate(leaves)}
    tree = Tree()
    for each in leaves:
        nodes.update(tree.append(each))
    return nodes


def test_the_roots_are_those_of_the_reference() -> None:
    tree = Tree()
    assert tree.root().hex() == VECTORS["empty_root"]
    for leaf, root in zip(LEAVES, VECTORS["roots"], strict=True):
        tree.extend([leaf])
        assert tree.root().hex() == root


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda case: f"{case['index']}in{case['size']}")
def test_inclusion_proofs_are_those_of_the_worked_example(case: dict) -> None:
    assert merkle.inclusion_ranges(case["index"], case["size"]) == [tuple(each) for each in case["nodes"]]


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda case: f"{case['old']}to{case['new']}")
def test_consistency_proofs_are_those_of_the_worked_example(case: dict) -> None:
    assert merkle.consistency_ranges(case["old"], case["new"]) == [tuple(each) for each in case["nodes"]]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_every_inclusion_proof_is_that_of_the_definition_and_verifies(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    nodes = stored(leaves)
    index = data.draw(st.integers(0, size - 1))
    ranges = merkle.inclusion_ranges(index, size)
    assert merkle.nodes_of(ranges) <= nodes.keys()
    proof = merkle.proof_of(ranges, nodes.__getitem__)
    root = oracle_root(leaves)
    assert proof == oracle_path(index, leaves)
    merkle.verify_inclusion(leaves[index], index, size, proof, root)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(leaf_hash(b"another"), index, size, proof, root)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(leaves[index], index, size, [*proof, root], root)
    if size > 1:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(leaves[index], index, size, proof[:-1], root)
        with pytest.raises(ProofError):
            merkle.verify_inclusion(leaves[index], (index + 1) % size, size, proof, root)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_every_consistency_proof_is_that_of_the_definition_and_verifies(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    old = data.draw(st.integers(1, size))
    proof = merkle.proof_of(merkle.consistency_ranges(old, size), stored(leaves).__getitem__)
    before, after = oracle_root(leaves[:old]), oracle_root(leaves)
    assert proof == oracle_subproof(old, leaves, True)
    merkle.verify_consistency(old, size, before, after, proof)
    for wrong in ((hashlib.sha256(before).digest(), after), (before, hashlib.sha256(after).digest())):
        with pytest.raises(ProofError):
            merkle.verify_consistency(old, size, *wrong, proof)
    for bent in ([*proof, after], proof[:-1] if proof else [after]):
        with pytest.raises(ProofError):
            merkle.verify_consistency(old, size, before, after, bent)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600))
def test_a_tree_that_is_stopped_and_resumed_has_the_same_root(first: int, then: int) -> None:
    leaves = numbered(first + then)
    tree = Tree()
    tree.extend(leaves[:first])
    resumed = Tree(tree.size, list(tree.peaks))
    resumed.extend(leaves[first:])
    assert resumed.root() == oracle_root(leaves)
    assert tree.size == first


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600))
def test_leaves_added_at_once_are_those_added_one_by_one(first: int, then: int) -> None:
    leaves = numbered(first + then)
    slow, quick = Tree(), Tree()
    quick.extend(leaves[:first])
    for each in leaves[:first]:
        list(slow.append(each))
    nodes = {node: value for each in leaves[first:] for node, value in slow.append(each)}
    rows = quick.grow(leaves[first:])
    assert {(level, at): node for level, start, row in rows for at, node in enumerate(row, start)} == nodes
    assert quick == slow


def test_the_ends_of_the_range_are_refused_or_trivial() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 3)):
        with pytest.raises(ProofError):
            merkle.inclusion_ranges(index, size)
        with pytest.raises(ProofError):
            merkle.root_from_inclusion(b"", index, size, [])
    with pytest.raises(ProofError):
        merkle.consistency_ranges(4, 3)
    with pytest.raises(ValueError, match="number of peaks"):
        Tree(3, [b""])
    root = oracle_root(numbered(3))
    merkle.verify_consistency(0, 3, merkle.EMPTY_ROOT, root, [])
    merkle.verify_consistency(3, 3, root, root, [])
    for old, new, one, two, proof in (
        (3, 3, root, merkle.EMPTY_ROOT, []),
        (3, 3, root, root, [root]),
        (0, 3, root, root, []),
        (4, 3, root, root, []),
        (1, 3, root, root, []),
        (3, 5, root, root, []),
    ):
        with pytest.raises(ProofError):
            merkle.verify_consistency(old, new, one, two, proof)
