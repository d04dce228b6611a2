"""Faults, one by one and at random, under load: is anything lost, and how long is it away?"""
