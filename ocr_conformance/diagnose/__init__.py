"""Why a case fails: the first op that diverges, what must stay float, and a repro to send upstream.

Jobs (see `ocr_conformance.job`) and what they share; views of what they find are in `ocr_conformance.report`.
"""
