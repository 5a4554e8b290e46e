"""A bundle in the forms that other runtimes take: plain ONNX, and a model repository for Triton Inference Server."""
