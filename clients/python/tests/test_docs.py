"""Runs the code of README.md and of docs/integration.md as a program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from live import World, unique, until, url

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "../../docs/integration.md"])
def test_the_code_of_the_page_works(page: str, tmp_path: Path) -> None:
    # The page takes for granted that p-1 has an account and owns an organization.
    world = World(people=["p-1"])
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    code = "\n".join(blocks).replace("http://127.0.0.1:8080", url()).replace('"atlas"', f'"{unique("atlas")}"')
    program, output = tmp_path / "program.py", tmp_path / "output"
    program.write_text(code)
    # mypy reads the installed package, which says by py.typed that it has types.
    subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", program],
        cwd=tmp_path,
        check=True,
    )
    given = {"ROLLCALL_KEY": world.key, "ORGANIZATION": world.organization}
    with output.open("w") as file:
        process = subprocess.Popen([sys.executable, program], cwd=tmp_path, env=os.environ | given, stdout=file)

    def ended() -> bool:
        # It follows the feed for good, so it has come to its end when it tells of an event.
        assert process.poll() is None, output.read_text()
        return re.search(r"^user\.created usr_", output.read_text(), re.MULTILINE) is not None

    try:
        until(f"the end of {page}", ended)
    finally:
        process.kill()
        process.wait()
