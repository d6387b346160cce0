"""The sandwiching protocol: episodes, the questions in them, the ledger, self-play and fine-tuning."""
