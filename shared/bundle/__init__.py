"""Model bundles: the ONNX graph, the contract that travels with it, and the checksums over both."""
