"""The real clients of both dialects, in front of a scripted upstream: what does their user see?"""
