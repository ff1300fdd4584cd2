"""What front ends of other protocols say, in terms of an analysis: videos, conversations, answers."""
