"""The train stage."""

from celeba_gan.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
