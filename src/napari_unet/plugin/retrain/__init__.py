"""The panel's part for retraining: form, job, preview, and the folder of pairs."""
