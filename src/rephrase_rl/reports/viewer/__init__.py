"""The viewer: one page per run with curves, every group and every problem, that opens from disk.

``survey`` reads the run once for counts and page limits, ``contents`` makes the data of each page
from a second reading, ``embedding`` puts data and script into the page in a form that no text of a
model can leave. What people see is drawn by the parts under ``templates/viewer``.
"""
