"""The evaluate stage."""

from celeba_gan.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
