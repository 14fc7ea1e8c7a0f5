"""The same network behind LitServe: the alternative that our serving is measured beside (torch)."""

import argparse
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch

from mlops.serving.engine import open_model
from mlops.serving.inputs import describe_outputs


class Digits(litserve.LitAPI):
    """Decodes the same body, computes the same batch, answers the same outputs."""

    def __init__(self, weights: str, **kwargs: Any) -> None:
        self._weights = weights
        super().__init__(**kwargs)

    def setup(self, device: str) -> None:
        """Load the weights."""
        torch.set_num_threads(1)
        self.model = open_model(Path(self._weights), "cpu")

    def decode_request(self, request: dict) -> np.ndarray:
        """One picture of the body."""
        return np.asarray(request["inputs"][0], dtype=np.uint8)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Requests to one array."""
        return np.stack(inputs)

    def predict(self, pictures: np.ndarray) -> list[dict]:
        """Outputs of a batch."""
        with torch.inference_mode():
            module = self.model.module
            logits = module(module.prepare(torch.from_numpy(pictures)))  # type: ignore[operator]  # a net's own method
            chances = torch.softmax(logits, dim=1).numpy()
        return describe_outputs(chances, self.model.shape.class_names)

    def unbatch(self, output: list[dict]) -> list[dict]:
        """One output a request."""
        return output

    def encode_response(self, output: dict) -> dict:
        """As ours."""
        return {"outputs": [output]}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    api = Digits(options.weights, max_batch_size=64, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=options.port, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
