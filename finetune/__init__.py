"""Finetuning: data, training and evaluation of small chat models."""
