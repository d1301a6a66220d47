"""The scoring path: event bytes to typed columns, columns to ONNX inputs, inputs to scores."""
