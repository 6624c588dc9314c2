"""The generate stage."""

from celeba_gan.pipelines.generate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
