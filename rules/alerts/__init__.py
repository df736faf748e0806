"""Alert rules and watchlists: what they say, what they match, what becomes of it. All pure."""
