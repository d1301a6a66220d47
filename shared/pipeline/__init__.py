"""The pipeline every stream service runs on: fetch, decode, compute, encode, produce, commit."""

from shared.pipeline.step import Step

__all__ = ["Step"]
