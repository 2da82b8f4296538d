"""RePO and its relatives as a small subclass of TRL's ``GRPOTrainer``; the only user of ``trl``."""
