"""The client for TypeScript: its own tests, on the same vectors, and what an installed package would hold."""

import json
import subprocess

from tests.sdk.node import CLIENT, need_node


def test_its_own_tests_pass():
    need_node()
    tests = sorted(map(str, (CLIENT / "dist" / "test").glob("*.test.js")))
    done = subprocess.run(
        # It ends with what failed; a file that does not end is named, not only killed with all the others.
        ["node", "--test", "--test-reporter=spec", "--test-timeout=120000", *tests],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " fail 0\n" in done.stdout
    assert len(tests) == len(list((CLIENT / "test").glob("*.test.ts")))


def test_the_package_depends_on_nothing_and_its_lock_names_no_place():
    package = json.loads((CLIENT / "package.json").read_text())
    assert "dependencies" not in package
    assert package["files"] == ["dist/src", "README.md"]
    assert (CLIENT / "README.md").exists()
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    for name, each in lock["packages"].items():
        assert "resolved" not in each
        assert name == "" or each["integrity"].startswith("sha512-")
