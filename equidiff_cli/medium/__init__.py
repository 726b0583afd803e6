"""The medium: what a prior makes, pictures or points. How a query is read, a sample is kept, and a run is shown.

The loop knows neither: to it all is x (N, C, H, W) in [0, 1]. The function that builds a prior names its medium.
"""
