"""Adapter of the meter reader in PyTorch; what images and texts have to do with it stands in contract.toml."""

from ocr_conformance.convert.recipe import RecipeRecognizer
from ocr_conformance.convert.torch_weights import load_state_dict
from ocr_conformance.job import beside
from ocr_conformance.model import TorchModel


class MeterTorch(TorchModel, RecipeRecognizer):
    lengths = 4, 4

    def preprocess(self, path):
        return {"image": beside(__file__, "network.py").read_image(path)[None]}

    def torch_model(self, *, form="source"):
        if form != "source":
            raise ValueError(f"meter-torch has no form {form!r} (it has: source)")
        network = beside(__file__, "network.py").Meter()
        load_state_dict(network, self.weights.path)
        return network.eval()
