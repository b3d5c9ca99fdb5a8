"""Bedside events: does a forecast foresee them?"""
