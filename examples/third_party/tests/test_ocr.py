"""The suite, put to the models in `ocr_models` (the ini option `ocr_model_paths`)."""

from ocr_conformance.suite import *  # noqa: F403
