"""What Bitcache does, one file per deed. Called by HTTP, the command line and jobs.

Functions take the session last opened by their caller. Those that change
something say whether they open the transaction themselves; the others expect to
run inside ``write_transaction`` and never commit.
"""
