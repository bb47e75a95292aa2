"""Conversations: who said what to whom, without quotes, signatures and bots?"""
