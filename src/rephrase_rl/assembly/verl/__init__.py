"""From a configuration to a run of verl: its overrides, its data files, and the objects in it.

Nothing here imports verl or Ray, so a launch can be written and looked at on any machine; workers
of verl import ``parts`` alone.
"""
