"""What the API and its clients say to each other, as types. Nothing of the server is needed to use them."""
