"""Supervised training: labels, the fit, pretraining of expert and weak player."""
