"""Members of the five blocks as validated data: gate, source, accept, slot, train.

A block is a union of models told apart by ``kind``; one file a block. A new member is one new model
here and one new class in ``rephrase_rl.guidance``. Defaults are those of RePO (arXiv:2602.10819);
where the paper is silent, the doc string says so.
"""
