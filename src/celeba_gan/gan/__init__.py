"""Networks, objectives and the training loop; needs torch, numpy, pydantic and safetensors only."""
