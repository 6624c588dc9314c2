"""The plan: what a training will be. No stage of the line; it writes nothing."""

from celeba_gan.pipelines.plan.pipeline import create_pipeline

__all__ = ["create_pipeline"]
