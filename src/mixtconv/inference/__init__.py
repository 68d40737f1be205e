"""Prediction on files the user names."""
