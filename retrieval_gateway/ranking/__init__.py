"""What happens to a ranking between the channels and the reply: pure steps, one a file.

``ladder``: how deep to ask, so that every page is a slice of the same ranking. ``ranked``: hits that are
added rung by rung, and what keeps a hit out. ``relevance``: which categories and words a query is about.
``facets``: counts of one field's values. ``sections``: the same style, and similar.
"""
