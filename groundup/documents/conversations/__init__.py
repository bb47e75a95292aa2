"""Conversations: who said what to whom, once quotes, signatures and bots are set apart?"""
