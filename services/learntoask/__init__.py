"""Learn-to-Ask: from logs of expert conversations to a policy that knows what to ask and when to stop."""
