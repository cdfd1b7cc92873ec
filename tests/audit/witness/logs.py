"""A log in a folder that grows and forks at will, and a witness over HTTP."""

import base64
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.notes import COSIGNATURE, Checkpoint, Signer
from audit.tile_proofs import growth_of
from audit.tiles import TileFolder, TileWriter
from audit.witness.base import Head
from audit.witness.cosigner import Cosigner
from audit.witness.server import WitnessServer

SIGNER = Signer.generate("log.example/audit")
WITNESS = Signer.generate("w1.example", COSIGNATURE)


class GrowingLog:
    """Grow a log entry by entry; `twist` makes entries from there on differ from the honest log's."""

    def __init__(self, folder: Path, *, signer: Signer = SIGNER, twist: int | None = None) -> None:
        self.tiles, self.signer, self.twist = TileFolder(folder), signer, twist
        self.writer = TileWriter(self.tiles)

    def grow(self, size: int) -> Head:
        for number in range(self.writer.tree.size, size):
            other = self.twist is not None and number >= self.twist
            self.writer.append(f"entry {number}{' forged' if other else ''}".encode())
        self.writer.flush()
        return Head(note=self.note(), tiles=self.tiles)

    def note(self) -> str:
        head = Checkpoint(origin=self.signer.name, size=self.writer.tree.size, root=self.writer.tree.root())
        return self.signer.sign(head.body())

    def submission(self, old: int) -> bytes:
        size = self.writer.tree.size
        return submission(old, growth_of(self.tiles, old, size, size=size), self.note())


def submission(old: int, proof: list[bytes], note: str) -> bytes:
    return "".join([f"old {old}\n", *(f"{base64.b64encode(each).decode()}\n" for each in proof), "\n", note]).encode()


def cosigner(folder: Path, *, signer: Signer = WITNESS, log: Signer = SIGNER) -> Cosigner:
    return Cosigner(folder, signer, [log.verifier])


@contextmanager
def served(witness: Cosigner) -> Iterator[str]:
    """Serve a witness on a loopback port; give its address."""
    with WitnessServer(("127.0.0.1", 0), witness) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ask(url: str, body: bytes | None = None) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["Content-Type"]
