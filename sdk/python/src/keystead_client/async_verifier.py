"""Ask Keystead from an event loop without blocking it: the same verifier, in threads of its own."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from keystead_client.credentials import AnyCredential
from keystead_client.signing import SignedRequest
from keystead_client.verdicts import NOBODY_KNOWN, Client, Verdict
from keystead_client.verifier import Question, Verifier


class AsyncVerifier:
    """`Verifier` for asyncio: as many questions at once as `connections`; more of them wait.

    Threads, because the standard library has no asynchronous HTTP client and this package brings no dependency. An
    in-process `LocalVerifier` never blocks and needs no wrapping. `timeout`: seconds that Keystead may be silent.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: AnyCredential,
        timeout: float = 2.0,
        connections: int = 16,
        tls: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        self._verifier = Verifier(
            url,
            credential=credential,
            timeout=timeout,
            connections=connections,
            tls=tls,
            allow_plain_http=allow_plain_http,
        )
        self._threads = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="keystead")

    async def verify(
        self, text: str | None, /, *, scopes: Sequence[str] = (), method: str = "", client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about one key."""
        ask = functools.partial(self._verifier.verify, text, scopes=scopes, method=method, client=client)
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def verify_many(self, questions: Iterable[Question]) -> list[Verdict]:
        """Decide about many keys, a hundred in a request."""
        asked = list(questions)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verifier.verify_many, asked)

    async def verify_signature(
        self, request: SignedRequest, *, scopes: Sequence[str] = (), client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about a request signed by RFC 9421."""
        ask = functools.partial(self._verifier.verify_signature, request, scopes=scopes, client=client)
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def close(self) -> None:
        """Let the running questions end, and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        self._verifier.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
