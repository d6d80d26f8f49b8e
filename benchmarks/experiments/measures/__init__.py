"""What is measured of an arm's towers: one function a measure, each giving named arrays."""
