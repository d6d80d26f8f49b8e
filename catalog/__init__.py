"""What is sold and what was clicked: schema, readers, preprocessing, the sample shop."""
