"""The report as one HTML page.

`page` renders `report.html.j2`; `summary` states the result in sentences, `tables` has what the
tables need beyond the results, `pictures` draws curves, confusions, kernels and maps.
"""
