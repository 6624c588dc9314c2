"""The ingest stage."""

from celeba_gan.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
