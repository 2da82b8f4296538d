"""The method as mathematics: tensors in, tensors out.

Pure functions without IO, random numbers, logging, tokenizer or trainer. Imports torch and
:mod:`rephrase_rl.errors` only, so that every number of a run can be recomputed from its records.
Nothing is re-exported here: the module's name says which question the function answers.

In the order in which RePO (arXiv:2602.10819) uses them:

=================  ===============================================================================
``gates``          how many of a group failed, and whether that opens the gate
``slots``          which rollout gives way, and the replacement itself
``advantages``     rewards of the final group -> advantages
``ratios``         pi_theta/pi_old of each token, and pi(o given q)/pi(o given q, k)
``objectives``     advantages and ratios -> loss of each token
``injected``       other losses for tokens that the policy did not sample on q
``kl``             estimators of the distance to a reference policy
``reduction``      losses of tokens -> one number
``diagnostics``    what to look at: dead groups, rescued groups, clipping, distance from the policy
``shapes``         the checks at the door of every function above
=================  ===============================================================================

Axes, as suffixes of names: ``_P`` problems, ``_G`` members of a group, ``_B`` rows (P * G),
``_T`` completion tokens, ``_K`` reward functions. Log-probabilities are of the sampled token, in
nats. ``docs/algorithm.md`` has each equation beside its function.
"""
