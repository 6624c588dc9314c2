"""The preprocess stage."""

from celeba_gan.pipelines.preprocess.pipeline import create_pipeline

__all__ = ["create_pipeline"]
