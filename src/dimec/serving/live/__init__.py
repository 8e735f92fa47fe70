"""``dimec up --web``: a site on this machine, and the servers of its tiers in the page's hand."""
