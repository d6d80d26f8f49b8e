"""Ways to find products for one query, and how their rankings become one."""
