"""Studies on the lab: many runs by one ranked list, resumable, and what they say together.

``study.py`` goes through the list, ``conduct.py`` carries out one cell through the ordinary
training path, ``measure.py`` makes its compact summary. Everything after that reads summaries only.
"""
