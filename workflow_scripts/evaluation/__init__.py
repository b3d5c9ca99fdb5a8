"""Metrics over arrays of forecasts and truths, and their aggregation over runs."""
