"""Ways for money to come in. Rails know no database and no ledger."""
