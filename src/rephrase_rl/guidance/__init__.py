"""Guidance of a group by expert knowledge: five small blocks and the one step that joins them.

``step.py`` is the only place that knows the order gate -> source -> verify -> accept -> slot; the
other modules hold one block each. Imports core, prompts and records; knows no trainer, so TRL and
any other engine run the same code.
"""
