"""The report as one HTML page.

`page` renders `report.html.j2`; `summary` states the result in sentences, `tables` has scores,
settings and the maps' legend, `sections` curves, confusions, examples and kernels.
"""
