"""Validation: the averaged weights on the validation images, the best of them kept, and calibrated in the end."""

from __future__ import annotations

import torch

from coke_edge.detector import Detector
from coke_edge.kernels.spec import Rule
from coke_edge.train.checkpoint import Checkpoint
from coke_edge.train.data.sample import KeypointDataset
from coke_edge.train.evaluate import Evaluation, evaluate
from coke_edge.train.initial_spec import margins_seen
from coke_edge.train.metrics import USUAL_THRESHOLD
from coke_edge.train.report import contact_sheet
from coke_edge.train.run_folder import RunFolder
from coke_edge.train.state import TrainState
from coke_edge.train.torch_backend import TorchBackend
from coke_edge.train.visibility import calibrate


class Validation:
    """What is measured of a run, and written into its folder."""

    def __init__(
        self, data: KeypointDataset, folder: RunFolder, rules: tuple[Rule, ...], device: torch.device
    ) -> None:
        self.data, self.folder = data, folder
        self.rules, self.device = rules, device

    def measure(self, state: TrainState) -> float:
        """PCK [%] of the averaged weights; a new best is kept, a picture drawn."""
        result = self.evaluate(state)
        pck = result.pck[USUAL_THRESHOLD[self.data.normaliser]]
        progress = state.progress
        if pck > progress.best_pck:
            progress.best_pck, progress.stale = pck, 0
            self.folder.save_best(state, {"val_pck": result.pck})
        else:
            progress.stale += 1
        contact_sheet(self.folder.pictures / f"epoch{progress.epoch:04d}.jpg", result, self.data)
        return pck

    def evaluate(self, state: TrainState) -> Evaluation:
        """The averaged model on the validation set, through the detector that users get."""
        spec = self.folder.spec
        checkpoint = Checkpoint(state.best_guess.eval(), spec, self.folder.recipe, {})
        detector = Detector.from_backend(spec, TorchBackend(checkpoint))
        return evaluate(detector, self.data, progress=False)

    def finish(self, state: TrainState) -> None:
        """Choose the score rule and calibrate visibility for the best weights; write them with their figures."""
        recipe = self.folder.recipe
        if state.progress.best_pck < 0:  # never measured: no validation images, or nothing counts in them
            self.folder.save_best(state, {})
        if self.data.samples:
            best = self.folder.load_best()
            best.model.to(self.device)
            # Not from the specification beside the weights: a run that was killed here has calibrated it already.
            spec, figures = calibrate(
                best.model,
                self.folder.spec,
                self.data,
                seed=recipe.seed,
                rules=self.rules,
                margins=margins_seen(recipe),
            )
            self.folder.save_calibrated(best, spec, figures)
        state.progress.finished = True
        self.folder.save_last(state)
