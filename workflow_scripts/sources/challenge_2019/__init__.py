"""The PhysioNet/CinC Challenge 2019: 40,336 ICU stays of two hospitals, hourly, with Sepsis-3 labels.

Reyna MA, Josef CS, Jeter R, et al. Early Prediction of Sepsis From Clinical Data: The PhysioNet/Computing in Cardiology
Challenge 2019. Crit Care Med 2020;48(2):210-217.
"""
