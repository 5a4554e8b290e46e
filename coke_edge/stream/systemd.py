"""What systemd is told: that the service is ready, alive, stopping. A few datagrams, without a package.

The protocol is that of sd_notify(3); outside of systemd nothing is sent.
"""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send a state, as in `READY=1`, to the service manager; False if there is none or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract names begin with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(1.0)
            connection.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """Within which time systemd wants to hear `WATCHDOG=1` from this process; None if it does not."""
    process = os.environ.get("WATCHDOG_PID")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or (process is not None and process != str(os.getpid())):
        return None
    return int(microseconds) / 1e6 or None
