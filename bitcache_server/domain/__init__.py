"""Rules of the business. No Flask, no SQLAlchemy, no network in here."""
