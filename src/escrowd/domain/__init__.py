"""What an escrow is: words, money, addresses and errors. Pure: no I/O, no clock."""
