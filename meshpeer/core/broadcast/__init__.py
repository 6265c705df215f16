"""What several neighbours lack is sent once to all of them."""
