"""Cohorts that ricu and YAIB exported: hourly values, static data and labels of each task, as Parquet.

Layout: <task>/<data set>/{dyn,sta,outc}.parquet. Source: van de Water R, Schmidt H, Elbers P, Thoral P, Arnrich B,
Rockenschaub P. Yet Another ICU Benchmark. ICLR 2024, arXiv:2306.05109; rvandewater/YAIB-cohorts, folder R.
"""
