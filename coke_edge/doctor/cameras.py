"""Cameras: what Video4Linux lists, and whether this user may open them."""

from __future__ import annotations

import dataclasses

from coke_edge.doctor import remedy
from coke_edge.doctor.finding import Finding
from coke_edge.doctor.jetson import Jetson
from coke_edge.doctor.machine import Machine
from coke_edge.doctor.packages import Package

# A Jetson's capture of CSI sensors names its nodes so: `vi-output, imx219 9-0010`.
CSI = "vi-output"
ARGUS_SOCKET = "/tmp/argus_socket"  # of nvargus-daemon, which every reader of a CSI sensor talks to


@dataclasses.dataclass(frozen=True)
class Camera:
    """A node that gives pictures."""

    node: str  # /dev/video0
    name: str
    kind: str  # csi, or v4l2 for all others
    accessible: bool


@dataclasses.dataclass(frozen=True)
class Cameras:
    """All of them, and what stands in their way."""

    found: tuple[Camera, ...]
    findings: tuple[Finding, ...]


def probe(machine: Machine, jetson: Jetson | None, opencv: Package) -> Cameras:
    """Read /sys/class/video4linux (Documentation/ABI of the Linux kernel): a name and an index for each node."""
    found = []
    for folder in machine.find("/sys/class/video4linux", "video[0-9]*"):
        # Node 1 of a USB camera carries metadata; pictures come from index 0.
        if machine.read(f"{folder}/index") not in (None, "0"):
            continue
        node = f"/dev/{folder.rsplit('/', 1)[1]}"
        name = machine.read(f"{folder}/name") or "unnamed"
        kind = "csi" if name.startswith(CSI) else "v4l2"
        found.append(Camera(node, name, kind, machine.accessible(machine.path(node))))
    return Cameras(tuple(found), tuple(findings(machine, found, jetson, opencv)))


def findings(
    machine: Machine, cameras: list[Camera], jetson: Jetson | None, opencv: Package
) -> list[Finding]:
    """Cameras that are there and cannot be read."""
    found = []
    for camera in cameras:
        if not machine.exists(camera.node):
            option = f"--device {camera.node}"
            found.append(Finding(f"{camera.node} is not in this container", f"docker run {option} …"))
        elif not camera.accessible:
            found.append(Finding(f"this user may not open {camera.node}", remedy.JOIN_VIDEO))
    if jetson is not None and any(camera.kind == "csi" for camera in cameras):
        if not machine.exists(ARGUS_SOCKET):
            command = "sudo systemctl restart nvargus-daemon"
            found.append(Finding("nvargus-daemon does not run, so CSI cameras stay dark", command))
        if opencv.usable and not opencv.details.get("gstreamer"):
            # Ubuntu builds its OpenCV with GStreamer, pip's wheels come without; two copies of cv2 hide each other.
            command = (
                "sudo apt install python3-opencv && pip uninstall -y opencv-python-headless opencv-python"
            )
            found.append(Finding("CSI cameras need OpenCV with GStreamer, which pip's has not", command))
    return found
