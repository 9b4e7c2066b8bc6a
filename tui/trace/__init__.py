"""The trace view: one response as tokens, and what is known of the step under the cursor."""
