"""MLServer: a custom runtime around the ONNX model, as its documentation has it."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

SCORE = [os.environ["LOADTEST_SCORE"]]


class OnnxScorer(MLModel):  # type: ignore[misc]
    """Scores a tensor of rows; MLServer puts requests together before it (adaptive batching)."""

    async def load(self) -> bool:
        """Open the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["LOADTEST_MODEL"], options)
        self._input = self._session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the probability of each row."""
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        probabilities = self._session.run(SCORE, {self._input: rows.astype(np.float32, copy=False)})[0]
        score = NumpyCodec.encode_output("score", probabilities[:, 1:])
        return InferenceResponse(model_name=self.name, outputs=[score])
