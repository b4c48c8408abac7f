"""A discrete simulation of a system's AWS services, in which the runtime's own decisions are made.

Virtual time, no network: half an hour of traffic takes a second or two, and the same seed gives the same run.
"""
