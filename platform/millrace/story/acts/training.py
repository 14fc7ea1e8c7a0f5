"""Ada trains the company's two recognisers, on real handwriting, by jobs; one worker dies on the way."""

import time
from dataclasses import dataclass

from millrace.story.acts.month import Customer
from millrace.story.people import Program, StoryError
from millrace.story.stage import Stage, start_job_worker
from mlops.datasets.builtin import load_builtin

PATIENCE_SECONDS = 240
DONE = {"succeeded", "failed", "canceled", "aborted"}


@dataclass
class Training:
    """Ada's work: the plain recogniser, then the deep one as a challenger of the same model."""

    stage: Stage
    program: Program
    dataset: str = ""
    plain: str = ""
    deep: str = ""
    canceled: str = ""
    model: str = ""
    kills: int = 0

    def begin(self) -> None:
        """A data set, the plain job, one that is thought better of, and the worker that runs them."""
        self.dataset = self.program.call(
            "POST", "/v1/datasets", {"builtin": "mnist-5k", "name": "Digits"}, key="digits"
        )["id"]
        self.plain = self._submit("plain", model_name="Digit recogniser")
        self.canceled = self._submit("mlp", model_name="Second thoughts")
        self.program.call("POST", f"/v1/jobs/{self.canceled}/cancel")
        start_job_worker(self.stage)

    def advance(self) -> bool:
        """Do what can be done now; True when both recognisers are trained."""
        if not self.deep:
            plain = self._job(self.plain)
            if plain["state"] == "succeeded":
                self.model = plain["model"]["model"]
                self.deep = self._submit("deep", model=self.model)
            return False
        deep = self._job(self.deep)
        # Device time is settled with each checkpoint: some of it is, so there is something to go on from.
        if deep["state"] == "running" and deep["device_ms"] and not self.kills:
            self.stage.restart("cpu-worker")
            self.kills += 1
        return deep["state"] == "succeeded"

    def finish(self) -> None:
        """Wait for the recognisers and promote the deep one over the plain one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.advance():
            if time.monotonic() > deadline:
                raise StoryError(f"the recognisers are not trained after {PATIENCE_SECONDS} s more")
            time.sleep(0.4)
        version = self._job(self.deep)["model"]["version"]
        self.program.call("POST", f"/v1/models/{self.model}/promote", {"version": version})

    def call(self, count: int = 20) -> int:
        """Draw held-out digits, ask the model, and say whether it was right; returns how many were."""
        digits = load_builtin("mnist-5k")
        right = 0
        for index in digits.held_out.nonzero()[0][:count]:
            truth = digits.class_names[int(digits.labels[index])]
            picture = digits.inputs[index].squeeze().tolist()
            answer = self.program.call("POST", f"/v1/models/{self.model}/predict", {"inputs": [picture]})
            correct = answer["outputs"][0]["label"] == truth
            right += correct
            verdict = {"correct": correct} | ({} if correct else {"label": truth})
            self.program.call("POST", f"/v1/predictions/{answer['id']}/feedback", verdict)
        return right

    def _submit(self, form: str, **more: str) -> str:
        body = {
            "kind": "train",
            "recipe": "image-cnn",
            "dataset": self.dataset,
            "params": {"form": form},
            "device": "cpu",
            # Generous: the machine plays a thousand people at the same time.
            "time_limit_seconds": 900,
        }
        return self.program.call("POST", "/v1/jobs", body | more, key=form)["id"]

    def _job(self, job: str) -> dict:
        found = self.program.call("GET", f"/v1/jobs/{job}")
        if found["state"] in DONE - {"succeeded"}:
            raise StoryError(f"the job {job} was {found['state']}: {found['reason_code']} {found['reason']}")
        return found


def training_of(stage: Stage, ada: Customer) -> Training:
    """Ada's training, begun."""
    if ada.program is None:
        raise StoryError("Ada has no key.")
    training = Training(stage, ada.program)
    training.begin()
    return training
