"""Commissions (佣金): what promoters earn, and how they withdraw it."""
