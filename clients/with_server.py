#!/usr/bin/env python3
"""Runs a command beside a Rollcall of its own, and ends both together.

    with_server.py ROLLCALL COMMAND [ARGUMENT…]

The command finds the service in ROLLCALL_URL, and in ROLLCALL_STAFF_TOKEN a token of its staff.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PATIENCE = 120


def start(rollcall: Path, folder: Path, token: str) -> subprocess.Popen[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROLLCALL_", "PG")) and name not in ("DATABASE_URL", "RUST_LOG")
    }
    environment |= {
        "ROLLCALL_DATA_DIR": str(folder / "data"),
        "ROLLCALL_LISTEN": "127.0.0.1:0",
        "ROLLCALL_STAFF_TOKENS": f"clients={token}",
        "ROLLCALL_WEBHOOK_ALLOW_HTTP": "true",
        "ROLLCALL_WEBHOOK_ALLOW_PRIVATE": "true",
        "RUST_LOG": "warn",
    }
    # In a session of its own: what interrupts the tests must not end the database before the service.
    return subprocess.Popen(
        [rollcall], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def address(service: subprocess.Popen[str]) -> str:
    """Waits until the service says where it is."""
    timer = threading.Timer(PATIENCE, service.kill)
    timer.start()
    assert service.stdout is not None
    for line in service.stdout:
        found = re.match(r"rollcall: API on (http://\S+)", line)
        if found:
            timer.cancel()
            # Read on for good, so that it never waits for a reader.
            threading.Thread(target=service.stdout.read, daemon=True).start()
            return found[1]
    sys.exit("Rollcall didn't start")


def main() -> int:
    rollcall, command = Path(sys.argv[1]).resolve(), sys.argv[2:]
    token = secrets.token_urlsafe(24)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="rollcall-clients-") as folder:
        # PostgreSQL runs as another user where this one is root.
        Path(folder).chmod(0o755)
        service = start(rollcall, Path(folder), token)
        try:
            environment = os.environ | {"ROLLCALL_URL": address(service), "ROLLCALL_STAFF_TOKEN": token}
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            service.terminate()
            try:
                service.wait(30)
            except subprocess.TimeoutExpired:
                service.kill()


if __name__ == "__main__":
    sys.exit(main())
