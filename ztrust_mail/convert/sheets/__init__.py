"""Sheets: settings in the order and with the labels of a product's form, for manual entry."""
