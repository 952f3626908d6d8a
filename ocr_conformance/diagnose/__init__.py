"""Why a case fails: the first op that diverges, what must stay float, the smallest picture that is read differently.

Jobs (see `ocr_conformance.job`) and what they share; views of what they find are in `ocr_conformance.report`.
"""
