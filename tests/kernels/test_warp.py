"""The crop kernel under Triton's interpreter, against OpenCV and the runtime's crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coke_edge.geometry import box_to_crop, frame_box, invert
from coke_edge.kernels import fused_warp, plan
from coke_edge.kernels.targets import KernelError
from coke_edge.kernels.warp import warp
from coke_edge.manifest import InputSpec
from coke_edge.preprocess import crop

BORDER = (10, 130, 250)  # BGR
PLAIN = (1.0, 0.0)  # scale and shift that leave grey levels alone


def run(
    frame: NDArray[np.uint8],
    affines: list[NDArray[np.float64]],  # frame to crop, as the runtime has them
    width: int,
    height: int,
    dtype: torch.dtype = torch.float32,
    scale_shift: tuple[float, float] | NDArray[np.float32] = PLAIN,
) -> NDArray[np.float32]:
    """Crops float32 [B, 3, height, width] RGB."""
    inverses = torch.from_numpy(np.stack([invert(a) for a in affines]).astype(np.float32))
    scale_shift = np.broadcast_to(np.reshape(scale_shift, (2, -1)), (2, 3))
    colours = torch.from_numpy(np.concatenate([[BORDER[::-1]], scale_shift]).astype(np.float32))
    out = torch.full((len(affines), 3, height, width), torch.nan, dtype=dtype)
    extent = frame.strides[0] * (len(frame) - 1) + 3 * frame.shape[1]  # bytes from the first to the last
    flat = torch.from_numpy(np.lib.stride_tricks.as_strided(frame, (extent,), (1,)))
    warp[(-(-width * height // plan.WARP_PIXELS), len(affines))](
        flat,
        inverses,
        colours,
        out,
        *frame.shape[:2],
        frame.strides[0],
        height,
        width,
        BLOCK=plan.WARP_PIXELS,
    )
    return out.float().numpy()


def opencv(
    frame: NDArray[np.uint8], affine: NDArray[np.float64], width: int, height: int
) -> NDArray[np.uint8]:
    """The same by the runtime: uint8 [3, height, width] RGB."""
    spec = InputSpec(width, height, 1.0, BORDER, (0, 0, 0), (1, 1, 1))
    return crop(frame, affine, spec)[..., ::-1].transpose(2, 0, 1)


def turned(angle: float, scale: float, dx: float, dy: float) -> NDArray[np.float64]:
    affine = cv2.getRotationMatrix2D((40.0, 30.0), angle, scale)
    affine[:, 2] += dx, dy
    return np.asarray(affine)


AFFINES = {
    "identity": turned(0, 1, 0, 0),
    "half a pixel": turned(0, 1, 0.5, 0.5),
    "turned": turned(33, 1.3, -4.2, 7.7),
    "shrunk": turned(-120, 0.31, 3, 2),
    "enlarged": turned(5, 6.5, 11, -3),
    "mirrored": np.array([[-0.8, 0.1, 70.3], [0.05, 0.9, 2.2]]),
    "almost outside": turned(10, 1, 79, 58),
    "outside": turned(0, 1, 1e7, -1e7),
}


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("size", [(48, 32), (37, 51)])
def test_like_opencv_within_a_grey_level(name: str, size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    found = run(frame, [AFFINES[name]], *size)[0]
    difference = np.abs(found - opencv(frame, AFFINES[name], *size))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_the_frame_itself() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    found = run(frame, [box_to_crop(frame_box(48, 32), 48, 32)], 48, 32)
    assert np.array_equal(found[0], frame[..., ::-1].transpose(2, 0, 1))


def test_a_frame_with_a_pitch() -> None:
    rng = np.random.default_rng(2)
    larger = rng.integers(0, 256, (61, 100, 3), np.uint8)
    frame = larger[:, 10:93]
    assert frame.strides[0] == 300
    affine = AFFINES["turned"]
    np.testing.assert_array_equal(run(frame, [affine], 48, 32), run(frame.copy(), [affine], 48, 32))


def test_one_pixel() -> None:
    frame = np.array([[[1, 2, 3]]], np.uint8)
    found = run(frame, [np.array([[1.0, 0, 1], [0, 1, 1]])], 3, 3)[0]
    assert found[:, 1, 1].tolist() == [3, 2, 1]
    outside = np.ones((3, 3), bool)
    outside[1, 1] = False
    assert np.array_equal(found[:, outside].T, [BORDER[::-1]] * 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_several_crops_normalised(dtype: torch.dtype) -> None:
    frame = np.random.default_rng(4).integers(0, 256, (61, 83, 3), np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    affines = [AFFINES["turned"], AFFINES["shrunk"], AFFINES["outside"]]
    found = run(frame, affines, 40, 24, dtype, np.stack([1 / (255 * std), -mean / std]).astype(np.float32))
    levels = run(frame, affines, 40, 24)
    expected = (levels / 255 - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(found, expected, atol=2e-3 if dtype == torch.float16 else 1e-5)


def torch_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A frame with a pitch, two affines from crop to frame, and colours that leave grey levels alone."""
    frame = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (61, 100, 3), np.uint8))[:, 10:93]
    affines = [invert(AFFINES[name]) for name in ("turned", "shrunk")]
    colours = torch.tensor([BORDER[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)])
    return frame, torch.from_numpy(np.stack(affines).astype(np.float32)), colours


def test_from_torch() -> None:
    frame, affines, colours = torch_inputs()
    expected = run(frame.numpy(), [AFFINES["turned"], AFFINES["shrunk"]], 40, 24)
    assert np.array_equal(fused_warp.warp(frame, affines, colours, 40, 24, torch.float32), expected)
    assert np.array_equal(fused_warp.warp(frame.mT.contiguous().mT, affines, colours, 40, 24), expected)
    pixels = fused_warp.warp(frame, affines, colours, 40, 24, torch.uint8)
    assert np.array_equal(pixels.flip(-1).permute(0, 3, 1, 2), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8], ids=str)
def test_the_operator_is_one_for_torch(dtype: torch.dtype) -> None:
    torch.library.opcheck(fused_warp.warp, (*torch_inputs(), 16, 8, dtype))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": torch.zeros(5, 5)}, r"uint8 \[H, W, 3\]"),
        ({"affines": torch.zeros(2, 6)}, r"float32 \[B, 2, 3\]"),
        ({"affines": torch.zeros(0, 2, 3)}, "1 to 65,535 crops, not 0"),
        ({"colours": torch.zeros(3, 3, dtype=torch.float64)}, "must be float32"),
        ({"width": 0}, "0 × 8 pixels"),
        ({"dtype": torch.bfloat16}, "float16, float32 or uint8"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    names = ("frame", "affines", "colours")
    inputs = dict(zip(names, torch_inputs(), strict=True)) | {"width": 16, "height": 8} | change
    with pytest.raises(KernelError, match=message):
        fused_warp.warp(**inputs)
