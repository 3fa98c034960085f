"""Webhooks: endpoints of integrators, and the delivery of events to them, in order, until they are taken."""
