"""Models of other libraries: what they say of themselves, their ONNX graph, their own predictions."""
