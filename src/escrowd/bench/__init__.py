"""Benchmarks that anybody can run on their own machine: escrowd beside the raw wallet RPC, in one run."""
