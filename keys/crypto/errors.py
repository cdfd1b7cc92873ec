"""Name what can go wrong with a key text, a seal, a keyring or a signature.

Messages never quote the input.
"""


class CryptoError(Exception):
    """Base of every refusal in this room."""


class Malformed(CryptoError):
    """The text or bytes do not have the form they must have; `code` says which rule failed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class IntegrityFailed(CryptoError):
    """A ciphertext, its context or its key is not the one it was made with."""


class UnknownKey(CryptoError):
    """Something names a key that this keyring does not hold."""


class UnknownAlgorithm(CryptoError):
    """Something names an algorithm that Keystead does not speak."""


class KeyringUnusable(CryptoError):
    """The keyring file is missing, readable by others, or not a keyring."""


class AssertionRefused(CryptoError):
    """A passkey's signature does not prove this decision; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
