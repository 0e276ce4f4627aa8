"""Everything that is handed out as a credential: grants, receipts, links, secrets, ids."""
