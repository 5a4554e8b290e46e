"""Whatever users get wrong: one sentence on stderr, an exit code, and no file that was not there before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from coke_edge.cli import main
from coke_edge.kernels.spec import HeadSpec
from coke_edge.manifest import InputSpec, Keypoints2D, ModelSpec
from coke_edge.stream.images import write_image
from coke_edge.train.checkpoint import Description, save_checkpoint
from coke_edge.train.model import CokeModel
from coke_edge.train.recipe import Recipe

COLOURS = ["blue", "green", "red"]  # the keypoints of the bundle in these tests


def write_coco(path: Path, image: str, names: list[str]) -> None:
    """A COCO file of one object in one image."""
    points = [value for k in range(len(names)) for value in (10 + 30 * k, 40, 2)]
    content = {
        "images": [{"id": 1, "file_name": image}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, "bbox": [5, 5, 90, 60]}
        ],
        "categories": [{"id": 1, "name": "thing", "keypoints": names}],
    }
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, paint) -> Path:
    """A folder with good and broken files of every kind."""
    folder = tmp_path_factory.mktemp("material")
    write_image(folder / "good.png", paint(100, 80, {0: (20.0, 30.0)}))
    write_image(folder / "good.jpg", paint(100, 80, {0: (20.0, 30.0)}))
    for name in ("good.png", "good.jpg"):
        data = (folder / name).read_bytes()
        (folder / name.replace("good", "cut")).write_bytes(data[: len(data) // 2])
    for name, image in (("good", "good.png"), ("absent", "absent.png"), ("cut", "cut.png")):
        write_coco(folder / f"{name}.json", image, COLOURS)
    write_coco(folder / "two.json", "good.png", COLOURS[:2])

    shutil.copy(bundle_path, folder / "good.coke")
    data = bytearray(bundle_path.read_bytes())
    (folder / "half.coke").write_bytes(data[: len(data) // 2])
    data[len(data) // 2] ^= 1
    (folder / "changed.coke").write_bytes(data)
    for name in ("text.coke", "text.safetensors", "text.jpg", "text.mp4", "file"):
        (folder / name).write_text("hello\n")
    (folder / "broken.yaml").write_text("epochs: [\n")
    (folder / "misspelt.yaml").write_text("epoch: 3\n")

    torch.manual_seed(0)
    recipe = Recipe(backbone="test_efficientnet", pretrained="none", channels=16, width=64, height=64)
    model = CokeModel(recipe, len(COLOURS))
    size = InputSpec(64, 64, 1.2, (120, 120, 120), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    spec = ModelSpec(Keypoints2D(tuple(COLOURS)), size, 8, HeadSpec("margin", 0.07, 0.005))
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(folder / "good.safetensors", tensors, Description(spec, recipe, {}))
    (folder / "photos").mkdir()
    shutil.copy(folder / "good.png", folder / "photos")
    (folder / "empty").mkdir()
    return folder


TRAIN = "train --backbone test_efficientnet --pretrained none --width 64 --height 64 --epochs 1 --workers 0"
ALL = "?split=all"

MISTAKES = {  # what is wrong: the command and a part of the sentence
    # data sets
    "no joints.mat": ("data check lsp:empty", "empty/joints.mat does not exist"),
    "no joints.mat to train on": (f"{TRAIN} --data lsp:empty --out run", "empty/joints.mat does not exist"),
    "no joints.mat to evaluate on": ("eval good.coke --data lsp:empty", "empty/joints.mat does not exist"),
    "no PASCAL3D+": ("data check pascal3d:empty?category=car", "has no image list for car"),
    "no COCO file": ("eval good.coke --data coco:none.json", "cannot read none.json"),
    "text as COCO file": ("eval good.coke --data coco:file", "is no JSON file"),
    "unknown data set": ("data check voc:empty", "unknown kind of data set"),
    "absent image": (f"eval good.coke --data coco:absent.json{ALL}", "the first is absent.png"),
    "absent image to train on": (
        f"{TRAIN} --data coco:absent.json{ALL} --out run",
        "`coke-edge data check` lists what is missing",
    ),
    "truncated image": (f"eval good.coke --data coco:cut.json{ALL}", "cut.png is truncated"),
    "other keypoints": (f"eval good.coke --data coco:two.json{ALL}", "the model finds 3 keypoints"),
    # bundles and checkpoints
    "no bundle": ("info none.coke", "cannot read the bundle none.coke"),
    "text as bundle": ("detect text.coke --source good.png", "text.coke cannot be used: it is no bundle"),
    "half a bundle": ("detect half.coke --source good.png", "half.coke cannot be used: it is cut short"),
    "half a bundle to look at": ("info half.coke", "half.coke cannot be used: it is cut short"),
    "half a bundle to examine": ("doctor half.coke", "half.coke cannot be used: it is cut short"),
    "half a bundle to measure": (f"eval half.coke --data coco:good.json{ALL}", "it is cut short"),
    "changed bundle": ("info changed.coke", "changed.coke cannot be used"),
    "folder as bundle": ("detect empty --source good.png", "cannot read the bundle empty"),
    "text as checkpoint": ("export text.safetensors -o x.coke", "text.safetensors is no checkpoint"),
    "folder without a run": ("export empty -o x.coke", "there is no checkpoint empty/best.safetensors"),
    "checkpoint on a runtime": (
        f"eval good.safetensors --data coco:good.json{ALL} --backend onnxruntime",
        "only torch runs",
    ),
    "bundle on torch": (f"eval good.coke --data coco:good.json{ALL} --backend torch", "torch does not run"),
    # sources and sinks
    "no source": ("detect good.coke --source none.png", "there is no source none.png"),
    "folder without images": ("detect good.coke --source empty", "no image in empty"),
    "truncated PNG": ("detect good.coke --source cut.png", "cut.png is truncated"),
    "truncated JPEG": ("detect good.coke --source cut.jpg --sink o.jsonl --sink o/", "cut.jpg is truncated"),
    "text as image": ("detect good.coke --source text.jpg", "no image that OpenCV can read"),
    "text as video": ("detect good.coke --source text.mp4 --sink o.mp4", "text.mp4 is damaged, or no video"),
    "box of three": ("detect good.coke --source good.png --box 1,2,3", "--box takes x0,y0,x1,y1"),
    "box and region": (
        "detect good.coke --source good.png --box 1,2,30,40 --region track",
        "--box and --region both say",
    ),
    "unknown region": ("detect good.coke --source good.png --region middle", "there is no region 'middle'"),
    "no finder": ("detect good.coke --source good.png --region none.onnx", "none.onnx"),
    "unknown sink": ("detect good.coke --source good.png --sink ftp://host", "there is no sink ftp://host"),
    "sink of an unknown type": ("detect good.coke --source good.png --sink o.xyz", "end in .xyz"),
    "datagrams to nowhere": ("detect good.coke --source good.png --sink udp://host", "give udp://HOST:PORT"),
    "page with TLS": ("detect good.coke --source good.png --sink https://127.0.0.1", "without TLS"),
    "window without windows": (
        "detect good.coke --source good.png --sink window:",
        "pip install opencv-python",
    ),
    "no camera": ("detect good.coke --source /dev/video99 --sink o.jsonl", "/dev/video99"),
    "no server": ("detect good.coke --source http://127.0.0.1:9/x --sink o.mp4 --sink o.csv", "127.0.0.1"),
    "two for stdout": ("detect good.coke --source good.png --json --sink -", "both want standard output"),
    # outputs; a file stands where a folder is needed, which stops even root
    "unwritable run folder": (f"{TRAIN} --data coco:good.json{ALL} --out file/run", "choose another --out"),
    "unwritable data set": ("data generate file/set --count 2", "cannot write file/set"),
    "unwritable sheet": (
        f"data check coco:good.json{ALL} --out file/sheet.png",
        "cannot write file/sheet.png",
    ),
    "unwritable bundle": (
        "export good.safetensors -o file/x.coke --images photos",
        "cannot write file/x.coke",
    ),
    "folder as output": ("export good.safetensors -o empty --images photos", "it is a folder; name a file"),
    "unwritable pictures": (
        "detect good.coke --source good.png --sink file/o/",
        "cannot write file/o/good.png",
    ),
    "unwritable picture": ("detect good.coke --source good.png --sink file/o.png", "cannot write file/o.png"),
    "unwritable lines": (
        "detect good.coke --source good.png --sink file/o.jsonl",
        "cannot write file/o.jsonl",
    ),
    "unwritable table": ("detect good.coke --source good.png --sink file/o.csv", "cannot write file/o.csv"),
    "unwritable COCO results": (
        "detect good.coke --source good.png --sink file/o.json",
        "cannot write file/o.json",
    ),
    "unwritable video": ("detect good.coke --source good.png --sink file/o.mp4", "cannot write file/o.mp4"),
    "source as sink": ("detect good.coke --source good.png --sink good.png", "would be overwritten"),
    # benchmarks
    "no bundle to time": ("bench none.coke --out o", "cannot read the bundle none.coke"),
    "half a bundle to time": ("bench half.coke --out o", "half.coke cannot be used: it is cut short"),
    "no checkpoint to time": ("bench empty --out o", "cannot read the checkpoint empty/best.safetensors"),
    "precision that is not there": (
        "bench good.coke --backends onnxruntime --precisions int8 --out o",
        "no int8 graph for CPUs",
    ),
    "unknown backend to time": ("bench good.coke --backends magic", "there is no backend 'magic'"),
    "no batch": ("bench good.coke --batches 0", "--batches takes numbers of 1 or more"),
    "batch in words": ("bench good.coke --batches one", "--batches takes numbers with commas between"),
    "no number of threads": ("bench good.coke --threads ,", "--threads takes numbers with commas between"),
    "unknown mode": ("bench good.coke --modes fast", "--modes takes back-to-back, paced or both"),
    "unknown split": (
        "bench good.coke --data coco:good.json --split all",
        "--split takes train, val or test",
    ),
    "no frame to time on": ("bench good.coke --source none.png --out o", "no image or folder none.png"),
    "cut frame to time on": ("bench good.coke --source cut.png --out o", "cut.png is truncated"),
    "no data to time with": (
        "bench good.coke --backends onnxruntime --data coco:none.json --out o",
        "cannot read none.json",
    ),
    "unwritable result": ("bench good.coke --out file/o", "cannot write file/o/result.json"),
    "report into nowhere": ("bench good.coke --report", "add --out DIR"),
    "no result to compare": ("bench compare none.json none.json", "cannot read none.json"),
    "text as result": ("bench compare good.json good.json", "is no result of `coke-edge bench`"),
    # recipes
    "unknown recipe": ("train --data lsp:empty --recipe grand", "no recipe 'grand'"),
    "broken recipe": ("train --data lsp:empty --recipe broken.yaml", "broken.yaml is no YAML file"),
    "unknown choice": (
        "train --data lsp:empty --rule best",
        "choose from auto, similarity, margin, log_odds",
    ),
    "misspelt key": ("train --data lsp:empty --recipe misspelt.yaml", "perhaps epochs is meant"),
    "unknown backbone": (
        f"{TRAIN} --data coco:good.json{ALL} --out run --backbone net9",
        "no backbone 'net9'",
    ),
    "no weight file": (f"{TRAIN} --data coco:good.json{ALL} --out run --pretrained none.pth", "none.pth"),
    "no such device": (f"{TRAIN} --data coco:good.json{ALL} --out run --accelerator abacus", "'abacus'"),
    "no occluders": (
        f"{TRAIN} --data coco:good.json{ALL} --out run --occluder-images none",
        "no folder none",
    ),
    "nothing to resume": ("train --resume empty", "there is no checkpoint empty/last.safetensors"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_sentence_and_nothing_written(
    mistake: str, material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, sentence = MISTAKES[mistake]
    monkeypatch.chdir(material)
    monkeypatch.setattr("sys.argv", ["coke-edge", *command.split()])
    before = contents(material)
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    assert left.value.code in (2, 3), captured.err
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert contents(material) == before


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and every folder."""
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}
