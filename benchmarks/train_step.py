"""How fast training is: `python -m coke_edge.benchmarks.train_step [--device auto|cpu|cuda] [--out FILE]`.

Images per second of whole steps without the loader, and the share of banks and loss in them, for CoKe and for the
heat map on the same backbone and neck: float32 and bfloat16, channels-last and contiguous, compiled and not. All forms
take turns, step by step, in one run; every sample is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coke_edge.benchmarks import environment
from coke_edge.benchmarks.table import markdown
from coke_edge.errors import CokeError
from coke_edge.files import replacing
from coke_edge.train.recipe import Recipe

WARM_UP = 2  # steps of each form that do not count; a compiled one is compiled in the first
KEYPOINTS = 14
Phases = dict[str, float]  # milliseconds by phase
Step = Callable[[], Phases]
REFERENCE = {"coke": "coke fp32 channels-last", "heatmap": "heatmap fp32 channels-last"}


def warmed_up(steps: Mapping[str, Step]) -> tuple[dict[str, Step], dict[str, str]]:
    """The steps that can be done, and why the others cannot; no form stops another."""
    ready: dict[str, Step] = {}
    failed: dict[str, str] = {}
    for name, step in steps.items():
        try:
            for _ in range(WARM_UP):
                step()
            ready[name] = step
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    return ready, failed


def take_turns(
    steps: Mapping[str, Step], rounds: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[Phases]]:
    """Samples by form, one of each a round. Ends after `rounds` rounds, or when `seconds` of them are over."""
    samples: dict[str, list[Phases]] = {name: [] for name in steps}
    start = clock()
    for _ in range(rounds):
        if clock() - start > seconds:
            break
        for name, step in steps.items():
            samples[name].append(step())
    return samples


def summarised(samples: Sequence[Phases], batch_size: int) -> dict[str, Any]:
    """Medians of the whole step and of its phases, and what follows from them."""
    whole = statistics.median(sum(sample.values()) for sample in samples)
    phases = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}
    return {
        "images_per_second": 1000 * batch_size / whole,
        "step_ms": whole,
        "phases_ms": phases,
        "head_share": statistics.median(sample["head"] / sum(sample.values()) for sample in samples),
    }


def document(
    samples: Mapping[str, Sequence[Phases]], failed: Mapping[str, str], batch_size: int
) -> dict[str, Any]:
    """Every form's summary with its raw samples, or why it has none."""
    forms: dict[str, Any] = {
        name: {**summarised(taken, batch_size), "samples_ms": [rounded(sample) for sample in taken]}
        for name, taken in samples.items()
        if taken
    }
    return {"forms": forms | {name: {"error": words} for name, words in failed.items()}}


def rounded(sample: Phases) -> Phases:
    return {name: round(value, 3) for name, value in sample.items()}


def table(result: Mapping[str, Any]) -> str:
    """Markdown: throughput, against what the trainer does with the same method, and the share of banks and loss."""
    lines = []
    for name, form in result["forms"].items():
        if "error" in form:
            lines.append([name, f"failed: {form['error'][:80]}", "–", "–", "–", "–"])
            continue
        usual = result["forms"].get(REFERENCE[name.split()[0]], {}).get("step_ms")
        ratio = "–" if usual is None else f"{usual / form['step_ms']:.2f} ×"
        head = form["phases_ms"]["head"]
        cells = [f"{form['images_per_second']:.1f}", f"{form['step_ms']:.0f}", ratio, f"{head:.1f}"]
        lines.append([name, *cells, f"{100 * form['head_share']:.1f} %"])
    return markdown(
        ["form", "images/s", "step, ms", "against the trainer's", "banks and loss, ms", "share"], lines
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--only", nargs="+", default=[], help="forms whose name has one of these words in it")
    parser.add_argument("--recipe", default="edge", help="recipe of network and batch, by name or YAML file")
    parser.add_argument("--rounds", type=int, default=30, help="steps of each form, at most")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="no new round after so many, warm-up aside"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    given = parser.parse_args(arguments)
    try:
        result = measured(given)
        if given.out:
            with replacing(given.out) as file:
                file.write((json.dumps(result, indent=1) + "\n").encode())
    except CokeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(table(result))
    return 0


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """The result as plain data. Raises CokeError for a recipe, a device or forms that there are none of."""
    from coke_edge.train.cpu import prepare_cpu

    prepare_cpu()
    import torch

    from coke_edge.benchmarks.train_step_forms import FORMS, TrainStep, random_batch
    from coke_edge.train.accelerator import resolve
    from coke_edge.train.recipe import make_recipe

    recipe = make_recipe(given.recipe)
    device = torch.device(resolve(given.device))
    chosen = [form for form in FORMS if not given.only or any(word in form.name for word in given.only)]
    if not chosen:
        raise CokeError(f"no form fits {' '.join(given.only)}: there are {', '.join(f.name for f in FORMS)}")
    batch = random_batch(recipe, KEYPOINTS)
    before = environment.host()
    steps = {form.name: TrainStep(form, batch, recipe, device) for form in chosen}
    ready, failed = warmed_up(steps)
    samples = take_turns(ready, given.rounds, given.seconds)
    return about(recipe, device.type, before) | document(samples, failed, recipe.batch_size)


def about(recipe: Recipe, device: str, host: dict[str, Any]) -> dict[str, Any]:
    """What was measured, and on what; `host` as it was before."""
    import torch

    keys = {name: getattr(recipe, name) for name in recipe.__struct_fields__}
    return {
        "kind": "train-step",
        "device": device,
        "threads": torch.get_num_threads(),
        "host": host,
        "gpu": environment.torch_gpu(),
        "versions": environment.versions(),
        "keypoints": KEYPOINTS,
        "recipe": {name: value for name, value in keys.items() if name not in ("start", "occluder_images")},
    }


if __name__ == "__main__":
    sys.exit(main())
