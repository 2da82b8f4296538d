"""The method inside verl 0.9.1: the same guidance step in its V1 trainer, on a Ray cluster.

``launch`` starts verl with ``runner``'s task, which puts ``trainer``'s class in the place of verl's
for the mode that was asked for. Rollouts are sampled, guided and published by ``worker``; rewards
come from ``reward``; a train rule with a loss of its own is ``loss``. Imports no trl.
"""
