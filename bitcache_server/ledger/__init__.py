"""Double entry: transfers between accounts, balances, and the proof that they agree."""
