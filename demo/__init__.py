"""The demonstration: a whole Bitcache on this machine, with worthless coins."""
