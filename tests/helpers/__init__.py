"""What tests share: small players, evaluators by rule, recorded runs, pages, a browser, a stand-in for W&B."""
