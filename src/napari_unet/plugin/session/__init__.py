"""What the person works on, without widgets: intent, results, runs, journals, names of classes."""
