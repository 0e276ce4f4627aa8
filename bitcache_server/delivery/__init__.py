"""What leaves the server by itself: mail, documents, webhooks."""
