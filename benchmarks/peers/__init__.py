"""Attribution tools of others on the same model, samples and masks, in their own environment."""
