"""The panel's part for results: the table of objects, colours by a column, exports."""
