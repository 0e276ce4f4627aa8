"""Exchange rates: adapters to public tickers, and the median of what they say."""
