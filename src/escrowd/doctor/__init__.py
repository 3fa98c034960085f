"""Looks at what is around the service, and says what is wrong with it and how to mend it. It changes nothing."""
