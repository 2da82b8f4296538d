"""The lab: a CPU task family and small policies for studying guidance in minutes.

A policy of under a million parameters solves easy chains of digits, fails on every hard one, can
rewrite an expert's solution in its own style, and has abilities that training could damage. It is
a Hugging Face checkpoint like any other, so the same trainer, verifier and reports run on it.
"""
