"""GStreamer pipelines as cameras."""

from __future__ import annotations

import shutil

import cv2

from coke_edge.stream.camera import Camera
from coke_edge.stream.gst_camera import PROGRAM, GstCamera
from coke_edge.stream.opencv_camera import open_gstreamer
from coke_edge.stream.parameters import Parameters

CSI_SIZE, CSI_FPS = (1280, 720), 30.0


def csi_pipeline(sensor: int, asked: Parameters) -> str:
    """The pipeline of a CSI camera of a Jetson: its frames stay in the hardware's memory until converted."""
    width, height = asked.size or CSI_SIZE
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={round(asked.fps or CSI_FPS)}/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def open_pipeline(pipeline: str, timeout: float) -> Camera:
    """A running pipeline that ends with raw pictures of any format.

    In a process of its own, which can be killed when it hangs; in OpenCV's GStreamer only where gst-launch-1.0 is
    missing and this OpenCV has GStreamer: there `timeout` (in seconds) does not hold.

    Raises StreamError if it cannot be started; GstCamera says most problems at the first frame.
    """
    if shutil.which(PROGRAM) is None and cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        return open_gstreamer(pipeline)
    return GstCamera(pipeline, timeout)
