"""A Bitcoin node on regtest, for the demonstration and the tests."""
