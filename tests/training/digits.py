"""scikit-learn's digits as training data, and a classifier that judges samples of them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor

SIZE = 16


def write_digits(path: Path) -> Path:
    """1797 digits of 16 px with their classes."""
    digits = load_digits()
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            picture = Image.fromarray((image * 255 / 16).astype(np.uint8)).convert("RGB")
            buffer = io.BytesIO()
            picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(buffer, "PNG")
            archive.writestr(f"{number:04d}.png", buffer.getvalue())
            labels.append([f"{number:04d}.png", int(label)])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def classify(images: Tensor) -> Tensor:
    """Classes int64 [N] of digits [N, 3, 16, 16] in 0..1, by a logistic regression on the data."""
    digits = load_digits()
    model = LogisticRegression(max_iter=2000).fit(digits.data / 16, digits.target)
    small = torch.nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True), 2)
    return torch.from_numpy(model.predict(small.flatten(1).numpy()))
