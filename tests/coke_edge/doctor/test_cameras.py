from __future__ import annotations

from typing import Any

import pytest

from coke_edge.doctor import jetson, packages
from coke_edge.doctor.cameras import Camera, Cameras, probe
from coke_edge.doctor.machine import Machine


def look(machine: Machine) -> Cameras:
    return probe(machine, jetson.probe(machine), packages.probe(machine)["cv2"])


def test_a_webcam_is_one_camera_though_it_has_two_nodes(recorded) -> None:
    cameras = look(recorded("laptop"))
    assert cameras.found == (Camera("/dev/video0", "Integrated Camera: Integrated C", "v4l2", False),)
    [finding] = cameras.findings
    assert "may not open /dev/video0" in finding.what
    assert "usermod -aG video" in (finding.command or "")


def test_a_csi_sensor_needs_gstreamer_and_argus(recorded) -> None:
    machine = recorded("orin", files={"/tmp/argus_socket": None})
    cameras = look(machine)
    assert [camera.kind for camera in cameras.found] == ["csi"]
    assert [f.command and f.command.split(" ")[1] for f in cameras.findings] == ["systemctl", "apt"]


@pytest.mark.parametrize("changes", [{"files": {"/sys/class/video4linux/video0/name": None}}, {}])
def test_an_opencv_with_gstreamer_is_enough(recorded, changes: dict[str, Any]) -> None:
    build = {"cv2": {"details": {"build": "    GStreamer:    YES (1.20.3)\n"}}}
    cameras = look(recorded("orin", packages=build, **changes))
    assert cameras.findings == ()
    assert len(cameras.found) == 1


def test_a_container_that_was_not_given_the_camera(recorded) -> None:
    [finding] = look(recorded("laptop", files={"/dev/video0": None})).findings
    assert finding.command == "docker run --device /dev/video0 …"


def test_no_camera(recorded) -> None:
    assert look(recorded("desktop")) == Cameras((), ())
