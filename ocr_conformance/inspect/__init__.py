"""Reading artifacts without running them."""
