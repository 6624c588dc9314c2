"""An evaluation as `evaluation.json` has it, for tests to change."""

from typing import Any

from celeba_gan.evaluation.documents import Attributes, Evaluation


def example() -> dict[str, Any]:
    names = ["Eyeglasses", "Male", "Smiling", "Wearing_Hat"]
    return {
        "metrics": {
            "swd": 11.2, "swd_16": 9.2, "swd_64": 14.1, "ms_ssim": 0.312, "frechet_attributes": 18.2,
            "frechet_infinity_attributes": 17.1, "kernel_distance_attributes": 21.4, "precision_attributes": 0.712,
            "recall_attributes": 0.413, "density_attributes": 0.87, "coverage_attributes": 0.452,
            "memorised_attributes": 0.012, "distance_ratio_attributes": 1.08, "repeated_attributes": 0.021,
            "age": 0.41, "age_mean_square": 0.44, "age_raw": 0.39, "prob_real": 0.55, "prob_fake": 0.45,
            "age_valid": 0.42, "score_real": 12.3, "score_fake": 10.8, "c2st_accuracy": 0.931, "c2st_auc": 0.978,
            "c2st_age": 0.012,
        },
        "intervals": {
            "frechet_attributes": {"low": 16.9, "high": 19.1, "method": "bootstrap of 200"},
            "recall_attributes": {"low": 0.399, "high": 0.427, "method": "Wilson"},
            "coverage_attributes": {"low": 0.438, "high": 0.466, "method": "Wilson"},
            "c2st_accuracy": {"low": 0.919, "high": 0.941, "method": "Wilson"},
        },
        "floor": {"swd": 4.1, "ms_ssim": 0.291, "frechet_attributes": 3.1, "kernel_distance_attributes": -0.03,
                  "precision_attributes": 0.782, "recall_attributes": 0.779, "coverage_attributes": 0.954},
        "floor_train": {"swd": 4.2, "frechet_attributes": 3.3},
        "attributes": {
            "names": names,
            "samples": dict(zip(names, (0.012, 0.42, 0.56, 0.05), strict=True)),
            "reals": dict(zip(names, (0.065, 0.42, 0.48, 0.051), strict=True)),
            "errors": dict(zip(names, (0.008, 0.02, 0.02, 0.009), strict=True)),
            "classifier": {name: {"accuracy": 0.93, "auc": 0.96} for name in names},
            "asked": None,
        },
        "protocol": {
            "split": "test", "reals": 5000, "samples": 5000, "images_per_side": 5000, "train_images": 20000,
            "features": {"attributes": "a3f0c4e2b91d77aa"}, "neighbours": 5, "swd_images": 2000,
            "swd_projections": 512, "swd_patches": 64, "ms_ssim_pairs": 400, "two_sample_images": 1000,
            "judge_network": "dcgan", "seed": 0, "precision": "float32", "code": "1", "size": 64, "centre_crop": None,
            "recipe": {"crop": 178}, "data_digest": "5be1", "trained_on": "5be1", "training_id": "1d",
            "images": 1_024_000, "discriminator_images": 1_024_000, "finished": True, "age_centre": 0.0,
            "age_centre_from": "zero of the objective", "model": None, "which": "last",
        },
    }  # fmt: skip


def read(evaluation: dict[str, Any]) -> Evaluation:
    return Evaluation.from_json(evaluation, "the example")


def read_attributes(attributes: dict[str, Any] | None) -> Attributes | None:
    return None if attributes is None else Attributes.model_validate(attributes)


def nothing() -> dict[str, Any]:
    """An evaluation without any number."""
    parts = ("metrics", "intervals", "floor", "floor_train")
    return example() | {part: {} for part in parts} | {"attributes": None}
