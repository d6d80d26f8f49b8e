"""Who may ask, for what and how often; encrypted connections; pictures decoded at arm's length."""
