"""Adapter of the meter reader in Keras; what images and texts have to do with it stands in contract.toml."""

from ocr_conformance.convert.recipe import RecipeRecognizer
from ocr_conformance.job import beside
from ocr_conformance.model import KerasModel


class MeterKeras(KerasModel, RecipeRecognizer):
    lengths = 4, 4

    def preprocess(self, path):
        return {"image": beside(__file__, "network.py").read_image(path)[None]}

    def keras_model(self, *, unroll=False):
        network = beside(__file__, "network.py").meter(unroll)
        network.load_weights(self.weights.path)
        return network
