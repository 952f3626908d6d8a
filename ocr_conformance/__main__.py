"""``python -m ocr_conformance`` is ``ocr-conformance``."""

import sys

from ocr_conformance.cli import main

sys.exit(main())
