"""Rewrite the assertions of all test modules once: otherwise each worker of a fresh checkout does it, all at the same time.

pytest has no public way to do this without importing the modules, so these are the private functions of the pinned one, which
its own import hook calls. What they leave in `__pycache__` is what that looks for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import PYC_TAIL, _read_pyc, _rewrite_test, _write_pyc, assertstate_key, get_cache_dir


def rewrite_once(config: pytest.Config) -> None:
    """Leave the rewritten modules where every worker finds them, unless Python shall not keep what it compiled."""
    if sys.dont_write_bytecode:
        return
    state = config.stash[assertstate_key]
    for module in _modules(config):
        kept = get_cache_dir(module) / f"{module.stem}{PYC_TAIL}"
        if _read_pyc(module, kept) is None:
            kept.parent.mkdir(exist_ok=True)
            source_hash, code = _rewrite_test(module, config)
            _write_pyc(state, code, source_hash, kept)


def _modules(config: pytest.Config) -> Iterator[Path]:
    for name in config.getini("testpaths"):
        for pattern in ("conftest.py", "test_*.py"):
            yield from (config.rootpath / name).rglob(pattern)
